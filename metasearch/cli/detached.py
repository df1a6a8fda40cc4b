"""``launch --detach``: a driver that goes on without the terminal, on this machine or on the head of a cluster.

The driver's output is kept in the store, where ``metasearch logs --driver`` finds it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from metasearch.core.errors import UserError
from metasearch.core.sweep import LOCAL
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable
from metasearch.sweep.file import AnySweep
from metasearch.sweep.run import already_there

COPY_SECONDS = 1.0
MOST_OUTPUT = 200_000
"""Bytes of output that are kept, the newest."""

BEGIN_SECONDS = 120.0
"""So long whoever detached a driver waits to hear that it runs."""

ENDED = "The driver ended with exit code"


@dataclass(frozen=True)
class Launch:
    """A sweep file as text, the store, and further options of ``metasearch launch``."""

    sweep: str
    text: str
    store: str
    options: tuple[str, ...]


def detach(file: AnySweep, store_url: str, address: str | None, options: Sequence[str]) -> str:
    """Starts a driver and waits until it runs the sweep; the host it is on.

    Raises UserError if the sweep is there or is being run, or with the driver's last words if it ended before it ran.
    """
    store = Store(store_url)
    if store.is_running(file.name):
        raise UserError(f"Sweep {file.name} is being run. Follow it with `metasearch watch {file.name} --store {store.url}`.")
    if file.name in store.sweeps() and "--or-resume" not in options:
        raise already_there(store, file.name)
    store.put_driver_output(file.name, "")
    launch = Launch(file.name, yaml.safe_dump(file.model_dump(mode="json")), store.url, tuple(options))
    host = _start_here(launch) if address in (None, LOCAL) else _start_on_head(launch, address)
    _await_begin(store, file.name)
    return host


def _start_here(launch: Launch) -> str:
    arguments = ["-m", __name__, json.dumps(asdict(launch) | {"options": [*launch.options, "--address", LOCAL]})]
    nowhere = subprocess.DEVNULL
    subprocess.Popen([sys.executable, *arguments], start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    return "this machine"


def _start_on_head(launch: Launch, address: str) -> str:
    from metasearch.backends import tune

    with tune.cluster(address):
        return tune.run_on_head(
            f"driver-{launch.sweep}",
            lambda there: ["-m", __name__, json.dumps(asdict(launch) | {"options": [*launch.options, "--address", there]})],
            str(Path.cwd()),
        )


def _await_begin(store: Store, sweep: str) -> None:
    until = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < until:
        output = store.driver_output(sweep)
        if ENDED in output and f"{ENDED} 0" not in output:
            raise UserError(f"The driver of sweep {sweep} ended at once:\n{output.strip()}")
        if ENDED in output or (store.is_running(sweep) and sweep in store.sweeps()):
            return
        time.sleep(0.5)
    raise UserError(f"The driver of sweep {sweep} was started, but does not run it yet. See: metasearch logs {sweep} --driver")


def supervise(launch: Launch) -> int:
    """Runs the driver and copies its output to the store until it ends; its exit code."""
    store = Store(launch.store)
    with tempfile.TemporaryDirectory() as folder:
        file, output = Path(folder, f"{launch.sweep}.yaml"), Path(folder, "output")
        file.write_text(launch.text, encoding="utf-8")
        command = [sys.executable, "-m", "metasearch.cli.main", "launch", str(file), "--store", launch.store, *launch.options]
        with output.open("wb") as written:
            driver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT)
        copied = b""
        while driver.poll() is None:
            time.sleep(COPY_SECONDS)
            copied = _copy(store, launch.sweep, output.read_bytes(), copied)
        _copy(store, launch.sweep, output.read_bytes() + f"{ENDED} {driver.returncode}.\n".encode(), copied)
        return driver.returncode


def _copy(store: Store, sweep: str, found: bytes, copied: bytes) -> bytes:
    """What the store has now. A store that does not answer gets it with the next copy."""
    if found != copied:
        try:
            store.put_driver_output(sweep, found[-MOST_OUTPUT:].decode(errors="replace"))
        except (StoreUnavailable, OSError):
            return copied
    return found


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    sys.exit(supervise(Launch(**{**asked, "options": tuple(asked["options"])})))
