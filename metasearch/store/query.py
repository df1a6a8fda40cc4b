"""Questions to the views: SQL, and the best of everything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from metasearch.core.errors import UserError, did_you_mean
from metasearch.store.rows import NEVER_WIN

VIEWS = ("sweeps", "trials", "curves", "decisions", "tasks")
"""What SQL sees. docs/store.md describes the columns."""


def run_sql(sql: str, load: Callable[[str], pa.Table]) -> pa.Table:
    """The answer to one SELECT over VIEWS, of which only those it names are loaded. Raises UserError for anything else.

    The connection sees nothing but these tables: no files, no network, no Python variables, no settings to change.
    """
    import duckdb  # 40 ms that only questions need

    try:
        with duckdb.connect(":memory:", config=_SANDBOX) as connection:
            _check_one_question([statement.type.name for statement in connection.extract_statements(sql)])
            for name in VIEWS:
                if re.search(rf"\b{name}\b", sql, re.IGNORECASE):
                    connection.register(name, load(name))
            connection.execute("SET lock_configuration = true")
            return _answer(connection, sql)
    except duckdb.Error as error:
        unknown = re.search(r"Table with name (\S+) does not exist", str(error))
        hint = did_you_mean(unknown[1], VIEWS) if unknown else ""
        raise UserError(f"DuckDB cannot answer this: {_without_own_hint(str(error)) if hint else error}{hint}") from None


_SANDBOX: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}


def _check_one_question(statements: list[str]) -> None:
    """MULTI is what DuckDB makes of a PIVOT."""
    if len(statements) != 1 or statements[0] not in ("SELECT", "EXPLAIN", "MULTI"):
        found = ", ".join(statements) or "nothing"
        raise UserError(f"The store answers one SELECT at a time and is never written by SQL; found {found}.")


def _answer(connection: Any, sql: str) -> pa.Table:
    import duckdb

    try:
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error:
        connection.execute(sql)  # raises the same, but shows the line and the place in it
        raise


def _without_own_hint(message: str) -> str:
    """DuckDB guesses among its own system tables."""
    return re.sub(r'\nDid you mean "[^"]*"\?', "", message)


def best_trials(trials: pa.Table, curves: pa.Table | None, by: str, top: int) -> pa.Table:
    """The ``top`` best of every task, by lowest loss: trials, or with ``by`` another column the best trial for each of its values.

    ``curves`` holds the points that count, if not all do. Raises UserError for a column that is not there.
    """
    if by != "trial" and by not in trials.column_names:
        raise UserError(f'There is no column "{by}" to compare by.{did_you_mean(by, trials.column_names)}')
    if top < 1:
        raise UserError(f"top must be at least 1, found {top}.")
    tables = {"given_trials": trials, **({} if curves is None else {"given_curves": curves})}
    able = _ABLE.format(never=", ".join(f"'{state}'" for state in NEVER_WIN), source=_ALL if curves is None else _UP_TO)
    ranking = _BY_TRIAL if by == "trial" else _BY_COLUMN
    columns = ", ".join(column for column in _SHOWN if by == "trial" or column != by)
    return _ask(able + ranking.format(by=by.replace('"', '""'), top=top, columns=columns), tables)


def _ask(sql: str, tables: dict[str, pa.Table]) -> pa.Table:
    import duckdb

    with duckdb.connect(":memory:", config=_SANDBOX) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()


_SHOWN = ("task", "sweep", "trial", "strategy", "loss", "step", "seconds", "parameters", "state", "seed", "config", "config_id")
_ALL = "SELECT * REPLACE (best_step AS step) FROM given_trials"
_UP_TO = """
    SELECT t.* REPLACE (c.loss AS loss, c.step AS step, c.seconds AS seconds) FROM given_trials AS t JOIN (
        SELECT sweep, trial, min(loss) AS loss, arg_min(step, loss) AS step, arg_min(seconds, loss) AS seconds
        FROM given_curves WHERE isfinite(loss) GROUP BY ALL
    ) AS c USING (sweep, trial)"""
_ABLE = "WITH able AS (SELECT * FROM ({source}) WHERE loss IS NOT NULL AND state NOT IN ({never})) "
_BY_TRIAL = """
    SELECT {columns}, row_number() OVER (PARTITION BY task_id ORDER BY loss, sweep, trial) AS rank
    FROM able QUALIFY rank <= {top} ORDER BY task, task_id, rank"""
_BY_COLUMN = """
    SELECT * EXCLUDE (task_id), row_number() OVER (PARTITION BY task_id ORDER BY loss, sweep, trial) AS rank FROM (
        SELECT "{by}", {columns}, task_id, count(*) OVER same AS trials, median(loss) OVER same AS median_loss
        FROM able WINDOW same AS (PARTITION BY task_id, "{by}")
        QUALIFY row_number() OVER (PARTITION BY task_id, "{by}" ORDER BY loss, sweep, trial) = 1
    ) QUALIFY rank <= {top} ORDER BY task, rank"""
