"""A real sweep over three Ray nodes while everything breaks that may break on a cluster: what is lost, what is doubled?

    python experiments/studies/faults.py [--trials 40] [--seed 1] [--storage folder,s3] [--apart]

Trains small LSTMs and GRUs, first undisturbed, then with the store in a shared folder, then in S3 (moto, served by this process).
At random moments a worker node is killed, another one joins, the driver is killed and started again, and S3 answers every request
with an error for ten seconds. Random search without early stopping: whatever happens, the same configs must end with the same
losses, to the last bit. Nodes share this machine's loopback; with ``--apart`` each is a host of its own on a network, as far as the
kernel can pretend that (``hosts.py``). Prints one JSON object and ends with exit code 1 if anything is lost, doubled, or differs.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import yaml
from hosts import BRIDGE, PORT, Host, able, hosts, key
from moto.server import ThreadedMotoServer
from ray.cluster_utils import Cluster
from slots import slots_busy

from metasearch import catalog
from metasearch.core.audit import audit
from metasearch.core.errors import UserError
from metasearch.core.event import Failed, Reported, Resumed, TrialId
from metasearch.core.history import History, State
from metasearch.store.archive import Store

Curves = dict[int, list[tuple[int, float]]]
"""Steps and losses of every trial."""

REPORTS, TOKENS = 4, 16_000
WORKERS = 3
OUTAGE_SECONDS = 10.0
MOST_ENDS = 40
REPEATS = {"kill a node": 2, "kill the driver": 3, "S3 answers with errors": 2}
"""How often each fault strikes. A node joins a while after each that was killed."""


class Machines(Protocol):
    """The head of a Ray cluster, which runs no trials, and machines that come and go."""

    address: str

    def drive(self, command: list[str], folder: pathlib.Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """A process beside the head."""
        ...

    def add(self) -> None: ...

    def kill_one(self, chance: random.Random) -> None: ...


class Together:
    """All nodes on this machine's loopback."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.address = cluster, cluster.address
        self.workers: list[Any] = []

    def drive(self, command: list[str], folder: pathlib.Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)

    def add(self) -> None:
        self.workers.append(self.cluster.add_node(num_cpus=1))

    def kill_one(self, chance: random.Random) -> None:
        self.cluster.remove_node(self.workers.pop(chance.randrange(len(self.workers))), allow_graceful=False)


class Apart:
    """Each node is a host of its own; one that was killed stays dead, and another takes its place."""

    def __init__(self, head: Host, others: list[Host]) -> None:
        self.head, self.spare = head, others
        self.address, self.workers = f"{head.address}:{PORT}", list[Host]()
        head.start_node(cpus=0)
        head.wait()

    def drive(self, command: list[str], folder: pathlib.Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return self.head.start(command, cwd=folder, stdout=output, stderr=output)

    def add(self) -> None:
        self.workers.append(self.spare.pop(0))
        self.workers[-1].start_node(head=self.head)

    def kill_one(self, chance: random.Random) -> None:
        self.workers.pop(chance.randrange(len(self.workers))).kill()


@contextmanager
def machines(folder: pathlib.Path, apart: bool) -> Iterator[Machines]:
    if apart:
        with hosts(1 + WORKERS + REPEATS["kill a node"], folder) as (head, *others):
            yield Apart(head, others)
        return
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder / "ray")}
    )
    try:
        yield Together(cluster)
    finally:
        cluster.shutdown()


@dataclass
class Place:
    """One run: a folder for its files, a store, machines, and the driver, which is started again whenever it was killed."""

    folder: pathlib.Path
    store_url: str
    machines: Machines
    driver: subprocess.Popen[bytes] | None = None
    struck: Counter[str] = field(default_factory=Counter)

    @property
    def store(self) -> Store:
        return Store(self.store_url)

    def start_driver(self) -> None:
        command = [sys.executable, "-m", "metasearch.cli.main", "launch", str(self.folder / "faults.yaml"), "--or-resume", "-q"]
        options = ["--store", self.store_url, "--address", self.machines.address]
        with (self.folder / "driver.log").open("ab") as output:
            self.driver = self.machines.drive([*command, *options], self.folder, output)

    def kill_driver(self) -> None:
        assert self.driver is not None
        self.driver.kill()
        self.driver.wait()
        self.start_driver()


class Errors:
    """Stands before an S3 server, listening at ``address``: passes everything on, or answers every request with 503."""

    def __init__(self, behind: tuple[str, int], address: str) -> None:
        self._behind, self._broken = behind, False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def strike(self) -> None:
        self._broken = True
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        threading.Timer(OUTAGE_SECONDS, self._mend).start()

    def _mend(self) -> None:
        self._broken = False

    def _accept(self) -> None:
        while True:
            near = self._listener.accept()[0]
            threading.Thread(target=self._refuse if self._broken else self._serve, args=(near,), daemon=True).start()

    def _refuse(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.recv(65536)
            near.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(self._behind) as far:
            self._open |= {near, far}
            answers = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
            answers.start()
            _pass_on(near, far)
            answers.join()
        self._open -= {near, far}


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def place(folder: pathlib.Path, store_url: str, asked: argparse.Namespace) -> Iterator[Place]:
    folder.mkdir()
    (folder / "text.txt").write_text(inspect.getsource(pathlib) + inspect.getsource(inspect) + inspect.getsource(argparse))
    sweep = {
        "name": "faults",
        "task": {"corpus": str(folder.parent / "text.txt")},
        "space": {"model": ["lstm", "gru"], "optimizer": ["adamw", "sgd"], "depth": 1, "context": 32, "batch_size": 8},
        "search": {"searcher": "random", "scheduler": "fifo"},
        "budget": {"trials": asked.trials},
        "trial": {"tokens": TOKENS, "reports": REPORTS, "max_failures": 8},
        "seed": asked.seed,
    }
    shutil.copy(folder / "text.txt", folder.parent / "text.txt")
    (folder / "faults.yaml").write_text(yaml.safe_dump(sweep))
    with machines(folder, asked.apart) as found:
        made = Place(folder, store_url, found)
        for _ in range(WORKERS):
            found.add()
        try:
            yield made
        finally:
            if made.driver is not None and made.driver.poll() is None:
                made.driver.kill()
                made.driver.wait()


def run(made: Place, faults: list[tuple[int, str, Callable[[], None]]]) -> float:
    """Runs the sweep to its end. Each fault strikes once so many reports are in. Seconds."""
    began, due = time.monotonic(), sorted(faults, key=lambda fault: fault[0])
    made.start_driver()
    while True:
        time.sleep(0.3)
        assert made.driver is not None
        if made.driver.poll() is not None:
            if made.driver.returncode == 0:
                return time.monotonic() - began
            made.struck["the driver ended by itself and is started again"] += 1
            if made.struck.total() > MOST_ENDS:
                raise SystemExit((made.folder / "driver.log").read_text()[-5000:])
            time.sleep(2.0)  # as whoever watches over it would
            made.start_driver()
        reports = _reports_so_far(made.store)
        while due and reports >= due[0][0]:
            _, name, strike = due.pop(0)
            print(f"  after {reports} reports: {name}", file=sys.stderr, flush=True)
            made.struck[name] += 1
            strike()


def _reports_so_far(store: Store) -> int:
    with contextlib.suppress(UserError, OSError):
        return sum(isinstance(fact, Reported) for fact in store.facts("faults"))
    return -1


def planned(made: Place, trials: int, chance: random.Random, errors: Errors | None) -> list[tuple[int, str, Callable[[], None]]]:
    reports = trials * REPORTS
    strikes: dict[str, Callable[[], None]] = {
        "kill a node": lambda: made.machines.kill_one(chance),
        "kill the driver": made.kill_driver,
        **({} if errors is None else {"S3 answers with errors": errors.strike}),
    }
    faults = []
    for name, strike in strikes.items():
        for _ in range(REPEATS[name]):
            at = chance.randint(reports // 20, reports * 8 // 10)
            faults.append((at, name, strike))
            if name == "kill a node":
                faults.append((at + chance.randint(4, max(4, reports // 8)), "a node joins", made.machines.add))
    return faults


def checked(store: Store, trials: int, expected: Curves | None) -> dict[str, Any]:
    """What the log holds, against what an undisturbed sweep reported."""
    facts, history = list(store.facts("faults")), store.history("faults")
    reports: Curves = {number: [] for number in range(trials)}
    for fact in facts:
        if isinstance(fact, Reported):
            reports[fact.trial].append((fact.step, fact.loss))
    wanted = {number: {step for step, _ in curve} for number, curve in (expected or reports).items()}
    lost = sum(len(wanted[number] - {step for step, _ in curve}) for number, curve in reports.items())
    doubled = sum(len(curve) - len({step for step, _ in curve}) for curve in reports.values())
    complaints = audit(facts, catalog.build_searcher("random"), catalog.build_scheduler("fifo"))
    best = history.best
    return {
        "trials": len(history),
        "ended": sum(trial.state in (State.COMPLETED, State.DIVERGED) for trial in history),
        "reports": sum(map(len, reports.values())),
        "lost": lost,
        "doubled": doubled,
        "legs": sum(trial.leg + 1 for trial in history),
        "failures": sum(isinstance(fact, Failed) for fact in facts),
        "resumed": sum(isinstance(fact, Resumed) for fact in facts),
        "decisions_that_differ_when_made_again": len(list(complaints)),
        "winner": None if best is None else [best.number, history.best_loss],
        "losses_that_differ": _differences(reports, expected or reports, history),
        "slots_busy": round(slots_busy(facts, WORKERS)[1], 3),
        "_reports": reports,
    }


def _differences(found: Curves, expected: Curves, history: History) -> list[str]:
    """Trials whose reports are not to the last bit those of the undisturbed sweep."""
    lines = []
    for number in (number for number in expected if found[number] != expected[number]):
        pairs = zip(found[number], expected[number], strict=False)
        step, loss, other = next(((step, loss, other) for (step, loss), (_, other) in pairs if loss != other), (0, 0.0, 0.0))
        trial = history[TrialId(number)]
        lines.append(f"trial {number}, {trial.leg + 1} leg(s), {trial.config.strategy}: {loss!r}, not {other!r} at step {step}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storage", default="folder,s3")
    parser.add_argument("--apart", action="store_true", help="every node in a network namespace of its own; needs root")
    asked = parser.parse_args()
    if asked.apart and not able():
        parser.error("--apart makes network namespaces: it needs root, and `ip` of iproute2.")
    if asked.apart:
        key()
    root = pathlib.Path(tempfile.mkdtemp(prefix="ms-f-"))
    os.environ |= {"METASEARCH_CACHE": str(root / "cache"), "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        found = _studied(root, asked, server.get_host_and_port())
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps(found, indent=2))
    broken = [run for run in found.values() if run["lost"] or run["doubled"] or run["losses_that_differ"]]
    return 1 if broken or any(run["ended"] != asked.trials for run in found.values()) else 0


def _studied(root: pathlib.Path, asked: argparse.Namespace, endpoint: tuple[str, int]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    expected = None
    for number, storage in enumerate(["undisturbed", *asked.storage.split(",")]):
        print(storage, file=sys.stderr, flush=True)
        errors, url = None, str(root / f"store-{number}")
        if storage == "s3":
            errors = Errors(endpoint, "0.0.0.0" if asked.apart else "127.0.0.1")  # the network of those apart is not there yet
            urllib.request.urlopen(urllib.request.Request(f"http://{endpoint[0]}:{endpoint[1]}/bucket", method="PUT")).close()
            near = BRIDGE if asked.apart else "127.0.0.1"
            url = f"s3://bucket/team?endpoint_override={near}:{errors.port}&scheme=http"
        with place(root / str(number), url, asked) as made:
            chance = random.Random(asked.seed + number)
            faults = [] if storage == "undisturbed" else planned(made, asked.trials, chance, errors)
            seconds = run(made, faults)
            summary = checked(made.store, asked.trials, expected)
            expected = summary.pop("_reports") if expected is None else expected
            summary.pop("_reports", None)
            found[storage] = {"seconds": round(seconds, 1), "faults": dict(made.struck), **summary}
    return found


if __name__ == "__main__":
    sys.exit(main())
