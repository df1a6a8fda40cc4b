"""Commands on a cluster of several real nodes; and what the doctor says of faults that one machine cannot have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metasearch.backends.tune import NodeFound
from metasearch.cli.doctor_cluster import checks_of
from tests.cli.place import make_place
from tests.cluster.nodes import nodes

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(120)]

OWN = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0+cpu", "metasearch": "0.1.0", "program": "abc"}
SOUND = NodeFound("a", 1.0, versions={**OWN, "torch": "2.13.0+cu128"}, gpus=["H100"], clock_error=0.1, store=3.0, peers={"b": 0.4})


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metasearch.cli.main", "doctor", "--cluster", "--store", str(folder / "store"), *arguments]
    return subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of three nodes; the last one offers a GPU that it has not."""
    with nodes({"num_cpus": 1}, {"num_cpus": 1}, {"num_cpus": 1, "num_gpus": 1}) as cluster:
        yield cluster.address


def test_a_detached_driver_runs_on_the_head_and_tells_through_the_store(tmp_path: Path, address: str) -> None:
    place = make_place(tmp_path)
    sweep = place.write("detached", budget={"trials": 2})
    assert "detached runs on" in place.run("launch", sweep, "--detach", "--address", address)
    assert "is being run" in place.run("launch", sweep, "--detach", "--address", address, status=2)
    told = place.run("logs", "detached", "--follow")
    assert "trial 1: proposed by random" in told
    assert "closed: all 2 trials ended" in told
    assert {line["trial"] for line in place.json("logs", "detached", "--trial", "1")} == {1}
    until = time.monotonic() + 30
    while "ended with exit code 0" not in place.run("logs", "detached", "--driver") and time.monotonic() < until:
        time.sleep(0.5)
    assert "winner: trial" in place.run("logs", "detached", "--driver")
    assert "already has a sweep" in place.run("launch", sweep, "--detach", "--address", address, status=2)


def test_the_fault_of_a_detached_driver_is_shown_to_whoever_started_it(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    sweep = place.write("faulty", task={"corpus": "nowhere.txt"})
    assert "nowhere.txt" in place.run("launch", sweep, "--detach", status=2)


def test_every_node_is_looked_at_and_a_gpu_that_is_not_there_is_a_fault(tmp_path: Path, address: str) -> None:
    done = doctor(tmp_path, "--address", address, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    checks = json.loads(done.stdout)
    assert len({check["node"] for check in checks}) == 3
    assert [check["name"] for check in checks] == ["versions", "gpus", "clock", "store", "network"] * 3
    assert [(check["name"], bool(check["remedy"])) for check in checks if not check["ok"]] == [("gpus", True)]
    assert all("reaches 2 other node(s)" in check["found"] for check in checks if check["name"] == "network")
    assert os.listdir(tmp_path / "store") == []


def test_without_a_cluster_one_line_says_how_to_start_one(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "No Ray cluster answers" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_sound_node_has_no_fault_whatever_build_of_torch_it_has() -> None:
    assert [check.name for check in checks_of(SOUND, OWN) if not check.ok] == []


@pytest.mark.parametrize(
    ("change", "name", "found"),
    [
        ({"versions": {**OWN, "program": "def"}}, "versions", "program is abc here"),
        ({"versions": {**OWN, "ray": "2.9.0"}}, "versions", "ray is 2.60.0 here"),
        ({"gpus": []}, "gpus", "torch sees none; Ray offers 1"),
        ({"clock_seconds": -7.0}, "clock", "-7.000 s"),
        ({"store": "does not see what this machine wrote"}, "store", "does not see what this machine wrote"),
        ({"peers": {"b": 0.4, "c": "10.0.0.3:7 timed out"}}, "network", "reaches 1 of 2 other nodes; not c: 10.0.0.3:7 timed out"),
        ({"peers": {"b": 180.0}}, "network", "180.0 ms"),
        ({"fault": "ModuleNotFoundError: No module named 'metasearch'"}, "node", "No module named"),
    ],
)
def test_each_fault_is_named_with_its_node_and_remedy(change: dict[str, object], name: str, found: str) -> None:
    (fault,) = [check for check in checks_of(replace(SOUND, **change), OWN) if not check.ok]  # type: ignore[arg-type]
    assert (fault.name, fault.node) == (name, "a")
    assert found in fault.found
    assert fault.remedy
