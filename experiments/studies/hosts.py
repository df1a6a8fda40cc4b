"""Machines that this one pretends to be: network namespaces on one bridge.

Each has an address, a loopback and a folder of Ray's files of its own: what listens on 127.0.0.1 of one is not there for the
others, as on a real cluster. Needs root and the ``ip`` of iproute2.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RAY = Path(sys.executable).with_name("ray")
PORT = 6379
BRIDGE = f"10.77.{os.getpid() % 256}.254"
"""This process in the network of its machines; other processes have other networks."""

START_SECONDS, STOP_SECONDS = 90, 20


def able() -> bool:
    """Whether this process may make namespaces here."""
    name = f"ms{os.getpid()}able"
    with suppress(OSError):
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        return made
    return False


def key() -> None:
    """From here on this process and its children speak to Ray clusters with a token, as one should where others share a network."""
    os.environ["RAY_AUTH_MODE"] = "token"
    subprocess.run([str(RAY), "get-auth-token", "--generate"], check=True, capture_output=True, umask=0o077)


@dataclass
class Host:
    """One machine: a namespace by its name, its address, and ``ray``, a folder that every machine sees otherwise."""

    name: str
    address: str
    ray: Path
    _nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """A process on this machine; ``options`` as for ``Popen``. What it prints goes nowhere by default."""
        own = self.ray.with_name(self.name)
        for folder in (self.ray, own):
            folder.mkdir(exist_ok=True)
        mounted = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(own), str(self.ray)]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(["ip", "netns", "exec", self.name, *mounted, *command], **{**silent, **options})

    def start_node(self, *, head: Host | None = None, cpus: int = 1) -> None:
        """A Ray node that stays; the head of a cluster, unless ``head`` is the machine of one."""
        where = ["--head", f"--port={PORT}", f"--temp-dir={self.ray}", "--include-dashboard=false"] if head is None else []
        joins = [] if head is None else [f"--address={head.address}:{PORT}"]
        common = [f"--node-ip-address={self.address}", f"--num-cpus={cpus}", "--disable-usage-stats", "--block"]
        with self._output.open("wb") as output:
            command = [str(RAY), "start", *where, *joins, *common]
            self._nodes.append(self.start(command, start_new_session=True, stdout=output, stderr=output))

    def wait(self) -> None:
        """Until its node runs. Raises TimeoutError with what the node printed."""
        until = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (printed := self._output.read_text()):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: no Ray after {START_SECONDS} s\n{printed}")
            time.sleep(0.2)

    @property
    def _output(self) -> Path:
        return self.ray.with_name(f"{self.name}.log")

    def kill(self) -> None:
        """Ends everything that runs on this machine, as if its power were gone."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        for node in self._nodes:
            node.wait(STOP_SECONDS)
        self._nodes.clear()


@contextmanager
def hosts(count: int, folder: Path) -> Iterator[list[Host]]:
    """``count`` machines of a network of their own, in which this process has address ``BRIDGE``; their files in ``folder``."""
    bridge, inside = f"ms{os.getpid() % 256}", BRIDGE.rpartition(".")[0]
    made = [Host(f"{bridge}-{number}", f"{inside}.{number}", folder / "ray") for number in range(1, count + 1)]
    try:
        _ip(f"link add {bridge} type bridge")
        _ip(f"addr add {BRIDGE}/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        for host in made:
            cable = f"{host.name}c"
            _ip(f"netns add {host.name}")
            _ip(f"link add {cable} type veth peer name eth0 netns {host.name}")
            _ip(f"link set {cable} master {bridge} up")
            _ip(f"-n {host.name} addr add {host.address}/24 dev eth0")
            _ip(f"-n {host.name} link set eth0 up")
            _ip(f"-n {host.name} link set lo up")
        yield made
    finally:
        for host in made:
            host.kill()
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)
