"""Views: functions of the log, kept beside it, and documented to the last column."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Closed, Fact, Failed, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED, DIVERGED, State
from metasearch.core.space import Space
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store import Store, StoreUnavailable, views
from metasearch.store.query import VIEWS
from metasearch.store.rows import column_of
from metasearch.store.views import union
from metasearch.testing.faults import FailingFiles, MemoryFiles
from tests.store.strategies import whole_sweep

DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"


def write(store: Store, name: str, facts: list[Fact]) -> None:
    with store.open_log(name) as log:
        log.append(facts)


def sweep_of(name: str, task: Task, *trials: tuple[dict[str, object], list[float]], ends: str = COMPLETED) -> list[Fact]:
    """A sweep whose trials report the given losses at steps 10, 20, 30 … and then end."""
    facts: list[Fact] = [Opened(100.0, Sweep(name, task, Space(), 1000, max_failures=0).record(), {"host": "there"})]
    for index, (config, losses) in enumerate(trials):
        number = TrialId(index)
        facts.append(Proposed(200.0, number, Config(config), index, "random", "drawn"))  # type: ignore[arg-type]
        for point, loss in enumerate(losses, start=1):
            last = point == len(losses)
            metrics = {"val_bpb": loss * 1.5, "tokens": 10.0 * point, "parameters": 1e3, "rare": 1.0}
            reason = (DIVERGED if not math.isfinite(loss) else ends) if last else ""
            facts.append(Reported(200.0 + point, number, 0, 10 * point, loss, float(point), metrics))
            facts.append(Judged(200.0 + point, number, 10 * point, Action.STOP if last else Action.CONTINUE, reason))
    return [*facts, Closed(400.0, "done")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    text, code = Task("text", descriptor={"entropy": 4.5}), Task("code", source={"corpus": "stdlib"})
    lstm, gru = {"model": "lstm", "optimizer": "adam", "lr": 0.01}, {"model": "gru", "optimizer": "adam", "lr": 0.1}
    write(store, "one", sweep_of("one", text, (lstm, [3.0, 2.0, 2.5]), (gru, [2.5, 2.4]), (gru | {"lr": 1.0}, [1.0, math.nan])))
    write(store, "two", sweep_of("two", text, (lstm | {"lr": 1, "width": 64}, [2.2, 1.9, 1.8])))
    write(store, "three", sweep_of("three", code, (lstm | {"lr": "auto"}, [5.0])))
    return store


@pytest.mark.parametrize("view", VIEWS)
def test_the_columns_of_a_view_are_the_documented_ones(store: Store, view: str) -> None:
    """In name, order and type: SQL that people wrote must go on working."""
    section = re.search(rf"^### {view}\n(.*?)(?=^##)", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    documented = re.findall(r"^\| `(\w+)` \| ([a-z, <>]+) \|", section[1], re.MULTILINE)
    table = store.query(f"select * from {view}")
    found = [(name, _type_name(table.schema.field(name).type)) for name in table.column_names if not name.startswith("hp_")]
    assert found == documented


def _type_name(dtype: pa.DataType) -> str:
    if pa.types.is_map(dtype):
        return "map<text, number>"
    return "text" if pa.types.is_string(dtype) else "integer" if pa.types.is_integer(dtype) else "number"


def test_a_trial_is_one_row(store: Store) -> None:
    row = store.trials("one").to_pylist()[0]
    expected = {
        "sweep": "one",
        "trial": 0,
        "task": "text",
        "strategy": "lstm/adam",
        "model": "lstm",
        "optimizer": "adam",
        "schedule": None,
        "state": "completed",
        "origin": "random",
        "legs": 1,
        "step": 30,
        "steps": 30,
        "loss": 2.0,
        "best_step": 20,
        "final_loss": 2.5,
        "val_bpb": 3.0,
        "tokens": 30.0,
        "parameters": 1000.0,
        "lr": 0.01,
        "seconds": 3.0,
        "started": 200.0,
        "ended": 203.0,
        "reason": COMPLETED,
        "error": None,
        "hp_lr": 0.01,
        "hp_model": "lstm",
    }
    assert {name: row[name] for name in expected} == expected
    assert Config({"model": "lstm", "optimizer": "adam", "lr": 0.01}).id == row["config_id"]


def test_a_curve_is_one_row_per_report(store: Store) -> None:
    rows = [row for row in store.curves("one").to_pylist() if row["trial"] == 0]
    assert [(row["step"], row["loss"], row["seconds"]) for row in rows] == [(10, 3.0, 1.0), (20, 2.0, 2.0), (30, 2.5, 3.0)]
    assert rows[0]["val_bpb"] == 4.5 and dict(rows[0]["metrics"]) == {"rare": 1.0}


def test_a_sweep_is_one_row(store: Store) -> None:
    row = store.query("select * from sweeps where sweep = 'one'").to_pylist()[0]
    assert (row["state"], row["reason"], row["trials"], row["host"]) == ("closed", "done", 3, "there")
    assert (row["best_loss"], row["best_trial"], row["best_strategy"]) == (2.0, 0, "lstm/adam"), "the diverged one does not win"
    assert (row["opened"], row["closed"], row["steps_spent"], row["train_seconds"]) == (100.0, 400.0, 70, 7.0)


def test_a_task_is_one_row_however_many_sweeps_it_has(store: Store) -> None:
    rows = store.query("select task, descriptor['entropy'] as entropy from tasks order by task").to_pylist()
    assert rows == [{"task": "code", "entropy": None}, {"task": "text", "entropy": 4.5}]


def test_decisions_tell_a_trials_story(store: Store) -> None:
    told = store.query("select decision, step from decisions where sweep = 'one' and trial = 0 order by seq").to_pylist()
    assert [(row["decision"], row["step"]) for row in told] == [
        ("proposed", None),
        ("continue", 10),
        ("continue", 20),
        ("stop", 30),
    ]


def test_an_open_sweep_is_running_or_interrupted(store: Store) -> None:
    with store.open_log("open") as log:
        log.append(sweep_of("open", Task("text"))[:1])
        assert store.query("select state from sweeps where sweep = 'open'")["state"].to_pylist() == ["running"]
    assert store.query("select state from sweeps where sweep = 'open'")["state"].to_pylist() == ["interrupted"]
    assert store.latest() == "one"
    write(store, "later", [Opened(500.0, Sweep("later", Task("text"), Space(), 10).record())])
    assert store.latest() == "later"


def test_parameters_of_all_sweeps_meet_in_one_table(store: Store) -> None:
    """Numbers stay numbers where they can; a parameter that is text somewhere is text everywhere."""
    trials = store.trials()
    assert trials["hp_lr"].to_pylist() == ["0.01", "0.1", "1", "auto", "1"]
    assert trials["hp_width"].to_pylist() == [None, None, None, None, 64]
    assert pa.types.is_integer(trials.schema.field("hp_width").type)


def test_types_that_clash_become_numbers_or_text() -> None:
    tables = [pa.table({"a": column}) for column in (pa.array([1]), pa.array([0.5]), pa.nulls(1))]
    assert union(tables)["a"].to_pylist() == [1.0, 0.5, None]
    assert union([*tables, pa.table({"a": [True]})])["a"].to_pylist() == ["1", "0.5", None, "true"]
    assert column_of([1, None, 2]).type == pa.int64() and column_of([2**70, 1]).type == pa.float64()
    assert column_of([True, 1, 1.0, 0.1, "a"]).to_pylist() == ["true", "1", "1", "0.1", "a"]
    assert column_of([]).type == pa.float64()


def test_views_say_what_the_history_says(store: Store) -> None:
    write(store, "contract", whole_sweep())
    history = store.history("contract")
    rows = store.trials("contract").to_pylist()
    assert len(rows) == len(history)
    for trial, row in zip(history, rows, strict=True):
        assert row["state"] == trial.state.value and row["step"] == trial.step and row["legs"] == trial.leg + 1
        assert row["loss"] == (trial.best_loss if math.isfinite(trial.best_loss) else None)
        assert row["error"] == (trial.errors[-1] if trial.errors else None)
    points = store.query("select trial, list(step order by step) as steps from curves where sweep = 'contract' group by 1")
    assert {row["trial"]: row["steps"] for row in points.to_pylist()} == {t.number: t.steps for t in history if t.steps}


def test_a_failed_trial_never_wins(tmp_path: Path) -> None:
    facts = sweep_of("it", Task("text"), ({"lr": 0.1}, [1.0, 0.5]), ({"lr": 0.2}, [2.0]))
    failed = [*facts[:4], Failed(300.0, TrialId(0), 0, "gone"), *facts[6:]]
    store = Store(tmp_path)
    write(store, "it", failed)
    assert store.history("it")[0].state is State.FAILED
    assert store.best()["trial"].to_pylist() == [1]
    assert store.query("select best_trial from sweeps")["best_trial"].to_pylist() == [1]


def test_views_are_kept_and_made_anew_when_the_log_grows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.trials()
    made = []
    monkeypatch.setattr(views, "make_views", lambda *given: made.append(given[1]) or _REAL(*given))
    store.trials()
    assert made == [], "nothing has changed"
    write(store, "one", [Closed(500.0, "again")])
    assert store.query("select reason from sweeps where sweep = 'one'")["reason"].to_pylist() == ["again"]
    assert made == ["one"], "only what has changed"
    monkeypatch.setattr(views, "VERSION_OF_VIEWS", "0")
    store.trials("two")
    assert made == ["one", "two"], "views of another metasearch are not trusted"


_REAL = views.make_views


@pytest.mark.parametrize("harm", ["delete", "empty", "flip"])
def test_views_may_be_deleted_and_damaged_at_any_time(store: Store, tmp_path: Path, harm: str) -> None:
    before = store.trials()
    path = tmp_path / "sweeps/one/views/trials.parquet"
    if harm == "delete":
        shutil.rmtree(path.parent)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if harm == "flip" else b"")
    assert repr(store.trials().to_pylist()) == repr(before.to_pylist())
    assert path.exists()


def test_a_store_that_cannot_be_written_still_answers() -> None:
    files = MemoryFiles()
    write(Store(files), "one", sweep_of("one", Task("text"), ({"lr": 0.1}, [1.0])))
    before = set(files.contents)
    answer = Store(FailingFiles(files, frozenset(range(100)))).best()
    assert answer["loss"].to_pylist() == [1.0]
    assert set(files.contents) == before


def test_views_of_a_torn_log_end_before_the_tear(tmp_path: Path) -> None:
    store = Store(tmp_path)
    facts = sweep_of("one", Task("text"), ({"lr": 0.1}, [1.0, 2.0]))
    write(store, "one", facts[:-1])
    write(store, "one", facts[-1:])
    max((tmp_path / "sweeps/one/log").iterdir()).write_bytes(b"")
    with pytest.warns(UserWarning, match="sets it aside"):
        assert store.query("select state from sweeps")["state"].to_pylist() == ["interrupted"]


def test_what_is_not_there_is_named_with_a_suggestion(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'no sweep "ones".*Did you mean "one"'):
        store.trials("ones")
    with pytest.raises(UserError, match=r'no sweep "ones".*Did you mean "one"'):
        store.facts("ones")
    with pytest.raises(UserError, match=r'no trials of a task "txt".*Did you mean "text"'):
        store.best(task="txt")
    with pytest.raises(StoreUnavailable, match=r"no sweeps at .*nowhere\. Launch one"):
        Store(tmp_path / "nowhere").trials()
    assert not (tmp_path / "nowhere").exists()


def test_a_sweep_without_trials_has_empty_views(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "empty", sweep_of("empty", Task("text"))[:1])
    assert store.trials().num_rows == store.curves().num_rows == store.best().num_rows == 0
    assert store.best(at=10, by="strategy").num_rows == 0
    assert store.query("select count(*) as n from decisions")["n"].to_pylist() == [0]
