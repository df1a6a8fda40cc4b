"""The archive of a store and past tasks of tables: what the learned parts read of earlier sweeps."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metasearch.backends.simulated import Curves
from metasearch.catalog import build_scheduler, build_searcher
from metasearch.core.config import Config, Value
from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Opened, Reported
from metasearch.core.history import History, State
from metasearch.core.scales import Scale
from metasearch.core.space import Choice, Fixed, Float, Int, Space
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.store.descriptors import describe_name
from metasearch.store.schema import VERSION_KEY
from metasearch.store.sealed import seal
from metasearch.store.tables import read_curve_table, read_past_task, space_of, table_tasks
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves, Diverging
from metasearch.testing.spaces import CONDITIONAL, PLAIN
from tests.store.strategies import whole_sweep
from tests.store.test_views import write

FOLDER = os.environ.get("METASEARCH_CURVES", "")
FILES = sorted(Path(FOLDER).glob("*.parquet")) if FOLDER else []


def facts_of(
    name: str,
    space: Space = CONDITIONAL,
    *,
    task: Task | None = None,
    algorithms: tuple[str, str] = ("random", "fifo"),
    curves: Curves | None = None,
    opened: float = 0.0,
    trials: int = 6,
    horizon: int = 100,
) -> list[Fact]:
    """A simulated sweep, ready to be written into a store."""
    sweep = make_sweep(space, trials=trials, horizon=horizon).amended(name=name, task=task or Task("bowl"), seed=len(name))
    made = run_sweep(sweep, build_searcher(algorithms[0]), build_scheduler(algorithms[1]), curves or BowlCurves())
    assert isinstance(made[0], Opened)
    return [Opened(opened, json.loads(json.dumps(made[0].sweep))), *made[1:]]


def test_a_store_without_sweeps_is_an_empty_archive(tmp_path: Path) -> None:
    assert len(Store(tmp_path).archive()) == len(Store(tmp_path / "none").archive()) == 0


def test_a_trial_is_in_the_archive_as_it_is_in_the_history(tmp_path: Path) -> None:
    store, facts = (
        Store(tmp_path),
        facts_of("one", curves=Diverging(BowlCurves(noise=0.1), 0.5), algorithms=("random", "asha"), trials=30),
    )
    write(store, "one", facts)
    history = History.fold(facts)
    (task,) = store.archive()
    assert (task.id, task.name, task.metric, task.unit, task.horizon) == (Task("bowl").id, "bowl", "val_bpb", "tokens", 100)
    assert task.names == set(CONDITIONAL.names)
    assert {state for trial in history if (state := trial.state)} >= {State.COMPLETED, State.STOPPED, State.DIVERGED}
    for past, trial in zip(task.trials, history, strict=True):
        assert (past.config, past.seed, past.sweep) == (trial.config, trial.seed, "one")
        assert past.code == CONDITIONAL.encode(trial.config)
        assert past.steps == tuple(trial.steps) and past.costs[-1] == trial.seconds
        assert repr(past.losses) == repr(tuple(trial.losses))
        assert past.ended == (trial.state in (State.COMPLETED, State.DIVERGED))
        assert past.diverged == (trial.state is State.DIVERGED) and past.lowest == trial.best_loss


def test_sweeps_of_one_task_are_one_task_of_the_archive(tmp_path: Path) -> None:
    store, text = Store(tmp_path), {"source": {"corpus": "text"}}
    old, new = Task("old name", descriptor={"size": 1.0}, **text), Task("new name", descriptor={"size": 2.0}, **text)
    write(store, "a", facts_of("a", PLAIN, task=new, opened=20.0))
    write(store, "bb", facts_of("bb", task=old, opened=10.0))
    write(store, "ccc", facts_of("ccc", task=Task("other", source={"corpus": "book"}), opened=30.0))
    archive = store.archive()
    assert [(task.name, task.horizon, dict(task.descriptor)) for task in archive] == [
        ("new name", 100, {"size": 2.0}),
        ("other", 100, {}),
    ]
    assert archive.sweeps == ("bb", "a", "ccc") and archive.trials == 18
    assert archive.tasks[0].names == {*PLAIN.names, *CONDITIONAL.names}


def test_what_was_trained_longer_is_a_task_of_its_own(tmp_path: Path) -> None:
    """A result after 50 steps is not a bad one of a training of 100."""
    store, task = Store(tmp_path), Task("text", descriptor={"size": 1.0})
    write(store, "a", facts_of("a", PLAIN, task=task, opened=20.0, horizon=50))
    write(store, "bb", facts_of("bb", PLAIN, task=task, opened=10.0))
    long, short = store.archive()
    assert long.id == short.id and (long.horizon, short.horizon) == (100, 50)
    assert {trial.steps[-1] for trial in short.trials if trial.ended and not trial.diverged} == {50}
    assert long.circumstances == {"size": 1.0, "log10_horizon": 2.0}


def test_codes_are_those_of_the_sweep_in_which_a_trial_ran(tmp_path: Path) -> None:
    """One sweep compares the size by decades, the other does not; what is pinned belongs to the config."""
    store = Store(tmp_path)
    write(store, "log", facts_of("log", Space.of(size=Int(10, 1000, log=True), kind=Fixed("x"))))
    write(store, "plain", facts_of("plain", Space.of(size=Int(10, 1000), kind=Fixed("x"))))
    for trial in store.archive().tasks[0].trials:
        size = float(trial.config["size"])
        assert trial.code == {"size": pytest.approx(math.log10(size) if trial.sweep == "log" else size), "kind": "x"}


def test_sweeps_can_be_left_out_or_chosen(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("a", "bb", "ccc"):
        write(store, name, facts_of(name))
    assert store.archive(exclude=["bb", "unknown"]).sweeps == ("a", "ccc")
    assert store.archive(only=["ccc", "bb"]).sweeps == ("bb", "ccc")
    assert store.archive(only=["ccc", "bb"], exclude=["bb"]).sweeps == ("ccc",)
    with pytest.raises(UserError, match=r'no sweep "cc".*Did you mean "ccc"'):
        store.archive(only=["cc"])


def test_heirs_of_weights_and_trials_without_reports_are_left_out(tmp_path: Path) -> None:
    store, facts = Store(tmp_path), facts_of("pbt", PLAIN, algorithms=("pbt", "pbt"), trials=40)
    write(store, "pbt", facts)
    write(store, "whole", whole_sweep(60))
    folds = [History.fold(facts), History.fold(whole_sweep(60))]
    expected = [(history.sweep.name, t.config) for history in folds for t in history if t.parent is None and t.steps]
    assert len(expected) < sum(len(history) for history in folds)
    found = [(trial.sweep, trial.config) for task in store.archive() for trial in task.trials]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_a_sweep_that_cannot_be_read_is_left_out_with_a_warning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("sound", "torn", "future"):
        write(store, name, facts_of(name))
    for path in (tmp_path / "sweeps" / "torn" / "log").iterdir():
        path.write_bytes(b"PAR1 no more")
    for path in (tmp_path / "sweeps" / "future" / "log").iterdir():
        path.write_bytes(seal(pq.read_table(path), {VERSION_KEY: "99"}, small=True))
    with pytest.warns(UserWarning, match="left out") as warned:
        assert store.archive().sweeps == ("sound",)
    messages = sorted(str(warning.message) for warning in warned)
    assert messages[0].startswith("The sweep future cannot be read") and "schema version 99" in messages[0]
    assert messages[1].startswith("The sweep torn cannot be read")


def test_a_record_that_makes_no_sense_is_left_out_with_a_warning(tmp_path: Path) -> None:
    store, facts = Store(tmp_path), facts_of("odd")
    assert isinstance(facts[0], Opened)
    parameters = [{"name": "lr", "type": "quaternion"}]
    odd = Opened(0.0, {**facts[0].sweep, "space": {"parameters": parameters}})
    write(store, "odd", [odd])
    with pytest.warns(UserWarning, match=r"The sweep odd cannot be read and is left out: KeyError: 'quaternion'"):
        assert len(store.archive()) == 0


def test_twenty_thousand_reports_are_read_in_a_moment(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "long", facts_of("long", trials=2000))
    assert store.archive().trials == 2000
    began = time.perf_counter()
    store.archive()
    assert time.perf_counter() - began < 2.0


def test_own_trials_keep_the_scales_and_the_description_of_their_sweeps(tmp_path: Path) -> None:
    """The values alone span less than two decades, so nothing else could tell that decades matter."""
    store, space = Store(tmp_path), Space.of(size=Int(10, 100, log=True), rate=Float(0.001, 0.5))
    write(store, "one", facts_of("one", space, task=Task("bowl", descriptor={"size": 3.0}), trials=20))
    recorded = store.recorded("bowl")
    assert recorded.descriptor == {"size": 3.0}
    for trial in store.archive().tasks[0].trials:
        assert recorded.space.encode(trial.config) == pytest.approx(trial.code)


def table(tmp_path: Path, name: str = "table", **columns: Any) -> Path:
    path = tmp_path / f"{name}.parquet"
    count = len(columns["curve"])
    common = {"task": ["it"] * count, "config_id": list(range(count)), "hp_lr": [0.1 * (k + 1) for k in range(count)]}
    pq.write_table(pa.table({**common, **columns}), path)
    return path


def test_every_row_of_a_table_is_a_past_trial(tmp_path: Path) -> None:
    path = table(
        tmp_path, curve=[[3.0, 2.0], [4.0, None, 1.0], [], [2.5]], hp_lr=[0.1] * 4, hp_name=["a", "a", "a", None], seed=[5, 6, 7, 8]
    )
    task = read_past_task(path, "it")
    assert (task.name, task.horizon, task.names, task.unit) == ("it", 2, {"lr", "name"}, "steps")
    assert [(trial.seed, trial.steps, trial.diverged) for trial in task.trials] == [
        (5, (1, 2), False),
        (6, (1, 2), True),
        (8, (1,), False),
    ]
    assert task.trials[0].code == {"lr": pytest.approx(-1.0), "name": "a"} and task.trials[2].code == {"lr": pytest.approx(-1.0)}
    assert all(trial.ended for trial in task.trials)
    assert len(read_curve_table(path, "it").recordings) == 2


def test_the_id_of_a_past_task_names_its_file_and_task(tmp_path: Path) -> None:
    one = table(tmp_path, curve=[[1.0], [2.0]], task=["it", "that"])
    (tmp_path / "elsewhere").mkdir()
    moved = table(tmp_path / "elsewhere", curve=[[1.0]])
    other = table(tmp_path, "other", curve=[[1.0]])
    ids = [read_past_task(path, task).id for path, task in ((one, "it"), (one, "that"), (other, "it"))]
    assert len(set(ids)) == 3 and read_past_task(moved, "it").id == ids[0]


def test_a_task_without_points_teaches_nothing(tmp_path: Path) -> None:
    path = table(tmp_path, curve=pa.array([[]], pa.list_(pa.float64())))
    with pytest.raises(UserError, match=r'task "it" in .*table.parquet has reported anything'):
        read_past_task(path, "it")


def test_codes_of_one_parameter_agree_in_all_tasks_of_a_table(tmp_path: Path) -> None:
    """Only both tasks together show that it is compared by decades; one of them has a single value of it."""
    path = table(
        tmp_path, curve=[[1.0]] * 4, task=["a", "a", "b", "b"], hp_width_ratio=[0.01, 0.02, 5.0, 5.0], hp_depth=[1, 2, 3, 4]
    )
    for task in ("a", "b"):
        space = read_curve_table(path, task).space
        for trial in read_past_task(path, task).trials:
            assert trial.code == pytest.approx(space.encode(trial.config))
            assert trial.code["width_ratio"] == pytest.approx(math.log10(float(trial.config["width_ratio"])))
            assert trial.code["depth"] == trial.config["depth"]


def test_a_table_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    assert read_past_task(table(tmp_path, curve=[[1.0]]), "it").trials[0].losses == (1.0,)
    assert read_past_task(table(tmp_path, curve=[[2.0]]), "it").trials[0].losses == (2.0,)


def config(**values: Value) -> Config:
    return Config(values)


def test_a_known_scale_counts_more_than_the_values() -> None:
    configs = [config(size=10, rate=0.5), config(size=20, rate=0.5)]
    space = space_of(configs, {"size": Scale.LOG, "rate": Scale.COMPLEMENT})
    assert {p.name: p.domain for p in space} == {"size": Int(10, 20, log=True), "rate": Float(0.5, 0.5, complement=True)}
    assert {p.name: type(p.domain) for p in space_of(configs)} == {"size": Int, "rate": Fixed}
    assert isinstance(space_of([config(size="a"), config(size=1)], {"size": Scale.LOG}).parameters[0].domain, Choice)


def test_columns_with_one_value_for_each_task_describe_it(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        curve=[[1.0]] * 4,
        task=["130m/2x", "130m/2x", "plain", "plain"],
        batch=[100, 100, 1000, 1000],
        shift=[-1.0, -1.0, 0.0, 0.0],
        cost_per_step=[10.0] * 4,
        varies=[1.0, 2.0, 3.0, 3.0],
        partly=[1.0, None, 2.0, 2.0],
        best_loss=[1.0] * 4,
        seed=[1] * 4,
        trial=[1] * 4,
        tuned=[True] * 4,
        hp_depth=[3] * 4,
    )
    common = {"log10_cost_per_step": 1.0}
    assert read_past_task(path, "plain").descriptor == {**common, "log10_batch": 3.0, "shift": 0.0}
    named = {"log10_size": pytest.approx(math.log10(130e6)), "log10_ratio": pytest.approx(math.log10(2))}
    assert read_past_task(path, "130m/2x").descriptor == {**common, **named, "log10_batch": 2.0, "shift": -1.0}
    assert read_curve_table(path, "plain").descriptor == read_past_task(path, "plain").descriptor


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("130m", {"log10_size": 130e6}),
        ("lm_1.2B tuned", {"log10_size": 1.2e9}),
        ("350k-16x", {"log10_size": 350e3, "log10_ratio": 16}),
        ("LSTM128_E128_bs128", {}),
        ("10by10/x16/0k", {}),
        ("1b/2b", {"log10_size": 1e9}),
    ],
)
def test_sizes_in_names_are_tokens_of_their_own(name: str, numbers: dict[str, float]) -> None:
    assert describe_name(name) == {key: pytest.approx(math.log10(number)) for key, number in numbers.items()}


@pytest.mark.skipif(not FILES, reason="METASEARCH_CURVES names no folder with curve tables")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_tables_are_past_tasks(path: Path) -> None:
    for task in table_tasks(path)[:2]:
        past, recorded = read_past_task(path, task), read_curve_table(path, task)
        assert len(past.trials) >= len(recorded.recordings) and past.horizon >= recorded.horizon
        assert {trial.config.id for trial in past.trials} == recorded.recordings.keys()
        assert all(math.isfinite(number) for number in past.descriptor.values())


def test_asha_stops_are_not_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "contract", whole_sweep())
    (task,) = store.archive()
    assert {trial.ended for trial in task.trials} == {True, False}
    assert all(trial.steps[-1] < task.horizon for trial in task.trials if not trial.ended)


def test_a_trial_that_was_sent_back_and_ended_well_did_not_diverge(tmp_path: Path) -> None:
    store, facts = Store(tmp_path), facts_of("one", trials=1)
    lost = next(index for index, fact in enumerate(facts) if isinstance(fact, Reported))
    write(store, "one", [replace(fact, loss=math.inf) if index == lost else fact for index, fact in enumerate(facts)])  # type: ignore[arg-type]
    ((trial,),) = (task.trials for task in store.archive())
    assert not trial.diverged and all(math.isfinite(loss) for loss in trial.losses)
    assert len(trial.steps) == sum(isinstance(fact, Reported) for fact in facts) - 1
