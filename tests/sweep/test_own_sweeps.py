"""From the file of a sweep over one's own training to a sweep: its space, its task, its function, and every fault at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from metasearch.core.domains import Boolean, Choice, Fixed, Float, Int
from metasearch.core.errors import UserError
from metasearch.core.sweep import Sweep
from metasearch.sweep.file import OwnSweep, SweepFile, read
from metasearch.sweep.own_space import own_space
from metasearch.sweep.resolving import resolve
from metasearch.sweep.run import launch

MINE: dict[str, Any] = {
    "name": "mine",
    "task": {"name": "toy"},
    "space": {"x": {"float": [0, 1]}},
    "budget": {"trials": 2},
    "trial": {"steps": 9},
}


def asked(**changes: Any) -> OwnSweep:
    return OwnSweep(**{**MINE, **changes})


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_resolved_sweep_survives_its_record() -> None:
    sweep = resolve(asked(task={"name": "toy", "mode": "max", "descriptor": {"samples": 10}}, budget={"steps": "1k"}))
    assert Sweep.from_record(sweep.record()) == sweep
    assert (sweep.horizon, sweep.budget.steps, sweep.task.descriptor) == (9, 1000, {"samples": 10.0})


def test_tasks_differ_by_name_metric_mode_and_unit_and_by_nothing_else() -> None:
    ids = [
        resolve(asked(task={"name": "toy", **more})).task.id
        for more in ({}, {"metric": "mse"}, {"mode": "max"}, {"unit": "epochs"}, {"name": "other"})
    ]
    assert len(set(ids)) == 5
    assert resolve(asked(task={"name": "toy", "descriptor": {"samples": 10}}, name="again")).task.id == ids[0]


def test_every_way_to_write_a_parameter_is_read() -> None:
    space = own_space(
        {
            "fixed": 3,
            "text": "relu",
            "scientific": "1e-3",
            "quoted": "12",
            "few": ["1e-4", 0.1, "auto"],
            "flag": {"boolean": True},
            "count": {"int": [1, 64], "log": True},
            "rate": {"float": ["1e-5", "1e-1"], "log": True, "default": "1e-3"},
            "weighted": {"choice": ["a", "b"], "prior": [3, 1]},
        }
    )
    assert {p.name: p.domain for p in space} == {
        "fixed": Fixed(3),
        "text": Fixed("relu"),
        "scientific": Fixed(1e-3),
        "quoted": Fixed("12"),
        "few": Choice((1e-4, 0.1, "auto")),
        "flag": Boolean(),
        "count": Int(1, 64, log=True),
        "rate": Float(1e-5, 1e-1, log=True, initial=1e-3),
        "weighted": Choice(("a", "b"), prior=(3, 1)),
    }


def test_one_parameter_may_have_several_ranges_under_conditions_that_exclude_each_other() -> None:
    space = own_space(
        {
            "lr": [
                {"float": [1e-4, 1e-2], "when": {"optimizer": "adam"}},
                {"float": [1e-2, 1.0], "when": {"optimizer": ["sgd", "momentum"]}},
            ],
            "optimizer": ["adam", "sgd", "momentum"],
        }
    )
    assert space.check({"optimizer": "adam", "lr": 0.5}) and not space.check({"optimizer": "sgd", "lr": 0.5})


def test_every_fault_of_a_file_comes_in_one_message(tmp_path: Path) -> None:
    space = {
        "lr": {"flaot": [0, 1]},
        "m": {"float": [0, 1], "when": {"optimiser": "sgd"}},
        "optimizer": ["sgd"],
        "k": {"int": [5, 1]},
    }
    search = {"searcher": "tpee", "scheduler": "asha"}
    with pytest.raises(UserError) as raised:
        resolve(read(write(tmp_path, {**MINE, "space": space, "search": search, "train": str(tmp_path / "no.py:train")})))
    faults = "\n".join(raised.value.faults)
    for part in ('Did you mean "tpe"', "one of float, int", 'Did you mean "optimizer"', "low ≤ high", "There is no file"):
        assert part in faults


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trial": {"tokens": 9}}, "trial.steps: is missing"),
        ({"budget": {"tokens": 9}}, "no such key. Known: cpu_hours"),
        ({"budget": {}}, "expected at least one of trials, wall, cpu_hours, gpu_hours, steps"),
        ({"task": {"name": "toy", "metrc": "x"}}, 'Did you mean "metric"'),
        ({"train": 3}, "train: Input should be a valid string"),
    ],
)
def test_a_mistyped_key_is_told_what_there_is(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(write(tmp_path, {**MINE, **changes}))
    assert message in str(raised.value)


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(UserError, match="name at least one parameter"):
        resolve(asked(space={}))


def test_a_file_with_a_corpus_is_a_sweep_of_language_models(tmp_path: Path) -> None:
    assert type(read(write(tmp_path, MINE))) is OwnSweep
    assert type(read(write(tmp_path, {"task": {"corpus": "x"}, "budget": {"trials": 1}}))) is SweepFile


def test_a_launch_without_a_function_says_where_to_give_one_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Write train: FILE.py:NAME into its file, or give it in Python"):
        launch(asked(), str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
