"""The views of many sweeps in one file each, so that a question need not open every sweep. They may be deleted at any time.

    compacted/<view>.parquet     the rows of all sweeps that no driver had when it was made, with their names and the marks covered
    compacted/ranking.parquet    the same of what ``best`` ranks by, in the order of its answer
    compacted/leaders.parquet    the same of what ``best`` tells of the first of every task
    compacted/changed/…          the marks of sweeps that were written since

Each file replaces its predecessor at once; a compaction that is killed leaves the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from metasearch.store import changes, ranking
from metasearch.store.files import Files
from metasearch.store.log import SegmentLog, SweepHeld
from metasearch.store.query import ask
from metasearch.store.sealed import BrokenSeal, rows_of, seal_parts, stamps_of
from metasearch.store.segments import list_segments, lock_path
from metasearch.store.views import KEPT, VERSION_OF_VIEWS, common_types, load_view, union

RANKING, LEADERS = "ranking", "leaders"
VIEWS = (*KEPT, RANKING, LEADERS)

_LEADERS_OF_A_TASK = 100
_ROWS_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Compacted:
    """``rows`` of the sweeps for which the file speaks still, and which these are."""

    rows: pa.Table
    sweeps: frozenset[str]


def path_of(view: str) -> str:
    return f"{changes.FOLDER}/{view}.parquet"


def load(files: Files, view: str, columns: Sequence[str] | None = None) -> Compacted | None:
    """One of ``VIEWS``, ``RANKING`` with its texts as dictionaries; None if there is no sound file of it."""
    found = changes.marks(files)
    there = set(files.names("sweeps"))
    try:
        content = files.read(path_of(view))
        stamps = stamps_of(content)
    except (FileNotFoundError, BrokenSeal):
        return None
    if stamps.get("metasearch.views") != VERSION_OF_VIEWS:
        return None
    sweeps = frozenset(json.loads(stamps["metasearch.sweeps"]))
    outdated = changes.marked(found - set(json.loads(stamps["metasearch.marks"]))) | (sweeps - there)
    rows = rows_of(content, columns, ranking.TEXTS if view == RANKING else ())
    if outdated & sweeps:
        rows = rows.filter(pc.invert(pc.is_in(rows["sweep"].cast(pa.string()), pa.array(sorted(outdated), pa.string()))))
    return Compacted(rows, sweeps - outdated)


def load_ranking(files: Files) -> pa.Table | None:
    """The trials of the whole store that may win, as ``ranking.rank`` takes them; None if the store was never compacted."""
    compacted = load(files, RANKING)
    if compacted is None:
        return None
    others = [name for name in files.names("sweeps") if name not in compacted.sweeps and list_segments(files, name)]
    if not others:
        return compacted.rows
    fresh = _ranked(load_view(files, name, "trials", _NEEDED) for name in others)
    again = pc.is_in(compacted.rows["config_id"], fresh["config_id"].combine_chunks().unique())
    known = compacted.rows.set_column(_REPEATED, "repeated", pc.or_(compacted.rows["repeated"], again))
    fresh = fresh.append_column("repeated", pa.repeat(pa.scalar(True), fresh.num_rows))
    for name in ranking.TEXTS:
        fresh = fresh.set_column(fresh.column_names.index(name), name, fresh[name].dictionary_encode())
    return pa.concat_tables([known, fresh.cast(known.schema)]).unify_dictionaries()


def trials_of(files: Files, keys: Collection[tuple[str, int]]) -> pa.Table:
    """What ``ranking.told`` needs of these trials, among others: from the leaders, as far as it is there."""
    compacted = load(files, LEADERS)
    known = (
        set() if compacted is None else set(zip(*(compacted.rows[name].to_pylist() for name in ("sweep", "trial")), strict=True))
    )
    others = sorted({sweep for sweep, trial in keys if (sweep, trial) not in known})
    tables = [load_view(files, sweep, "trials", ranking.TOLD) for sweep in others]
    return union(tables if compacted is None else [compacted.rows, *tables])


def compact(files: Files, sweeps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Makes few files of the many of ``sweeps``: of each log, and of the views of all; which it took in, and what was set aside.

    Sweeps that a driver has are left out.
    """
    covered = changes.marks(files)
    free, set_aside = [], []
    for sweep in sweeps:
        if files.holder(lock_path(sweep)) is not None:
            continue
        try:
            if len(list_segments(files, sweep)) > 2:
                with SegmentLog(files, sweep) as log:
                    set_aside += log.set_aside
                    log.compact()
        except SweepHeld:
            continue
        free.append(sweep)
    stamps = {
        "metasearch.views": VERSION_OF_VIEWS,
        "metasearch.sweeps": json.dumps(free),
        "metasearch.marks": json.dumps([*covered]),
    }
    if free:
        for view in KEPT:
            files.write_atomic(path_of(view), seal_parts(*_packed(files, free, view), stamps))
        table = _sorted(_ranked(load_view(files, name, "trials", _NEEDED) for name in free))
        leaders = _leaders(files, free, table)
        files.write_atomic(path_of(LEADERS), seal_parts(leaders.schema, [leaders], stamps))
        files.write_atomic(path_of(RANKING), seal_parts(table.schema, [table], stamps))
        changes.drop(files, {mark for mark in covered if changes.marked({mark}) <= set(free)})
    return free, set_aside


_NEEDED = (*ranking.RANKED, "state")
_REPEATED = len(ranking.RANKED)


def _ranked(views: Iterable[pa.Table]) -> pa.Table:
    return union(ranking.able(view).select(ranking.RANKED) for view in views)


def _sorted(rows: pa.Table) -> pa.Table:
    """In the order of the answer, with a column that says whose config has another trial on the same task."""
    counted = rows.select(("task_id", "config_id")).group_by(["task_id", "config_id"]).aggregate([([], "count_all")])
    several = counted.filter(pc.greater(counted["count_all"], 1))
    repeated = pc.is_in(rows["config_id"], several["config_id"].combine_chunks())
    order = [(name, "ascending") for name in ("task_id", "loss", "sweep", "trial")]
    return rows.append_column("repeated", repeated).sort_by(order)


def _leaders(files: Files, free: Sequence[str], ranked: pa.Table) -> pa.Table:
    first = f"QUALIFY row_number() OVER (PARTITION BY task_id ORDER BY loss, sweep, trial) <= {_LEADERS_OF_A_TASK}"
    keys = ask(f"SELECT sweep, trial FROM ranked {first}", {"ranked": ranked})
    sweeps = sorted(set(keys["sweep"].to_pylist()))
    trials = union(load_view(files, sweep, "trials", ranking.TOLD) for sweep in sweeps or free[:1])
    return ask("SELECT trials.* FROM trials JOIN keys USING (sweep, trial)", {"trials": trials, "keys": keys})


def _packed(files: Files, sweeps: Sequence[str], view: str) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The union of a view without ever holding all of it."""
    types = common_types(load_view(files, name, view).schema for name in sweeps)
    schema = pa.schema(types.items())

    def parts() -> Iterator[pa.Table]:
        held: list[pa.Table] = [schema.empty_table()]
        for name in sweeps:
            held.append(load_view(files, name, view))
            if sum(table.num_rows for table in held) >= _ROWS_AT_ONCE:
                yield union(held)
                held = [schema.empty_table()]
        yield union(held)

    return schema, parts()
