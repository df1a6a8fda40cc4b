"""Searches over recorded curves: what they cost is counted in full trainings, and what they find is what was recorded."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metasearch.core.archive import PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.store.tables import read_curve_table
from metasearch.sweep.simulation import Replay, normalised_regret, replay
from metasearch.sweep.sources import corrupted, drawn, read_sources
from tests.store.test_past import facts_of
from tests.store.test_views import write

POINTS = 9


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 configs of which the learning rate decides; the optimum is at 1e-2."""
    path = tmp_path_factory.mktemp("tables") / "curves.parquet"
    lr_C = 10.0 ** derive(0, "lr").uniform(-5, 0, 60)
    curves = [list(1.0 + abs(np.log10(lr) + 2) + 2.0 / np.arange(1, POINTS + 1)) for lr in lr_C]
    names = [f"c{i}" for i in range(60)]
    columns = {"task": ["digits"] * 60, "config_id": names, "hp_lr": lr_C, "curve": curves, "cost_per_step": [1.0] * 60}
    pq.write_table(pa.table(columns), path)
    return f"{path}:digits"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five tasks of 60 configs each, no config on two of them, that nearly agree on the best learning rate; the path."""
    columns: dict[str, list[Any]] = {"task": [], "config_id": [], "hp_lr": [], "hp_dropout": [], "curve": [], "corpus": []}
    for k in range(5):
        rng = derive(k, "family")
        for index in range(60):
            lr, dropout = float(rng.uniform(-5, 0)), float(rng.uniform(0, 0.5))
            level = 1.0 + abs(lr + 2.0 + 0.1 * k) + dropout
            row = (f"{k}m", index, 10.0**lr, dropout, list(level + 2.0 / np.arange(1, POINTS + 1)), 10 * (k + 1))
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    path = tmp_path_factory.mktemp("tables") / "family.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def written(folder: Path, **columns: list[Any]) -> Path:
    """A table of one task, or of the tasks given, with one parameter."""
    count = len(columns["curve"])
    path = folder / "written.parquet"
    common = {"task": ["it"] * count, "config_id": list(range(count)), "hp_lr": [0.1 * (k + 1) for k in range(count)]}
    pq.write_table(pa.table({**common, **columns}), path)
    return path


def lowest(target: str) -> float:
    table = pq.read_table(target.removesuffix(":digits"))
    return min(min(curve) for curve in table["curve"].to_pylist())


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("searcher", "scheduler"), [("random", "fifo"), ("random", "asha"), ("tpe", "hyperband"), ("sobol", "median")]
)
def test_a_search_spends_its_budget_and_its_best_never_gets_worse(target: str, searcher: str, scheduler: str, workers: int) -> None:
    found = replay(target, searcher=searcher, scheduler=scheduler, workers=workers, budget=6, seed=1)
    spent, best = zip(*found.trajectory, strict=True)
    assert list(spent) == sorted(spent)
    assert 6 <= spent[-1] <= 6 + workers
    assert list(best) == sorted(best, reverse=True)
    assert 0 <= found.normalised_regret <= 1
    assert found.decisions == len(found.seconds_deciding) >= found.trials


def test_a_budget_for_everything_finds_the_best_that_was_recorded(target: str) -> None:
    found = replay(target, searcher="random", scheduler="fifo", budget=60, seed=0)
    assert found.trials == 60
    assert found.trajectory[-1][1] == lowest(target)
    assert found.normalised_regret == 0.0


def test_the_same_seed_gives_the_same_trajectory_and_another_seed_another(target: str) -> None:
    first, second, other = (replay(target, searcher="tpe", scheduler="asha", budget=10, seed=seed) for seed in (3, 3, 4))
    assert first.trajectory == second.trajectory != other.trajectory


def test_stopping_early_finds_more_than_training_everything_in_full(target: str) -> None:
    def regret(scheduler: str) -> float:
        return statistics.mean(
            replay(target, searcher="random", scheduler=scheduler, budget=4, seed=s).normalised_regret for s in range(12)
        )

    assert regret("asha") < 0.9 * regret("fifo")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nothing", "A target is written FILE.parquet:TASK or STORE:TASK"),
        ("none/here:task", "There is no store at none/here"),
        ("none.parquet:task", "none.parquet"),
    ],
)
def test_a_target_that_is_not_there_is_one_clear_message(wrong: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replay(wrong, searcher="random", scheduler="fifo")


def test_an_unknown_task_names_the_ones_that_are_there(target: str) -> None:
    with pytest.raises(UserError, match="digits"):
        replay(f"{Path(target.removesuffix(':digits'))}:digit", searcher="random", scheduler="fifo")


def test_numbers_that_do_not_work_are_refused_together(target: str) -> None:
    with pytest.raises(UserError) as raised:
        replay(target, searcher="random", scheduler="fifo", workers=0, budget=-1)
    assert len(raised.value.faults) == 2


@pytest.mark.parametrize("corrupt", ["none", "permute", "reverse", "mixed"])
@pytest.mark.parametrize("searcher", ["portfolio", "rgpe"])
def test_a_learned_searcher_knows_its_sources(family: str, searcher: str, corrupt: str) -> None:
    found = replay(f"{family}:2m", searcher=searcher, sources=[f"{family}:*"], source_trials=20, corrupt=corrupt, budget=4)
    assert found.sources == [f"{family}:{k}m" for k in (0, 1, 3, 4)]
    assert (found.searcher, found.scheduler, found.source_trials, found.learned) == (searcher, "asha", 20, True)
    assert found.seconds_learning > 0
    again = replay(f"{family}:2m", searcher=searcher, sources=[f"{family}:*"], source_trials=20, corrupt=corrupt, budget=4)
    assert again.trajectory == found.trajectory


def test_sources_help_a_learned_searcher_and_corrupt_ones_do_not(family: str) -> None:
    def regret(**options: Any) -> float:
        runs = [replay(f"{family}:2m", searcher="portfolio", scheduler="fifo", budget=3, seed=seed, **options) for seed in range(8)]
        return statistics.mean(run.normalised_regret for run in runs)

    known, misled, nothing = regret(sources=[f"{family}:*"]), regret(sources=[f"{family}:*"], corrupt="reverse"), regret()
    assert known < 0.5 * nothing < misled


def test_sources_change_nothing_for_a_searcher_that_does_not_learn(family: str) -> None:
    def run(*sources: str) -> Replay:
        return replay(f"{family}:2m", searcher="tpe", sources=sources, budget=3)

    assert run(f"{family}:*").trajectory == run().trajectory == run("", " , ").trajectory
    assert run().sources == [] and not run(f"{family}:*").learned


@pytest.mark.parametrize(
    ("searcher", "pair"),
    [
        ("random", ("random", "fifo")),
        ("sobol", ("sobol", "fifo")),
        ("grid", ("grid", "fifo")),
        ("tpe", ("tpe", "asha")),
        ("gp", ("gp", "asha")),
        ("pbt", ("pbt", "pbt")),
        ("asha", ("random", "asha")),
        ("hyperband", ("random", "hyperband")),
        ("portfolio", ("portfolio", "asha")),
    ],
)
def test_without_a_scheduler_a_searcher_gets_the_one_that_fits(target: str, searcher: str, pair: tuple[str, str]) -> None:
    found = replay(target, searcher=searcher, budget=2)
    assert (found.searcher, found.scheduler) == pair
    named = replay(target, searcher=pair[0], scheduler=pair[1], budget=2)
    assert named.trajectory == found.trajectory


OWN_META = """
from metasearch.core.event import CONTINUE
from metasearch.search.random import Random

NAME = "oracle"

class Oracle(Random):
    def judge(self, history, trial, rng):
        assert history.sweep.task.descriptor == {descriptor}
        return CONTINUE

    def thaw(self, history, rng):
        return None

class Meta:
    def init(self, rng):
        return []

    def learn(self, theta, archive, rng):
        return [(task.name, len(task.trials), dict(task.descriptor)) for task in archive]

    def build(self, theta):
        assert theta == {theta}
        return Oracle()

META = Meta()
"""


@pytest.mark.parametrize("descriptors", [True, False])
def test_a_meta_that_judges_is_its_own_scheduler_and_sees_descriptors(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptors: bool
) -> None:
    def descriptor(k: int) -> dict[str, float]:
        return {**({"log10_size": math.log10(k * 1e6)} if k else {}), "log10_corpus": math.log10(10 * (k + 1))}

    numbers = descriptor if descriptors else (lambda k: {})
    theta = [("0m", 7, numbers(0)), ("4m", 7, numbers(4))]
    (tmp_path / "meta").mkdir()
    module = f"oracle_{descriptors}".lower()
    code = (
        OWN_META.replace("{descriptor}", repr(numbers(2))).replace("{theta}", repr(theta)).replace('"oracle"', f'"{module}_named"')
    )
    (tmp_path / "meta" / f"{module}.py").write_text(code)
    monkeypatch.setenv("METASEARCH_PLUGINS", str(tmp_path))
    found = replay(
        f"{family}:2m",
        searcher=f"{module}_named",
        sources=[f"{family}:0m,{family}:4m", f"{family}:0m"],
        source_trials=7,
        descriptors=descriptors,
        budget=2,
    )
    assert (found.searcher, found.scheduler) == (f"{module}_named", f"{module}_named")
    assert replay(f"{family}:2m", searcher="portfolio", scheduler="fifo", budget=1).scheduler == "fifo"
    with pytest.raises(UserError, match=f'no searcher "{module}"'):
        replay(f"{family}:2m", searcher=module)


def past(*losses: float) -> PastTask:
    trials = [PastTrial(Config({"x": k}), {"x": float(k)}, (1,), (loss,), (1.0,), seed=k) for k, loss in enumerate(losses)]
    return PastTask("id", "name", 1, tuple(trials), frozenset({"x"}))


def losses_of(task: PastTask) -> list[float]:
    return [trial.losses[0] for trial in task.trials]


def test_reversing_gives_the_best_config_the_worst_curve() -> None:
    (reversed_task,) = corrupted([past(5.0, 1.0, math.inf, 3.0)], "reverse", 0)
    assert losses_of(reversed_task) == [3.0, math.inf, 1.0, 5.0]
    assert [trial.config["x"] for trial in reversed_task.trials] == [0, 1, 2, 3]
    assert [trial.seed for trial in reversed_task.trials] == [0, 1, 2, 3]


def test_permuting_keeps_the_curves_and_mixing_takes_turns() -> None:
    tasks = [past(*range(40)) for _ in range(4)]
    permuted = list(corrupted(tasks, "permute", 0))
    assert all(sorted(losses_of(task)) == list(range(40)) != losses_of(task) for task in permuted)
    mixed = list(corrupted(tasks, "mixed", 0))
    assert [losses_of(task) == list(range(39, -1, -1)) for task in mixed] == [False, True, False, True]
    assert losses_of(mixed[0]) == losses_of(permuted[0]) != losses_of(next(corrupted(tasks, "permute", 1)))
    assert list(corrupted(tasks, "none", 0)) == tasks


def test_the_trials_known_of_a_source_depend_on_the_seed_and_the_source_alone() -> None:
    task = past(*range(40))
    first, again, other = drawn(task, 10, 0), drawn(task, 10, 0), drawn(task, 10, 1)
    assert losses_of(first) == losses_of(again) == sorted(losses_of(first)) and len(first.trials) == 10
    assert losses_of(first) != losses_of(other)
    assert drawn(task, 40, 0) == task == drawn(task, 1000, 0)


def test_one_s_own_store_is_a_source_but_for_the_target_s_task(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, task in (("a", "code"), ("bb", "code"), ("ccc", "text"), ("dddd", "books")):
        write(store, name, facts_of(name, task=Task(task, source={"corpus": task}, descriptor={"entropy": float(len(task))})))
    found = replay(f"{tmp_path}:code", searcher="portfolio", sources=[f"{tmp_path}:*"], budget=2)
    assert sorted(found.sources) == [f"{tmp_path}:books", f"{tmp_path}:text"]
    text = read_sources([f"{tmp_path}:text"], f"{tmp_path}:code", trials=4, corrupt="none", descriptors=True, seed=0).archive.tasks[
        0
    ]
    assert (text.name, text.descriptor, len(text.trials)) == ("text", {"entropy": 4.0}, 4)
    with pytest.raises(UserError, match=r'no trials of a task "book" .*Did you mean "books"'):
        replay(f"{tmp_path}:code", searcher="portfolio", sources=[f"{tmp_path}:book"])
    with pytest.raises(UserError, match="is the target itself"):
        replay(f"{tmp_path}:code", searcher="portfolio", sources=[f"{tmp_path}:code"])


def test_a_store_with_one_task_has_no_sources(tmp_path: Path) -> None:
    write(Store(tmp_path), "one", facts_of("one"))
    with pytest.raises(UserError, match=r"The source .*:\* holds no other task with a finite loss"):
        replay(f"{tmp_path}:bowl", searcher="portfolio", sources=[f"{tmp_path}:*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ["nothing"]}, 'A source is written FILE.parquet:TASK or STORE:TASK, found "nothing"'),
        ({"sources": ["here/{family}"]}, "A source is written"),
        ({"sources": [".parquet:task"]}, "There is no store at .parquet"),
        ({"sources": ["{family}:9m"]}, r'family.parquet holds no task "9m". (Did you mean|Known)'),
        ({"sources": ["{family}:2m"]}, r"The source .*:2m is the target itself"),
        ({"sources": ["{family}:0m,none.parquet:*"]}, "There is no curve table none.parquet"),
        ({"sources": ["none/here:task"]}, "There is no store at none/here"),
        ({"corrupt": "permut"}, 'no way to corrupt called "permut". Did you mean "permute"'),
        ({"source_trials": 0}, "source trials must be at least 1, found 0"),
        ({"searcher": "portfolo"}, 'There is no searcher "portfolo". Did you mean "portfolio"'),
        ({"searcher": {"name": "rgpe", "startup": 3}}, "rgpe has no options, found startup"),
        ({"scheduler": "ashas"}, 'There is no scheduler "ashas". Did you mean "asha"'),
        ({"searcher": "hyperband", "scheduler": "asha"}, '"hyperband" is random search with the scheduler hyperband'),
        ({"budget": math.nan}, "budget must be above 0, found nan"),
    ],
)
def test_what_does_not_work_is_one_clear_message(family: str, options: dict[str, Any], message: str) -> None:
    filled = {k: [part.replace("{family}", family) for part in v] if k == "sources" else v for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        replay(f"{family}:2m", **{"searcher": "portfolio", **filled})


def test_a_source_table_without_the_needed_columns_names_them(target: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"task": ["it"], "loss": [1.0]}), tmp_path / "bare.parquet")
    with pytest.raises(UserError, match="Columns found: task, loss") as error:
        replay(target, searcher="portfolio", sources=[f"{tmp_path}/bare.parquet:it"])
    assert "curve" in error.value.faults
    pq.write_table(pa.table({"task": ["it"], "config_id": [0], "hp_lr": [0.1], "curve": [1.0]}), tmp_path / "flat.parquet")
    with pytest.raises(UserError, match="the column curve must hold lists, found double"):
        replay(target, searcher="portfolio", sources=[f"{tmp_path}/flat.parquet:it"])


def test_curves_that_never_were_finite_are_no_target_and_no_source(target: str, tmp_path: Path) -> None:
    lost = written(tmp_path, curve=[[math.nan, 1.0], [math.inf], [None]])
    with pytest.raises(UserError, match="none of its 3 configs ever had a finite loss"):
        replay(f"{lost}:it", searcher="random")
    for task, what in (("it", "no trial"), ("*", "no other task")):
        with pytest.raises(UserError, match=f"The source .*written.parquet:.* holds {what} with a finite loss"):
            replay(target, searcher="portfolio", sources=[f"{lost}:{task}"])


def test_of_all_tasks_of_a_table_the_usable_ones_are_sources(target: str, tmp_path: Path) -> None:
    curves = pa.array([[math.nan], [2.0], []], pa.list_(pa.float64()))
    some = written(tmp_path, curve=curves, task=["lost", "sound", "empty"])  # type: ignore[arg-type]
    assert replay(target, searcher="portfolio", sources=[f"{some}:*"], budget=1).sources == [f"{some}:sound"]


@pytest.mark.parametrize("searcher", ["portfolio", "rgpe", "hyperband"])
def test_curves_with_nan_and_of_one_point_are_survived(target: str, tmp_path: Path, searcher: str) -> None:
    curves = [[3.0, 2.0], [4.0, math.nan, 1.0], [math.nan], [2.5], [math.inf], [2.4]]
    mixed = written(tmp_path, curve=curves)
    assert replay(target, searcher=searcher, sources=[f"{mixed}:it"], budget=2).trials > 1
    found = replay(f"{mixed}:it", searcher=searcher, sources=[target], budget=50)
    assert found.trials == 6 and found.normalised_regret == 0.0
    points = written(tmp_path, curve=[[float(k)] for k in range(8)])
    found = replay(f"{points}:it", searcher=searcher, sources=[target], budget=8)
    assert found.trials == 8 and found.trajectory[-1] == (8.0, 0.0)


def test_regret_is_measured_by_configs_that_worked_if_most_did_not(tmp_path: Path) -> None:
    table = read_curve_table(written(tmp_path, curve=[[1.0], [2.0], [3.0], *[[math.nan]] * 5]), "it")
    assert [normalised_regret(table, best) for best in (1.0, 1.5, 2.0, 3.0, math.inf)] == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_the_command_answers_with_sources(family: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["simulate", "--target", f"{family}:2m", "--searcher", "portfolio", "--budget", "2", "--source-trials", "5"]
    called(monkeypatch, [*command, "--sources", f"{family}:0m,{family}:1m", "--sources", f"{family}:3m", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["sources"] == [f"{family}:{k}m" for k in (0, 1, 3)]
    assert {"trajectory", "decisions", "seconds_deciding", "trials", "normalised_regret", "target"} <= answer.keys()
    assert (answer["searcher"], answer["scheduler"], answer["source_trials"]) == ("portfolio", "asha", 5)
    assert answer["seconds_learning"] > 0
    called(monkeypatch, [*command, "--sources", f"{family}:*", "--no-descriptors"])
    assert "4 sources, at most 5 trials of each, learned from in" in capsys.readouterr().out
    called(monkeypatch, ["simulate", "--target", f"{family}:2m", "--budget", "1", "--sources", f"{family}:*"])
    assert "tpe cannot learn from them" in capsys.readouterr().out
    called(monkeypatch, [*command, "--sources", "nonsense"], code=2)
    assert "A source is written FILE.parquet:TASK or STORE:TASK" in capsys.readouterr().err


def called(monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int = 0) -> None:
    from metasearch.cli.main import main

    monkeypatch.setattr("sys.argv", ["metasearch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
