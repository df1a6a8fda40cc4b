"""Temporary folders: gone when their driver ends, and when it was killed, gone with the next one."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from metasearch.backends.tune.scratch import scratch_folder

HOLD = "from metasearch.backends.tune.scratch import scratch_folder\nwith scratch_folder() as f:\n print(f, flush=True); input()"


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_is_gone_after_its_block(tmp_path: Path) -> None:
    with scratch_folder() as folder:
        assert Path(folder).is_dir()
    assert not list(tmp_path.iterdir())


def test_a_killed_drivers_folder_goes_with_the_next_one_and_a_living_ones_stays(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = []
    for holder in holders:
        assert holder.stdout is not None
        folders.append(Path(holder.stdout.readline().strip()))
    holders[0].send_signal(signal.SIGKILL)
    holders[0].communicate()
    with scratch_folder():
        assert [folder.exists() for folder in folders] == [False, True]
    holders[1].communicate(input="\n")
    assert not list(tmp_path.iterdir())
