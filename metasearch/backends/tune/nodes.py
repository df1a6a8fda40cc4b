"""What every node of the connected cluster is like, measured on that node by an actor that asks for no resources."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metasearch.backends.tune._ray import NodeAffinitySchedulingStrategy, ray
from metasearch.backends.tune.faces import one_line
from metasearch.core.errors import UserError
from metasearch.store.files import Files, open_files

ANSWER_SECONDS = 90.0
"""So long a node may take to start a process that imports torch."""

CONNECT_SECONDS = 3.0
_CLOCK_READINGS = 5
_CONNECTIONS = 3


@dataclass
class NodeFound:
    """One node. ``fault``: why it could not be looked at; then the rest is empty.

    ``clock_seconds``: how far its clock is ahead of this machine's, known to within ``clock_error``. ``store``: milliseconds for a
    file written there and read here, and one the other way round; or what was wrong. ``peers``: milliseconds to connect to each
    other node, or what was wrong.
    """

    name: str
    promised_gpus: float
    fault: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    gpus: list[str] = field(default_factory=list)
    clock_seconds: float = 0.0
    clock_error: float = 0.0
    store: float | str = 0.0
    peers: dict[str, float | str] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Of what must be the same on every node. ``program``: a hash of metasearch's own sources."""
    found = {"python": platform.python_version()}
    for package in ("ray", "torch", "metasearch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return {**found, "program": _source_hash()}


def look_at_nodes(store_url: str) -> list[NodeFound]:
    """Every living node of the connected cluster, in the order Ray lists them."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    found = [NodeFound(_name(node), node["Resources"].get("GPU", 0.0)) for node in nodes]
    with _probes(nodes) as probes:
        for node, probe in zip(found, probes, strict=True):
            with _booked_on(node):
                node.versions = ray.get(probe.versions.remote(), timeout=ANSWER_SECONDS)
        there = [(one, probe) for one, probe in zip(found, probes, strict=True) if not one.fault]
        addresses = {_name(node): (node["NodeManagerAddress"], _ports(node)) for node in nodes}
        for node, probe in there:
            with _booked_on(node):
                node.gpus = ray.get(probe.gpus.remote(), timeout=ANSWER_SECONDS)
                node.clock_seconds, node.clock_error = _clock(probe)
                others = {name: peer for name, peer in addresses.items() if name != node.name}
                node.peers = ray.get(probe.connect.remote(others), timeout=ANSWER_SECONDS + 10 * len(others))
        _share_files(store_url, there)
    return found


class Probe:
    """Lives on one node as an actor."""

    def versions(self) -> dict[str, str]:
        return versions()

    def gpus(self) -> list[str]:
        """What torch sees. Ray hides the GPUs from an actor that asked for none."""
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []

    def clock(self) -> float:
        return time.time()

    def connect(self, peers: Mapping[str, tuple[str, Sequence[int]]]) -> dict[str, float | str]:
        return {name: _reach(address, ports) for name, (address, ports) in peers.items()}

    def share(self, store_url: str, given: str, made: str, expected: bytes) -> str:
        """Reads what the driver wrote, then writes. What is wrong, or nothing."""
        try:
            files = open_files(store_url)
            if files.read(given) != expected:
                return "reads something else than was written"
            files.write_atomic(made, expected)
        except FileNotFoundError:
            return "does not see what this machine wrote"
        except (UserError, OSError) as error:
            return one_line(error)
        return ""


@contextmanager
def _probes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    kind = ray.remote(num_cpus=0, max_restarts=0)(Probe)
    probes = [
        kind.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote() for node in nodes
    ]
    try:
        yield probes
    finally:
        for probe in probes:
            ray.kill(probe)


@contextmanager
def _booked_on(node: NodeFound) -> Iterator[None]:
    """Whatever goes wrong is the node's fault, and the other nodes are still looked at."""
    try:
        yield
    except ray.exceptions.GetTimeoutError:
        node.fault = f"did not answer within {ANSWER_SECONDS:.0f} s"
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        node.fault = next((line for line in reversed(lines) if "Error" in line), lines[-1])


def _clock(probe: Any) -> tuple[float, float]:
    """Of several readings the one that took the shortest time says most."""
    readings = []
    for _ in range(_CLOCK_READINGS):
        asked = time.time()
        there = ray.get(probe.clock.remote(), timeout=ANSWER_SECONDS)
        took = time.time() - asked
        readings.append((took / 2, there - asked - took / 2))
    error, ahead = min(readings)
    return ahead, error


def _share_files(store_url: str, there: Sequence[tuple[NodeFound, Any]]) -> None:
    files, stem, content = open_files(store_url), f"doctor-{os.urandom(8).hex()}", os.urandom(64)
    files.write_atomic(stem, content)
    try:
        for number, (node, probe) in enumerate(there):
            began, made = time.perf_counter(), f"{stem}-{number}"
            with _booked_on(node):
                fault = ray.get(probe.share.remote(files.url, stem, made, content), timeout=ANSWER_SECONDS)
                node.store = fault or _comes_back(files, made, content) or 1000 * (time.perf_counter() - began)
    finally:
        for name in (stem, *(f"{stem}-{number}" for number in range(len(there)))):
            files.delete(name)


def _comes_back(files: Files, made: str, content: bytes) -> str:
    try:
        return "" if files.read(made) == content else "this machine reads something else than it wrote"
    except FileNotFoundError:
        return "this machine does not see what it wrote"


def _reach(address: str, ports: Sequence[int]) -> float | str:
    """Milliseconds until a connection stands: the median of a few, to the port that takes longest."""
    slowest = 0.0
    for port in ports:
        seconds = []
        for _ in range(_CONNECTIONS):
            began = time.perf_counter()
            try:
                socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
            except OSError as error:
                return f"{address}:{port} {error.strerror or error}"
            seconds.append(time.perf_counter() - began)
        slowest = max(slowest, statistics.median(seconds))
    return 1000 * slowest


def _name(node: Mapping[str, Any]) -> str:
    """Several nodes may run on one host, as in tests: the id tells them apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"


def _ports(node: Mapping[str, Any]) -> list[int]:
    """Where Ray itself talks from node to node: what starts workers, and what carries data."""
    return [node["NodeManagerPort"], node["ObjectManagerPort"]]


def _source_hash() -> str:
    root, found = Path(__file__).parents[2], hashlib.blake2b(digest_size=4)
    for path in sorted(root.rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
