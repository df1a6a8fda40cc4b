"""The commands best, query and compare, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from metasearch.cli.main import app
from metasearch.core.errors import UserError
from metasearch.core.task import Task
from metasearch.store import Store
from tests.store.test_ranking import CODE, TEXT, THREE, sweep_of
from tests.store.test_views import write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("asked")
    write(Store(folder), "one", sweep_of("one", TEXT, *THREE))
    write(Store(folder), "two", sweep_of("two", CODE, ("lstm", 0, [1.0])))
    return str(folder)


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_best_names_what_the_first_is_tied_with(store: str) -> None:
    lines = run("best", "--by", "model", "--task", "text", "--store", store).stdout.splitlines()
    assert ["one/2" in line for line in lines] == [False, False, True, False]


def test_best_like_a_task_says_how_far_each_is(store: str) -> None:
    rows = json.loads(run("best", "--like", "text", "--top", "1", "--store", store, "--json").stdout)
    assert [(row["task"], row["distance"] > 0) for row in rows] == [("text", False), ("code", True)]
    with pytest.raises(UserError, match="leave one of the two out"):
        run("best", "--like", "text", "--task", "text", "--store", store)


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather", "json"])
def test_an_answer_in_a_file_is_what_pandas_reads(store: str, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"answer.{ending}"
    run("query", "select sweep, trial, loss from trials order by loss", "--store", store, "--out", str(out))
    frame = getattr(pd, f"read_{ending}")(out)
    assert frame.values.tolist()[:2] == [["two", 0, 1.0], ["one", 2, 1.9]]
    assert list(tmp_path.iterdir()) == [out]


def test_arrow_goes_through_a_pipe(store: str) -> None:
    done = run("query", "select count(*) as n from trials", "--format", "arrow", "--store", store)
    assert pa.ipc.open_stream(done.stdout_bytes).read_all().to_pylist() == [{"n": 6}]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("select 1", "--out", "x.xls"), r"does not tell the format: end it in \.json"),
        (("select 1", "--format", "parket"), 'no format "parket". Did you mean "parquet"'),
        (("select 1", "--json", "--format", "csv"), "contradict each other"),
        (("select 1", "--out", "nowhere/x.csv"), "nowhere/x.csv cannot be written"),
        (("select loss,\n  los\nfrom trials", "--out", "x.csv"), "LINE 2:   los"),
    ],
)
def test_a_faulty_question_writes_nothing(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run("query", *arguments, "--store", store)
    assert list(tmp_path.iterdir()) == []


def test_compare_prints_both_and_a_verdict(store: str) -> None:
    write(Store(store), "three", sweep_of("three", TEXT, ("lstm", 7, [1.95])))
    lines = run("compare", "one", "three", "--store", store).stdout.splitlines()
    assert lines[1].split() == ["one", "three"]
    assert lines[-1].startswith("one is lower by 0.05; tied, with a noise of ")
    assert json.loads(run("compare", "one", "three", "--store", store, "--json").stdout)["tied"] is True


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_metric_of_which_higher_is_better_has_its_own_sign(tmp_path: Path, metric: str) -> None:
    store, task = str(tmp_path / "store"), Task("own", kind="own", metric=metric, source={"mode": "max"})
    write(Store(store), "one", sweep_of("one", task, ("lstm", 0, [-0.5, -0.75]), ("lstm", 1, [-0.25])))
    write(Store(store), "two", sweep_of("two", task, ("gru", 0, [-0.5])))
    first, second, _ = (line.split() for line in run("best", "--by", "model", "--store", store).stdout.splitlines())
    assert first[:7] == ["task", "model", "trials", "median", "sweep", "trial", "strategy"] and first[7] == metric
    assert (second[3], second[7]) == ("0.5", "0.75")
    assert [row["value"] for row in json.loads(run("best", "--at", "10", "--store", store, "--json").stdout)] == [0.5, 0.5, 0.25]
    lines = run("compare", "one", "two", "--store", store).stdout.splitlines()
    assert lines[0] == f"own: {metric}, higher is better" and lines[-1].startswith("one is higher by 0.25")
    assert next(line.split() for line in lines if line.startswith(metric)) == [metric, "0.75", "0.5"]
    listed = [line.split() for line in run("list", "--store", store).stdout.splitlines()]
    assert listed[0][4:6] == ["metric", "best_value"] and [line[4:6] for line in listed[1:]] == [[metric, "0.75"], [metric, "0.5"]]
    curve = [line.split()[:2] for line in run("show", "one/0", "--store", store).stdout.splitlines()]
    assert ["step", metric] in curve and ["20", "0.75"] in curve
    assert json.loads(run("status", "one", "--store", store, "--json").stdout)["best"]["value"] == 0.75


def test_the_store_is_checked_compacted_merged_and_upgraded(store: str, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy")
    assert "sweeps were copied" in run("store", "merge", store, "--store", copy).stdout
    assert json.loads(run("store", "compact", "--store", copy, "--json").stdout)["left_out"] == []
    assert "nothing to do" in run("store", "upgrade", "--store", copy).stdout
    assert "0 faults" in run("store", "check", "--store", copy).stdout
    (Path(copy) / "mine.txt").touch()
    done = CliRunner().invoke(app, ["store", "check", "--store", copy])
    assert done.exit_code == 1 and "mine.txt: metasearch did not write it" in done.stdout
