"""A folder in which ``metasearch`` is called as a user calls it."""

from __future__ import annotations

import inspect
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.forking import forked

SWEEP: dict[str, Any] = {
    "name": "small",
    "task": {"corpus": "text.txt"},
    "space": {
        "model": ["lstm", "gru"],
        "optimizer": ["adamw", "sgd"],
        "schedule": "cosine",
        "clipping": "norm",
        "width": 32,
        "depth": 1,
        "context": 32,
        "batch_size": 8,
    },
    "search": {"searcher": "random", "scheduler": {"name": "asha", "eta": 2}},
    "budget": {"trials": 4},
    "trial": {"tokens": "8k", "reports": 4},
    "resources": {"concurrency": 1},  # most of a small sweep is the start of its workers
    "seed": 7,
}


class Command:
    """``metasearch`` in a process of its own, but for the program's start, which ``tests.cluster`` has."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._outputs = tempfile.TemporaryDirectory(prefix="ms-out-")
        self._out, self._err = (Path(self._outputs.name) / name for name in ("out", "err"))
        self._out.touch()
        self._err.touch()
        self._process = forked(_main, arguments, str(folder), str(self._out), str(self._err), environment=environment)

    def poll(self) -> int | None:
        """The exit code; negative for a signal, None while it runs."""
        return self._process.exitcode

    def until(self, words: str) -> None:
        """Waits until ``words`` are on its standard error."""
        while words not in self._err.read_text():
            assert self.poll() is None, self._err.read_text()
            time.sleep(0.05)

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Standard output and standard error until its end, which comes within ``timeout`` seconds. Called once."""
        self._process.join(timeout)
        with self._outputs:
            found = self._out.read_text(), self._err.read_text()
        if self.poll() is None:
            self._process.kill()
            raise TimeoutError(f"it still runs after {timeout} s: {found}")
        return found


def _main(arguments: Sequence[str], folder: str, out: str, err: str) -> None:
    from metasearch.cli.main import main

    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(folder)
    sys.argv = ["metasearch", *arguments]
    main()


@dataclass(frozen=True)
class Place:
    """A folder with a sweep file, a text and a store. ``address``: of the Ray cluster of its sweeps."""

    folder: Path
    address: str = "local"

    def run(self, *arguments: str, status: int = 0) -> str:
        """Standard output of ``metasearch``; asserts its exit code, and that no traceback was shown."""
        done = self.start(*arguments)
        out, err = done.communicate(timeout=200)
        assert done.poll() == status, out + err
        assert "Traceback" not in err
        return out if status != 2 else err

    def start(self, *arguments: str) -> Command:
        own = {"METASEARCH_CACHE": str(self.folder / "cache"), "METASEARCH_STORE": str(self.folder / "store")}
        return Command(arguments, self.folder, {**os.environ, **own, "RAY_ADDRESS": self.address})

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def write(self, stem: str, **changes: Any) -> str:
        (self.folder / f"{stem}.yaml").write_text(yaml.safe_dump({**SWEEP, "name": stem, **changes}))
        return f"{stem}.yaml"


def make_place(folder: Path, address: str = "local") -> Place:
    (folder / "text.txt").write_text(inspect.getsource(pathlib) + inspect.getsource(inspect))
    return Place(folder, address)
