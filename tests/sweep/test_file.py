"""A sweep file: everything wrong with it is said at once, with what to do."""

import json
from pathlib import Path

import pytest
import yaml

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.sweep.contestants import Entry
from metasearch.sweep.file import SweepFile, read
from metasearch.sweep.pairing import WITH_RANDOM

MINIMAL = {"name": "small", "task": {"corpus": "cpython/docstrings"}, "budget": {"trials": 3}}


def write(folder: Path, content: object) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_a_minimal_file_gets_documented_defaults(tmp_path: Path) -> None:
    file = read(write(tmp_path, MINIMAL))
    assert (file.search.searcher, file.search.scheduler, file.trial.reports, file.resources.cpu) == ("tpe", "asha", 10, 1.0)


def test_the_usual_kind_of_task_may_be_written_out(tmp_path: Path) -> None:
    written = {**MINIMAL, "task": {**MINIMAL["task"], "kind": "language_model"}}
    assert read(write(tmp_path, written)) == read(write(tmp_path, MINIMAL))


def test_all_faults_are_shown_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    broken = {**MINIMAL, "budgte": {}, "trial": {"tokns": 5, "reports": 0}, "resources": {"cpu": "many"}}
    with pytest.raises(UserError) as raised:
        read(write(tmp_path, broken))
    faults = "\n".join(raised.value.faults)
    assert len(raised.value.faults) == 4
    assert 'budgte: there is no such key. Did you mean "budget"?' in faults
    assert 'trial.tokns: there is no such key. Did you mean "tokens"?' in faults
    assert "trial.reports" in faults
    assert "resources.cpu" in faults


@pytest.mark.parametrize(
    ("name", "searcher", "scheduler"),
    [
        ("meta", "meta", "meta"),
        ("pbt", "pbt", "pbt"),
        ("tpe", "tpe", "asha"),
        ("random", "random", "fifo"),
        ("asha", "random", "asha"),
        ("hyperband", "random", "hyperband"),
        ("unheard", "unheard", "asha"),
    ],
)
def test_one_name_is_a_searcher_with_the_scheduler_that_fits_it(tmp_path: Path, name: str, searcher: str, scheduler: str) -> None:
    both = {**MINIMAL, "search": {"searcher": searcher, "scheduler": scheduler}}
    assert read(write(tmp_path, {**MINIMAL, "search": name})) == read(write(tmp_path, both))
    assert read(write(tmp_path, MINIMAL), [f"search={name}"]) == SweepFile(**both)


@pytest.mark.parametrize("name", [*catalog.searchers(), *WITH_RANDOM, *catalog.LEARNED])
def test_a_sweep_file_means_by_one_name_what_a_simulation_means(name: str) -> None:
    asked, entry = SweepFile(**{**MINIMAL, "search": name}).search, Entry.of(name, None)
    assert asked.searcher == entry.searcher
    assert asked.scheduler == (name if entry.meta is not None else entry.scheduler)


def test_the_published_schema_takes_one_name_for_both_algorithms() -> None:
    text, mapping = SweepFile.model_json_schema()["$defs"]["SearchSection"]["anyOf"]
    assert text["type"] == "string" and set(mapping["properties"]) == {"searcher", "scheduler", "controller"}


@pytest.mark.parametrize(("written", "tokens"), [("5M", 5_000_000), ("200k", 200_000), ("1.5k", 1500), (300, 300), ("2_000", 2000)])
def test_counts_are_read_as_people_write_them(written: str, tokens: int) -> None:
    assert SweepFile(**{**MINIMAL, "trial": {"tokens": written}}).trial.tokens == tokens


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("3m", 180), ("2h", 7200), (15, 15), ("0.5h", 1800)])
def test_times_are_read_as_people_write_them(written: str, seconds: float) -> None:
    assert SweepFile(**{**MINIMAL, "budget": {"wall": written}}).budget.wall == seconds


def test_a_quantity_in_an_unknown_unit_is_a_fault() -> None:
    with pytest.raises(UserError, match=r"budget.wall: expected a time such as 90s, 3m or 2h, found '3 fortnights'"):
        SweepFile(**{**MINIMAL, "budget": {"wall": "3 fortnights"}})


def test_a_sweep_without_any_limit_is_refused() -> None:
    with pytest.raises(UserError, match="expected at least one of trials, wall, cpu_hours, gpu_hours, tokens"):
        SweepFile(**{**MINIMAL, "budget": {}})


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "x" * 101])
def test_a_name_that_could_leave_the_store_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="name: expected letters"):
        SweepFile(**{**MINIMAL, "name": name})


def test_overrides_reach_nested_and_absent_sections(tmp_path: Path) -> None:
    file = read(write(tmp_path, MINIMAL), ["budget.trials=40", "trial.tokens=10k", "search.searcher={name: tpe}"])
    assert (file.budget.trials, file.trial.tokens, file.search.searcher) == (40, 10_000, {"name": "tpe"})


@pytest.mark.parametrize("override", ["budget.trials", "=3"])
def test_an_override_without_a_value_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match="An override is written"):
        read(write(tmp_path, MINIMAL), [override])


def test_an_override_into_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='goes into "name", which is a value'):
        read(write(tmp_path, MINIMAL), ["name.x=1"])


def test_a_missing_file_and_bad_yaml_are_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no sweep file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is not YAML"):
        read(write(tmp_path, "a: [1"))
    with pytest.raises(UserError, match="must hold a mapping"):
        read(write(tmp_path, "- 1"))


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not YAML"):
        read(write(tmp_path, "name: !!python/object/apply:os.system ['true']"))


def test_the_name_defaults_to_that_of_the_file(tmp_path: Path) -> None:
    assert read(write(tmp_path, {key: MINIMAL[key] for key in ("task", "budget")})).name == "sweep"


def test_the_published_schema_describes_every_section() -> None:
    schema = json.loads(json.dumps(SweepFile.model_json_schema()))
    assert set(schema["properties"]) == set(SweepFile.model_fields)


def test_every_experiment_file_is_valid() -> None:
    folder = Path(__file__).parents[2] / "experiments"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for path in files:
        read(path)
