"""The views of many sweeps in one file each, so that a question need not open every sweep. They may be deleted at any time.

    compacted/<view>.parquet     the rows of all sweeps that no driver had when it was made, with their names and the marks covered
    compacted/ranking.parquet    the same of what ``best`` ranks by, in the order of its answer
    compacted/leaders.parquet    the first of every task out of that, with all that ``best`` tells of them
    compacted/changed/…          the marks of sweeps that were written since

Each file replaces its predecessor at once; a compaction that is killed leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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

_VERSION = f"{VERSION_OF_VIEWS}.2"
"""Raised whenever these files change, so that those of another metasearch are not used."""

_LEADERS_OF_A_TASK = 100
_ROWS_AT_ONCE = 1 << 17
_ROWS_OF_A_GROUP = 1 << 14


@dataclass(frozen=True)
class _File:
    """A compacted file, the sweeps for which it speaks still, those for which it does no more, and the folders of others."""

    content: bytes
    stamps: Mapping[str, str]
    sweeps: frozenset[str]
    outdated: frozenset[str]
    others: list[str]

    @staticmethod
    def of(files: Files, view: str) -> _File | None:
        """None if there is no sound one."""
        found = changes.marks(files)
        there = files.names("sweeps")
        try:
            content = files.read(path_of(view))
            stamps = stamps_of(content)
        except (FileNotFoundError, BrokenSeal):
            return None
        if stamps.get("metasearch.compacted") != _VERSION:
            return None
        sweeps = frozenset(json.loads(stamps["metasearch.sweeps"]))
        outdated = sweeps & (changes.marked(found - set(json.loads(stamps["metasearch.marks"]))) | sweeps.difference(there))
        current = sweeps - outdated
        return _File(content, stamps, current, outdated, [name for name in there if name not in current])

    def current(self, rows: pa.Table) -> pa.Table:
        """Those rows for which it speaks still."""
        if not self.outdated:
            return rows
        return rows.filter(pc.invert(pc.is_in(rows["sweep"].cast(pa.string()), pa.array(sorted(self.outdated), pa.string()))))


@dataclass(frozen=True)
class Compacted:
    """``rows`` of the sweeps for which the file speaks still, and which these are."""

    rows: pa.Table
    sweeps: frozenset[str]


@dataclass(frozen=True)
class Ranking:
    """The trials that may win, as ``ranking.rank`` takes them; or as many of them as matter, and then the noise of every task.

    ``tasks``: names and ids of those that have such trials, as far as they were asked for. ``told``: what ``ranking.told`` needs of
    some trials, if that is at hand.
    """

    rows: pa.Table
    noise: pa.Table | None
    tasks: tuple[tuple[str, str], ...]
    told: pa.Table | None = None

    @staticmethod
    def of(rows: pa.Table) -> Ranking:
        """Of all that may win."""
        pairs = rows.select(("task", "task_id")).group_by(["task", "task_id"], use_threads=False).aggregate([]).to_pylist()
        return Ranking(rows, None, tuple((row["task"], row["task_id"]) for row in pairs))


def path_of(view: str) -> str:
    return f"{changes.FOLDER}/{view}.parquet"


def load(files: Files, view: str, columns: Sequence[str] | None = None) -> Compacted | None:
    """One of ``KEPT``, or ``LEADERS``; None if there is no sound file of it."""
    file = _File.of(files, view)
    return None if file is None else Compacted(file.current(rows_of(file.content, columns)), file.sweeps)


def load_ranking(files: Files, tasks: Sequence[str] | None, by: str, top: int) -> Ranking | None:
    """What is needed to rank those of ``tasks`` (names or ids, all if None); None if the store was never compacted."""
    if by == "trial" and top <= _LEADERS_OF_A_TASK:
        leaders = _File.of(files, LEADERS)
        if leaders is not None and not leaders.outdated and not _others(files, leaders):
            return _known(leaders, tasks, top)
    file = _File.of(files, RANKING)
    if file is None:
        return None
    others = _others(files, file)
    if others or file.outdated:
        return Ranking.of(_with_others(files, file, others))
    return _known(file, tasks, top if by == "trial" else None)


def _others(files: Files, file: _File) -> list[str]:
    """The sweeps for which it does not speak."""
    return [name for name in file.others if list_segments(files, name)]


def _known(file: _File, tasks: Sequence[str] | None, top: int | None) -> Ranking:
    """What the file says of ``tasks``, and of their first ``top`` if that is not None."""
    noise = pa.Table.from_pylist(json.loads(file.stamps["metasearch.noise"]), schema=_NOISE)
    blocks = [_Block(*block) for block in json.loads(file.stamps["metasearch.tasks"])]
    asked = [block for block in blocks if tasks is None or block.task_id in tasks or block.task in tasks]
    rows = _first(file, asked, top)
    ranked = rows.select((*ranking.RANKED, *ranking.FIGURES))
    told = _plain(rows.select(ranking.TOLD)) if set(ranking.TOLD) <= set(rows.column_names) else None
    return Ranking(ranked, noise, tuple((block.task, block.task_id) for block in asked), told)


_NOISE = pa.schema(
    [("task_id", pa.string()), ("freedom", pa.int64()), ("squares", pa.float64()), ("relative_squares", pa.float64())]
)


class _Block(NamedTuple):
    """Where the trials of a task lie in the ranking."""

    task_id: str
    task: str
    first: int
    trials: int


def _plain(rows: pa.Table) -> pa.Table:
    """Without dictionaries."""
    types = [(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type) for field in rows.schema]
    return rows.cast(pa.schema(types))


def _first(file: _File, blocks: Sequence[_Block], top: int | None) -> pa.Table:
    """The first ``top`` rows of each of ``blocks``, or all of them, from the row groups that hold them."""
    ends = [(block.first, block.first + (block.trials if top is None else min(top, block.trials))) for block in blocks]
    groups = sorted({group for first, end in ends for group in range(first // _ROWS_OF_A_GROUP, -(-end // _ROWS_OF_A_GROUP))})
    rows = rows_of(file.content, None, ranking.TEXTS, groups)
    if top is None and len(groups) * _ROWS_OF_A_GROUP >= rows.num_rows and sum(end - first for first, end in ends) == rows.num_rows:
        return rows
    start = {group: place * _ROWS_OF_A_GROUP for place, group in enumerate(groups)}
    parts = [rows.slice(start[first // _ROWS_OF_A_GROUP] + first % _ROWS_OF_A_GROUP, end - first) for first, end in ends]
    return pa.concat_tables([rows.slice(0, 0), *parts])


def _with_others(files: Files, file: _File, others: Sequence[str]) -> pa.Table:
    """All trials that may win, those of sweeps for which the file does not speak from their own views."""
    rows = file.current(rows_of(file.content, None, ranking.TEXTS).unify_dictionaries())
    again = pc.is_valid(rows["of_seeds"])
    rows = rows.select(ranking.RANKED)
    fresh = _ranked(load_view(files, name, "trials", _NEEDED) for name in others) if others else rows.slice(0, 0)
    again = pc.or_(again, pc.is_in(rows["config_id"], fresh["config_id"].combine_chunks().unique()))
    fresh = fresh.append_column("repeated", pa.repeat(pa.scalar(True), fresh.num_rows))
    rows = rows.append_column("repeated", again)
    for name in ranking.TEXTS if others else ():
        fresh = fresh.set_column(fresh.column_names.index(name), name, fresh[name].dictionary_encode())
    return pa.concat_tables([rows, fresh.cast(rows.schema)]).unify_dictionaries()


def trials_of(files: Files, keys: Collection[tuple[str, int]], told: pa.Table | None) -> pa.Table:
    """What ``ranking.told`` needs of these trials, among others: from ``told`` or else the leaders, as far as it is there."""
    if told is None:
        compacted = load(files, LEADERS, ranking.TOLD)
        told = None if compacted is None else compacted.rows
    known = set() if told is None else set(zip(told["sweep"].to_pylist(), told["trial"].to_pylist(), strict=True))
    others = sorted({sweep for sweep, trial in keys if (sweep, trial) not in known})
    tables = [load_view(files, sweep, "trials", ranking.TOLD) for sweep in others]
    return union(tables if told is None else [told.select(ranking.TOLD), *tables])


def compact(files: Files, sweeps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Makes few files of the many of ``sweeps``: of each log, and of the views of all; which it took in, and what was set aside.

    Sweeps that a driver has are left out.
    """
    covered = changes.marks(files)
    free, set_aside = _free(files, sweeps)
    stamps = {
        "metasearch.compacted": _VERSION,
        "metasearch.sweeps": json.dumps(free),
        "metasearch.marks": json.dumps([*covered]),
    }
    if free:
        for view in KEPT:
            files.write_atomic(path_of(view), seal_parts(*_packed(files, free, view), stamps))
        _publish_ranking(files, free, stamps)
        changes.drop(files, {mark for mark in covered if changes.marked({mark}) <= set(free)})
    return free, set_aside


def _free(files: Files, sweeps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that no driver has, their logs of two files at most; and what was set aside of them."""
    free, set_aside = [], []
    for sweep in sweeps:
        if files.holder(lock_path(sweep)) is not None:
            continue
        with contextlib.suppress(SweepHeld):  # a driver may have come since
            if len(list_segments(files, sweep)) > 2:
                with SegmentLog(files, sweep) as log:
                    set_aside += log.set_aside
                    log.compact()
            free.append(sweep)
    return free, set_aside


def _publish_ranking(files: Files, sweeps: Sequence[str], stamps: Mapping[str, str]) -> None:
    rows, noise = ranking.figured(_ranked(load_view(files, name, "trials", _NEEDED) for name in sweeps))
    figures = {**stamps, "metasearch.noise": json.dumps(noise.to_pylist())}
    leaders = _leaders(files, sweeps, rows)
    for view, table in ((LEADERS, leaders), (RANKING, rows)):
        groups = [table.slice(start, _ROWS_OF_A_GROUP) for start in range(0, table.num_rows, _ROWS_OF_A_GROUP)]
        told = {**figures, "metasearch.tasks": json.dumps(_blocks(table))}
        files.write_atomic(path_of(view), seal_parts(table.schema, groups, told))


_NEEDED = (*ranking.RANKED, "state")


def _ranked(views: Iterable[pa.Table]) -> pa.Table:
    return union(ranking.able(view).select(ranking.RANKED) for view in views)


def _blocks(rows: pa.Table) -> list[_Block]:
    """``rows`` are in the order of the ranking."""
    ids = rows["task_id"].combine_chunks()
    counts = {count["values"]: count["counts"] for count in pc.value_counts(ids).to_pylist()}
    blocks, first = [], 0
    for task_id, trials in sorted(counts.items()):
        blocks.append(_Block(task_id, rows["task"][first].as_py(), first, trials))
        first += trials
    return blocks


def _leaders(files: Files, sweeps: Sequence[str], ranked: pa.Table) -> pa.Table:
    """The first of every task, in the order of their ranks, with what the ranking knows of them and what is told of them."""
    order = "ORDER BY task_id, loss, sweep, trial"
    first = f"QUALIFY row_number() OVER (PARTITION BY task_id {order}) <= {_LEADERS_OF_A_TASK} {order}"
    firsts = ask(f"SELECT * FROM ranked {first}", {"ranked": ranked})
    leading = sorted(set(firsts["sweep"].to_pylist())) or sweeps[:1]
    trials = union(load_view(files, sweep, "trials", ranking.TOLD) for sweep in leading)
    more = ", ".join(f'"{name}"' for name in ranking.TOLD if name not in firsts.column_names)
    return ask(
        f"SELECT firsts.*, {more} FROM firsts JOIN trials USING (sweep, trial) {order}", {"firsts": firsts, "trials": trials}
    )


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
