"""docs/ask-tell.md: its loop and its script, run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metasearch.store.archive import Store
from tests.docs.reading import blocks, executed, named_blocks, page

PAGE = page("docs/ask-tell.md")


def test_the_loop_of_the_page_runs_in_a_shell(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")
    scripts = {
        "train.sh": "#!/bin/sh\necho 0.75\n",
        "metasearch": f'#!/bin/sh\nexec {sys.executable} -m metasearch.cli.main "$@"\n',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", blocks(PAGE, "sh")[0]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout == "stop: reached the horizon\n" * 2, done.stderr
    assert [trial.loss for trial in Store(tmp_path / "store").history("mine")] == [-0.75, -0.75]


def test_the_script_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    executed(named_blocks(PAGE)["asking.py"], "asking.py")
    assert capsys.readouterr().out.startswith("all 4 trials ended Trial(")
