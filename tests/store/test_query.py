"""Questions: the best of everything, and SQL that can do nothing but ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.core.task import Task
from metasearch.store import Store
from tests.store.test_views import sweep_of, write

SECRET = {"key": "python variables are no tables"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    lstm, gru = {"model": "lstm", "lr": 0.01}, {"model": "gru", "lr": 0.1}
    text, code = Task("text"), Task("code", source={"corpus": "stdlib"})
    write(store, "one", sweep_of("one", text, (lstm, [3.0, 2.6, 2.0]), (gru, [2.5, 2.4]), (gru | {"lr": 0.2}, [2.9])))
    write(store, "two", sweep_of("two", text, (lstm, [2.8, 2.1])))
    write(store, "three", sweep_of("three", code, (gru, [9.0])))
    return store


def ranking(store: Store, task: str | None = "text", **how: object) -> list[tuple[str, int, float]]:
    rows = store.best(task=task, **how).to_pylist()  # type: ignore[arg-type]
    return [(row["sweep"], row["trial"], row["loss"]) for row in rows]


def test_the_best_trials_have_the_lowest_loss(store: Store) -> None:
    assert ranking(store, top=3) == [("one", 0, 2.0), ("two", 0, 2.1), ("one", 1, 2.4)]
    assert store.best(top=1)["rank"].to_pylist() == [1, 1], "one of each task"


def test_losses_of_different_tasks_are_never_compared(store: Store) -> None:
    assert ranking(store, task=None, top=1) == [("three", 0, 9.0), ("one", 0, 2.0)]
    by_model = store.best(by="model").to_pylist()
    assert [(row["task"], row["model"], row["trials"]) for row in by_model] == [
        ("code", "gru", 1),
        ("text", "lstm", 2),
        ("text", "gru", 2),
    ]


def test_a_task_may_be_named_by_its_id(store: Store) -> None:
    assert ranking(store, task=Task("text").id) == ranking(store, task="text")


def test_the_best_at_equal_steps(store: Store) -> None:
    assert ranking(store, at=10, top=2) == [("one", 1, 2.5), ("two", 0, 2.8)]
    assert ranking(store, at=25, top=2) == [("two", 0, 2.1), ("one", 1, 2.4)]
    assert ranking(store, at=9) == []
    row = store.best(task="text", at=25, top=1).to_pylist()[0]
    assert (row["step"], row["seconds"]) == (20, 2.0), "where that loss was reached"


def test_the_best_of_each_strategy_stands_for_all_of_its_trials(store: Store) -> None:
    rows = store.best(task="text", by="strategy").to_pylist()
    assert [(row["strategy"], row["sweep"], row["loss"], row["trials"], row["median_loss"]) for row in rows] == [
        ("lstm", "one", 2.0, 2, pytest.approx(2.05)),
        ("gru", "one", 2.4, 2, pytest.approx(2.65)),
    ]


def test_a_column_to_compare_by_must_exist(store: Store) -> None:
    with pytest.raises(UserError, match=r'no column "modle".*Did you mean "model"'):
        store.best(by="modle")
    with pytest.raises(UserError, match="at least 1, found 0"):
        store.best(top=0)


def test_columns_that_are_strange_in_sql_are_only_names(store: Store) -> None:
    with pytest.raises(UserError, match="no column"):
        store.best(by='model" from trials; drop table trials --')
    assert store.best(by="hp_lr", task="text").num_rows == 3


def test_the_example_of_the_issue_works(store: Store) -> None:
    answer = store.query("select strategy, min(val_bpb) from trials group by 1 order by 2")
    assert answer.to_pandas().iloc[0].tolist() == ["lstm", 3.0]


@pytest.mark.parametrize(
    "sql",
    [
        "with leaders as (select * from trials where loss < 2.3) select count(*) as n from leaders",
        "FROM Trials",
        "describe trials",
        "explain select * from curves",
        "pivot trials on model using min(loss)",
        "select t.strategy, c.loss from trials t join curves c using (sweep, trial) join sweeps s using (sweep)",
        "select json_extract_string(config, '$.model') as model from trials",
    ],
)
def test_any_question_may_be_asked(store: Store, sql: str) -> None:
    assert store.query(sql).num_rows > 0


@pytest.mark.parametrize(
    "sql, message",
    [
        ("select los from trials", r'"los" not found(.|\n)*"loss"(.|\n)*LINE 1'),
        ("select * from trails", r'name trails does not exist!(.|\n)*LINE 1(.|\n)*Did you mean "trials"'),
        ("selec 1", r"syntax error(.|\n)*LINE 1"),
        ("", "one SELECT at a time.*found nothing"),
        ("select 1; select 2", "one SELECT at a time.*found SELECT, SELECT"),
        ("drop table trials", "never written by SQL; found DROP"),
        ("create table mine as select * from trials", "never written by SQL; found CREATE"),
        ("insert into trials select * from trials", "never written by SQL; found INSERT"),
    ],
)
def test_a_faulty_question_is_explained(store: Store, sql: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        store.query(sql)
    assert re.search(message, str(error.value)), str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select * from trials) to '{path}'",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from parquet_scan('{path}')",
        "attach '{path}' as mine",
        "export database '{path}'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset enable_external_access",
        "pragma enable_external_access=true",
        "select * from SECRET",
        "select * from python_scan(SECRET)",
        "select getenv('HOME')",
        "select * from duckdb_secrets()",
        "call duckdb_extensions()",
        "select * from trials, read_csv('/etc/passwd')",
        "pivot read_csv('/etc/passwd') on column0",
        "select * from query('copy (select 1) to ''{path}''')",
    ],
)
def test_sql_reaches_nothing_but_the_views(store: Store, tmp_path: Path, sql: str) -> None:
    with pytest.raises(UserError):
        store.query(sql.format(path=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
