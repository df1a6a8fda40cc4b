"""Questions to the views in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from metasearch.core.errors import UserError, did_you_mean

VIEWS = ("sweeps", "trials", "curves", "decisions", "tasks")
"""What SQL sees. docs/store.md describes the columns."""


def run_sql(sql: str, load: Callable[[str], pa.Table]) -> pa.Table:
    """The answer to one SELECT over VIEWS, of which only those it names are loaded. Raises UserError for anything else.

    The connection sees nothing but these tables: no files, no network, no Python variables, no settings to change.
    """
    import duckdb  # 40 ms that only questions need

    try:
        with _connection() as connection:
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


def _connection() -> Any:
    """In the sandbox, and without bars of progress between the lines of an answer."""
    import duckdb

    connection = duckdb.connect(":memory:", config=_SANDBOX)
    connection.execute("SET enable_progress_bar = false")
    return connection


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


def ask(sql: str, tables: dict[str, pa.Table]) -> pa.Table:
    """The answer to a question of our own over ``tables``."""
    with _connection() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()
