"""From a sweep file to a sweep: what only the whole can tell."""

from pathlib import Path
from typing import Any

import pytest

from metasearch.core.errors import UserError
from metasearch.core.sweep import Sweep
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.sweep.run import differences


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture()
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text("a line of text\n" * 400)
    return str(path)


def file(text: str, **changes: Any) -> SweepFile:
    return SweepFile(**{"name": "one", "task": {"corpus": text}, "budget": {"trials": 2}, **changes})


def test_a_resolved_sweep_survives_its_record(text: str) -> None:
    sweep = resolve(file(text, space={"lr": {"float": [1e-4, 1e-2], "log": True, "prior": {"center": -3, "spread": 0.5}}}))
    assert Sweep.from_record(sweep.record()) == sweep


def test_the_task_is_the_same_wherever_the_text_lies(text: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.txt"
    moved.write_text(Path(text).read_text())
    assert resolve(file(text)).task.id == resolve(file(str(moved))).task.id


def test_faults_of_all_sections_come_in_one_message(text: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(file(text + "x", search={"searcher": "tpee", "scheduler": {"name": "asha", "etaa": 3}}, space={"model": "lsmt"}))
    faults = "\n".join(raised.value.faults)
    for part in ('Did you mean "tpe"?', 'no option "etaa". Did you mean "eta"?', "text.txtx", 'Did you mean "lstm"?'):
        assert part in faults


def test_population_based_training_must_be_both_searcher_and_scheduler(text: str) -> None:
    with pytest.raises(UserError, match="pbt is searcher and scheduler in one"):
        resolve(file(text, search={"searcher": "pbt", "scheduler": "asha"}))
    pbt = {"name": "pbt", "population": 4}
    assert resolve(file(text, search={"searcher": pbt, "scheduler": pbt})).search["searcher"] == pbt


def test_differences_name_both_values_at_every_depth() -> None:
    before, after = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}
    assert differences(before, after) == {"a.c": (2, 4), "d": (3, None), "e": (None, 5)}
