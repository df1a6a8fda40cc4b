"""docs/optuna.md: its script runs as it stands, and its tables tell the defaults of the code."""

import inspect
from pathlib import Path

import pytest

from metasearch.optuna import MetaPruner, MetaSampler
from tests.docs.reading import executed, named_blocks, page, rows

PAGE = page("docs/optuna.md")


def test_the_script_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    executed(named_blocks(PAGE)["study.py"], "study.py")
    assert float(capsys.readouterr().out) < 1


def test_every_argument_is_described_with_its_default() -> None:
    described = {cells[0]: cells[1].strip("`") for cells in rows(PAGE) if len(cells) == 3}
    arguments = {**inspect.signature(MetaSampler).parameters, **inspect.signature(MetaPruner).parameters}
    assert set(described) - {"of `MetaSampler", "of `MetaPruner", "---"} == set(arguments)
    for name, argument in arguments.items():
        required = name == "sampler"
        assert described[name] == ("required" if required else repr(argument.default).replace("'", '"')), name
