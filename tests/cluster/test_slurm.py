"""The Slurm script with stand-ins for Slurm's commands that really start Ray nodes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metasearch.cluster import ClusterFile, render
from metasearch.store.archive import Store
from tests.cli.place import Place, make_place
from tests.cluster.processes import free_port, processes_naming

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]

STANDINS = {
    "srun": 'while [[ "$1" == -* ]]; do [[ "$1" == -w ]] && shift; shift; done; echo "$*" >> "$STEPS"; exec "$@"',
    "scontrol": "printf 'node1\\nnode2\\n'",
    "hostname": "echo 127.0.0.1",
}


def submit(place: Place, script: str, ray_folder: Path) -> subprocess.CompletedProcess[str]:
    bin_folder = place.folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, body in STANDINS.items():
        (bin_folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (bin_folder / name).chmod(0o755)
    (place.folder / "slurm.sh").write_text(script)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    own = {
        "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(place.folder),
        "STEPS": str(place.folder / "steps"),
        "METASEARCH_PORT": str(free_port()),
        "METASEARCH_RAY_FOLDER": str(ray_folder),
        "METASEARCH_CACHE": str(place.folder / "cache"),
    }
    return subprocess.run(
        ["bash", "slurm.sh"],
        cwd=place.folder,
        env={**os.environ, **slurm, **own},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_a_job_of_two_nodes_runs_the_sweep_and_leaves_no_ray_behind(tmp_path: Path, ray_folder: Path) -> None:
    place = make_place(tmp_path)
    sweep, store = place.write("batch", budget={"trials": 2}), str(tmp_path / "store")
    config = ClusterFile(store=store, sweep=sweep, workers={"cpus": 1, "gpus": 0}, slurm={"setup": ":"})
    done = submit(place, render("slurm", config), ray_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "winner: trial" in done.stdout
    history = Store(store).history("batch")
    assert len(history.trials) == 2
    steps = (tmp_path / "steps").read_text()
    assert steps.count("ray start") == 2
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0, "others may read the token"
    assert processes_naming(str(ray_folder)) == []
    assert not ray_folder.exists()


def test_a_head_that_cannot_start_ends_the_job_with_a_reason(tmp_path: Path, ray_folder: Path) -> None:
    place = make_place(tmp_path)
    config = ClusterFile(store=str(tmp_path / "store"), sweep=place.write("batch"), slurm={"setup": ":"})
    script = render("slurm", config).replace("--num-gpus=1", "--num-gpus=many")
    done = submit(place, script, ray_folder)
    assert done.returncode == 1
    assert "Ray's head on node1 ended; see above" in done.stderr
    assert not (tmp_path / "store").exists()
