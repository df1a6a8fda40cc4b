"""The driver dies by SIGKILL at random moments, is interrupted, or is started twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from metasearch import catalog
from metasearch.core.audit import audit
from metasearch.core.event import Proposed, Reported
from metasearch.core.history import State
from metasearch.store.archive import Store
from tests.backends.drive import SCHEDULER, SEARCHER, SWEEP, Driver

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(600)]

KILLS = 7
"""In each of three sweeps: 21 over the suite."""


@pytest.fixture()
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Store], Driver]]:
    """Starts drivers, and kills those that are left."""
    started: list[Driver] = []
    folder = tmp_path_factory.mktemp("output")

    def start(store: Store) -> Driver:
        started.append(Driver(store, ray.get_runtime_context().gcs_address, folder / str(len(started))))
        return started[-1]

    yield start
    for driver in started:
        driver.kill()


def facts_in(store: Store) -> int:
    return sum(1 for _ in store.facts(SWEEP.name)) if SWEEP.name in store.sweeps() else 0


def wait_for(seen: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not seen() and time.monotonic() < until:
        time.sleep(0.02)


def wait_for_facts(store: Store, driver: Driver, number: int) -> None:
    wait_for(lambda: facts_in(store) >= number or driver.status is not None)


def reports(store: Store) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for fact in store.facts(SWEEP.name):
        if isinstance(fact, Reported):
            found.setdefault(fact.trial, []).append(fact.step)
    return found


def test_a_driver_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path, drivers: Callable[[Store], Driver]) -> None:
    store, moments = Store(str(tmp_path)), random.Random(0)
    for _ in range(KILLS):
        driver = drivers(store)
        wait_for_facts(store, driver, facts_in(store) + moments.randint(1, 20))
        time.sleep(moments.random() * 0.2)
        driver.kill()
        before = list(store.facts(SWEEP.name)) if facts_in(store) else []
        ended = {trial.number: trial.leg for trial in (store.history(SWEEP.name) if before else ()) if trial.ended}
    output = drivers(store).ended(300)
    assert "all 16 trials ended" in output or "nothing left to try" in output, output
    after, history = list(store.facts(SWEEP.name)), store.history(SWEEP.name)
    assert after[: len(before)] == before
    assert all(history[number].leg == leg for number, leg in ended.items())
    assert not (history.running or history.interrupted)
    assert all(steps == list(range(1, len(steps) + 1)) for steps in reports(store).values())
    assert len(set(reports(store))) == sum(isinstance(fact, Proposed) for fact in after) == 16
    assert not audit(after, catalog.build_searcher(SEARCHER), catalog.build_scheduler(SCHEDULER))


def test_an_interrupted_driver_ends_cleanly_and_is_resumed(tmp_path: Path, drivers: Callable[[Store], Driver]) -> None:
    store = Store(str(tmp_path))
    driver = drivers(store)
    wait_for_facts(store, driver, 8)
    driver.send(signal.SIGINT)
    output = driver.ended(60)
    assert driver.status == 0, output
    assert "interrupted by SIGINT" in output
    assert store.history(SWEEP.name).closed == "interrupted by SIGINT"
    output = drivers(store).ended(120)
    history = store.history(SWEEP.name)
    assert State.COMPLETED in {trial.state for trial in history}, output
    assert all(steps == list(range(1, len(steps) + 1)) for steps in reports(store).values())


def test_a_second_driver_of_the_same_sweep_is_refused(tmp_path: Path, drivers: Callable[[Store], Driver]) -> None:
    store = Store(str(tmp_path))
    first = drivers(store)
    wait_for_facts(store, first, 4)
    second = drivers(store)
    assert f"pid {first.pid}" in second.ended(60)
    assert second.status != 0
    first.send(signal.SIGINT)
    first.ended(60)
    assert first.status == 0


@pytest.fixture()
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_pauses_the_sweep_and_loses_nothing(small_disk: Path, drivers: Callable[[Store], Driver]) -> None:
    store = Store(str(small_disk / "store"))
    driver = drivers(store)
    wait_for_facts(store, driver, 12)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    wait_for(lambda: "The sweep waits and tries again" in driver.printed)
    assert "The sweep waits and tries again" in driver.printed
    filler.unlink()
    output = driver.ended(120)
    assert "The store works again" in output
    assert driver.status == 0, output
    assert store.history(SWEEP.name).closed is not None
    assert all(steps == list(range(1, len(steps) + 1)) for steps in reports(store).values())
    assert not any(trial.errors for trial in store.history(SWEEP.name))
