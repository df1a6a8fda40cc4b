"""`metasearch ask` and `metasearch tell` as a script calls them: what they print, and their exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metasearch.cli.main import app
from metasearch.core.errors import UserError

SWEEP = """
task: {name: toy}
space: {x: {float: [0, 1]}}
budget: {trials: 2}
search: {searcher: tpe, scheduler: asha}
trial: {steps: 9}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METASEARCH_STORE", str(tmp_path / "store"))
    return tmp_path


def call(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.stdout


def answer(*arguments: str, status: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", status=status))


def test_a_script_asks_and_tells_until_exit_code_four() -> None:
    first = answer("ask", "mine.yaml")
    assert (first["sweep"], first["number"], first["leg"], first["step"], first["steps"]) == ("mine", 0, 0, 0, 9)
    assert answer("ask", "mine")["number"] == 1
    assert answer("ask", "mine", status=3) == {"number": None, "finished": None, "best": None}
    assert "trials are running" in call("ask", "mine.yaml", status=3)
    assert answer("tell", "mine/0", "--loss", "2", "--step", "1", "--metric", "also=3", "--seconds", "5")["action"] == "continue"
    assert answer("tell", "mine/0", "--loss", "1") == {"action": "stop", "reason": "reached the horizon", "directive": None}
    assert call("tell", "mine/1", "--failed", "out of memory") == "stop: out of memory\n"
    assert "mine/1 (leg 1" in call("ask", "mine")
    assert call("tell", "mine/1", "--loss", "nan") == "stop: the loss is not finite\n"
    over = answer("ask", "mine", status=4)
    assert over["finished"] == "all 2 trials ended"
    assert (over["best"]["trial"], over["best"]["loss"]) == (0, 1.0)
    assert "x: " in call("ask", "mine", "--trials", "+1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "mien"), "There is no store"),
        (("ask", "mien.yaml"), "There is no sweep file"),
        (("tell", "3", "--loss", "1"), "A trial is named SWEEP/NUMBER"),
        (("tell", "mine/0"), "either --loss or --failed"),
        (("tell", "mine/0", "--loss", "1", "--failed", "x"), "either --loss or --failed"),
        (("tell", "mine/0", "--loss", "1", "--metric", "also"), 'expects NAME=NUMBER, found "also"'),
    ],
)
def test_wrong_arguments_are_one_clear_message(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(*arguments)


def test_the_shell_completes_the_names_of_sweeps(place: Path) -> None:
    call("ask", "mine.yaml")
    environment = {**os.environ, "_METASEARCH_COMPLETE": "complete_bash", "COMP_WORDS": "metasearch status mi", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", "from metasearch.cli.main import app; app(prog_name='metasearch')"]
    shown = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=60, check=False).stdout
    assert shown.split() == ["mine"]
    environment |= {"METASEARCH_STORE": str(place / "none")}
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stdout.strip() and "Traceback" not in done.stderr
