"""The ssh script with a stand-in for ssh that really starts Ray nodes, each on a loopback address of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metasearch.cluster import ClusterFile, render
from metasearch.store.archive import Store
from tests.cli.place import make_place
from tests.cluster.processes import free_port, processes_naming

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]

STANDIN = """#!/usr/bin/env bash
while [[ "$1" == -o ]]; do shift 2; done
echo "$1" >> "$HOME/reached"; shift
exec "$@"
"""

Script = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture()
def ssh(tmp_path: Path, ray_folder: Path) -> Iterator[Script]:
    """Runs ``ssh.sh COMMAND`` for a head and a worker; whatever is left of them is ended with the test."""
    place = make_place(tmp_path)
    hosts = {"user": "someone", "head": "127.0.0.1", "workers": ["127.0.0.2"], "setup": "set -e; :"}
    config = ClusterFile(
        store=str(tmp_path / "store"),
        sweep=place.write("batch", budget={"trials": 2}),
        port=free_port(),
        workers={"cpus": 1, "gpus": 0},
        on_premise=hosts,
    )
    (tmp_path / "ssh.sh").write_text(render("ssh", config))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(STANDIN)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    own = {
        "PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "METASEARCH_RAY_FOLDER": str(ray_folder),
        "METASEARCH_CACHE": str(tmp_path / "cache"),
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        line = ["bash", "ssh.sh", command]
        return subprocess.run(
            line, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True, timeout=120, check=False
        )

    yield run
    run("stop")


def test_a_head_and_a_worker_run_a_sweep_and_stop_leaves_no_ray_behind(tmp_path: Path, ray_folder: Path, ssh: Script) -> None:
    started = ssh("start")
    assert started.returncode == 0, started.stdout + started.stderr
    assert started.stdout.count("Ray started") == 2
    assert ssh("start").stdout.count("Ray is running") == 2
    assert ssh("launch").returncode == 0
    store, until = Store(str(tmp_path / "store")), time.monotonic() + 120
    while not ("batch" in store.sweeps() and store.history("batch").closed) and time.monotonic() < until:
        time.sleep(0.5)
    assert store.history("batch").closed == "all 2 trials ended"
    stopped = ssh("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert processes_naming(str(ray_folder)) == []
    assert set((tmp_path / "reached").read_text().split()) == {f"someone@127.0.0.{n}" for n in (1, 2)}


def test_a_host_on_which_ray_does_not_start_is_named(tmp_path: Path, ssh: Script) -> None:
    script = tmp_path / "ssh.sh"
    script.write_text(
        script.read_text().replace("--num-gpus=0 ", "--num-gpus=many ").replace("--num-gpus=0\n", "--num-gpus=many\n")
    )
    done = ssh("start")
    assert done.returncode == 1
    assert "127.0.0.1: Ray did not start" in done.stderr
    assert "many" in done.stderr, "the reason is shown"
