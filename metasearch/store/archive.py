"""All sweeps ever run, as one object."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from metasearch.core.archive import Archive
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.event import Fact
from metasearch.core.history import History
from metasearch.core.recording import RecordedTable
from metasearch.core.sweep import Sweep
from metasearch.store import query, ranking
from metasearch.store.checking import Finding, check
from metasearch.store.compacted import Ranking, compact, load_ranking, trials_of
from metasearch.store.compacted import load as load_compacted
from metasearch.store.files import Files, StoreUnavailable, open_files
from metasearch.store.local import TEMPORARY
from metasearch.store.log import SegmentLog, read_facts
from metasearch.store.past import read_archive, scales_of
from metasearch.store.paths import checked_name
from metasearch.store.segments import TornTail, list_segments, lock_path
from metasearch.store.tables import recorded_table
from metasearch.store.thetas import Card, KeptTheta, get_theta, put_card, put_theta, theta_cards
from metasearch.store.views import load_view, union


class Store:
    """A store by its path or URL. Making it touches nothing; the first write makes the folder.

    Everything that reads raises UserError for a sweep, task or column that is not there, and StoreUnavailable for a store that
    is not there or cannot be reached.
    """

    def __init__(self, url: str | os.PathLike[str] | Files) -> None:
        self.files: Files = open_files(url) if isinstance(url, str | os.PathLike) else url

    @property
    def url(self) -> str:
        """Opens the same store from anywhere."""
        return self.files.url

    def sweeps(self, known: Collection[str] = ()) -> list[str]:
        """The names of all sweeps that hold facts, sorted. ``known``: those for which this need not be looked up."""
        return [name for name in self.files.names("sweeps") if name in known or list_segments(self.files, name)]

    def latest(self) -> str:
        """The sweep in which something happened last."""
        return max(self._chosen(None), key=self._last_time)

    def open_log(self, sweep: str) -> SegmentLog:
        """The log of ``sweep``, new or not, to be written by this process alone until it is closed."""
        return SegmentLog(self.files, sweep)

    def facts(self, sweep: str, position: int = 0) -> Iterator[Fact]:
        """Every fact of ``sweep`` from number ``position`` on. Warns if the newest segment is torn and ends before it."""
        self._chosen(sweep)
        return self._facts(sweep, position)

    def history(self, sweep: str) -> History:
        return History.fold(self.facts(sweep))

    def trials(self, sweep: str | None = None) -> pa.Table:
        """The view ``trials``, of one sweep or of all."""
        return self._view("trials", sweep)

    def curves(self, sweep: str | None = None) -> pa.Table:
        """The view ``curves``, of one sweep or of all."""
        return self._view("curves", sweep)

    def best(
        self,
        task: str | Sequence[str] | None = None,
        by: str = "trial",
        at: int | None = None,
        top: int = 10,
        *,
        at_seconds: float | None = None,
        max_parameters: int | None = None,
        sweeps: Sequence[str] | None = None,
    ) -> pa.Table:
        """The ``top`` best of every task, by lowest loss. Trials that diverged or failed never win.

        ``task``: its name or id, or several, whose order the answer then keeps. ``sweeps``: only trials of these are named. ``by``
        another column of ``trials``: the best trial for each of its values, with the number of trials and their median. ``at``,
        ``at_seconds``: what counts is the lowest loss at or before that many steps and seconds of training, so that trials of
        different length compare. ``max_parameters``: only models that are not larger. ``ranking.rank`` explains what stands behind
        each figure: ``seeds``, ``mean``, ``noise`` and ``tied_with``.
        """
        budget = ranking.Budget(at, at_seconds, max_parameters)
        tasks = [task] if isinstance(task, str) else task
        found = self._ranking(tasks, by, top, budget) if sweeps is None else Ranking.of(self._able(by))
        asked = None if tasks is None else self._asked_of(found, tasks)
        points = self._view("curves", None, ("sweep", "trial", "step", "loss", "seconds")) if budget.on_curve else None
        only = {name: values for name, values in (("task_id", asked), ("sweep", sweeps)) if values is not None}
        leaders = ranking.rank(ranking.within(found.rows, points, budget), by, top, only, found.noise)
        if asked is not None:
            leaders.sort(key=lambda leader: asked.index(leader["task_id"]))
        winning = {(leader["sweep"], leader["trial"]) for leader in leaders} or {(self._chosen(None)[0], 0)}
        field = None if by == "trial" else found.rows.schema.field(by)
        return ranking.told(leaders, trials_of(self.files, winning, found.told), field, budget)

    def query(self, sql: str) -> pa.Table:
        """The answer to one SELECT over the views ``sweeps``, ``trials``, ``curves``, ``decisions`` and ``tasks``."""
        return query.run_sql(sql, lambda name: self._tasks() if name == "tasks" else self._view(name, None))

    def recorded(self, task: str) -> RecordedTable:
        """The curves of all trials of ``task`` (its name or id), to simulate sweeps over."""
        trials = self._of_task(self.trials(), task)
        asked = self._view("sweeps", None).sort_by([("opened", "ascending"), ("sweep", "ascending")])
        records = asked.filter(pc.is_in(asked["sweep"], pc.unique(trials["sweep"])))["record"].to_pylist()
        sweeps = [Sweep.from_record(json.loads(record)) for record in records]
        scales = scales_of(sweep.space for sweep in sweeps)
        return recorded_table(task, trials, self._view("curves", None), sweeps[-1].task.descriptor, scales)

    def archive(self, exclude: Collection[str] = (), only: Collection[str] | None = None) -> Archive:
        """All sweeps, those in ``exclude`` aside, as the learned parts read them; empty if there are none.

        ``only``: no other sweeps than these. Warns of every sweep that cannot be read and leaves it out.
        """
        chosen = self.sweeps() if only is None else [name for sweep in dict.fromkeys(only) for name in self._chosen(sweep)]
        return read_archive(self.files, [name for name in chosen if name not in exclude])

    def task_ids(self, task: str) -> list[str]:
        """The ids of all tasks of that name or id, in order. Raises UserError if none has trials."""
        trials = self._view("trials", None, ("task", "task_id"))
        return self._ids(Ranking.of(trials).tasks, [task])

    def compact(self) -> tuple[list[str], list[str]]:
        """Makes few files of the many of all sweeps that no driver has; which these are, and what of their logs was set aside."""
        return compact(self.files, self._chosen(None))

    def check(self) -> Iterator[Finding]:
        """Every torn, missing or foreign file, with the remedy. Changes nothing."""
        return check(self.files)

    def upgrade(self) -> dict[str, int]:
        """Writes the logs of all sweeps in the current schema version; how many files of each had an older one.

        Raises UserError if one is running.
        """
        upgraded = {}
        for sweep in self._chosen(None):
            with self.open_log(sweep) as log:
                upgraded[sweep] = log.upgrade()
        return upgraded

    def is_running(self, sweep: str) -> bool:
        """Does a driver hold the log of ``sweep``?"""
        return self.files.holder(lock_path(checked_name("sweep", sweep))) is not None

    def request_stop(self, sweep: str) -> None:
        """Asks the driver of ``sweep``, wherever it is, to end in order."""
        self.files.write_atomic(_stop_path(sweep), b"")

    def stop_requested(self, sweep: str) -> bool:
        return self.files.exists(_stop_path(sweep))

    def clear_stop(self, sweep: str) -> None:
        self.files.delete(_stop_path(sweep))

    def put_driver_output(self, sweep: str, text: str) -> None:
        """What a driver without a terminal printed, in place of what it printed before."""
        self.files.write_atomic(_output_path(sweep), text.encode())

    def driver_output(self, sweep: str) -> str:
        """Empty if no driver of ``sweep`` ran without a terminal."""
        try:
            return self.files.read(_output_path(sweep)).decode()
        except FileNotFoundError:
            return ""

    def put_checkpoint(self, sweep: str, trial: int, name: str, content: bytes) -> None:
        """Keeps ``content`` as the checkpoint ``name`` of a trial in place of an earlier one."""
        folder = _trial_folder(sweep, trial)
        for left in self.files.names(folder):
            if left.endswith(TEMPORARY):  # of a worker that was killed while it wrote
                self.files.delete(f"{folder}/{left}")
        self.files.write_atomic(f"{folder}/{checked_name('checkpoint', name)}", content)

    def get_checkpoint(self, sweep: str, trial: int, name: str) -> bytes | None:
        """None if there is none of that name."""
        try:
            return self.files.read(f"{_trial_folder(sweep, trial)}/{checked_name('checkpoint', name)}")
        except FileNotFoundError:
            return None

    def drop_checkpoints(self, sweep: str, trial: int) -> None:
        """Deletes whatever is kept of a trial beside its facts."""
        folder = _trial_folder(sweep, trial)
        for name in self.files.names(folder):
            self.files.delete(f"{folder}/{name}")

    def put_theta(self, theta: KeptTheta, card: Card) -> str:
        """Keeps what a learned part knows, under the hash of its content, which it returns."""
        return put_theta(self.files, theta, card)

    def get_theta(self, digest: str) -> KeptTheta:
        """Raises UserError if it is not there or damaged."""
        return get_theta(self.files, digest)

    def theta_cards(self, part: str | None = None) -> list[Card]:
        """The cards of all thetas, or of those of one learned part, newest first."""
        return [card for card in theta_cards(self.files) if part in (None, card.part)]

    def put_card(self, card: Card) -> None:
        """Puts it in the place of the card of the same theta."""
        put_card(self.files, card, card.digest)

    def _facts(self, sweep: str, position: int = 0) -> Iterator[Fact]:
        try:
            yield from read_facts(self.files, sweep, position)
        except TornTail as torn:
            warnings.warn(torn.message, stacklevel=2)

    def _last_time(self, sweep: str) -> float:
        newest = max(list_segments(self.files, sweep), key=lambda segment: segment.end)
        return max((fact.time for fact in self._facts(sweep, newest.first)), default=0.0)

    def _view(self, view: str, sweep: str | None, columns: Sequence[str] | None = None) -> pa.Table:
        compacted = load_compacted(self.files, view, columns) if sweep is None else None
        known = frozenset() if compacted is None else compacted.sweeps
        others = [name for name in self._chosen(sweep, known) if name not in known]
        tables = [] if compacted is None or not known else [compacted.rows]
        table = union([*tables, *(load_view(self.files, name, view, columns) for name in others)])
        return self._with_drivers(table) if view == "sweeps" else table

    def _with_drivers(self, sweeps: pa.Table) -> pa.Table:
        """Whether an open sweep has a driver is no fact of its log: it is looked up when asked."""
        rows = zip(sweeps["sweep"].to_pylist(), sweeps["state"].to_pylist(), strict=True)
        states = [s if s == "closed" else "running" if self.is_running(name) else "interrupted" for name, s in rows]
        return sweeps.set_column(sweeps.column_names.index("state"), "state", pa.array(states, pa.string()))

    def _tasks(self) -> pa.Table:
        sweeps = self._view("sweeps", None).select(("task_id", "task", "kind", "metric", "unit", "source", "descriptor", "better"))
        ids = sweeps["task_id"].to_pylist()
        return sweeps.take([ids.index(one) for one in dict.fromkeys(ids)])

    def _ranking(self, tasks: Sequence[str] | None, by: str, top: int, budget: ranking.Budget) -> Ranking:
        """The trials that may win, with the columns that ranking by ``by`` needs."""
        if by in ranking.RANKED and budget == ranking.Budget() and top > 0:
            compacted = load_ranking(self.files, tasks, by, top)
            if compacted is not None:
                return compacted
        return Ranking.of(self._able(by))

    def _able(self, by: str) -> pa.Table:
        trials = self._view("trials", None)
        if by not in trials.column_names:
            raise UserError(f'There is no column "{by}" to compare by.{did_you_mean(by, trials.column_names)}')
        return ranking.able(trials)

    def _of_task(self, trials: pa.Table, task: str) -> pa.Table:
        return trials.filter(pc.is_in(trials["task_id"], pa.array(self._ids(Ranking.of(trials).tasks, [task]), pa.string())))

    def _asked_of(self, found: Ranking, tasks: Sequence[str]) -> list[str]:
        """The ids of ``tasks``, of which some may have but trials that may not win."""
        if all(any(task in pair for pair in found.tasks) for task in tasks):
            return self._ids(found.tasks, tasks)
        return self._ids(Ranking.of(self._view("trials", None, ("task", "task_id"))).tasks, tasks)

    def _ids(self, known: Collection[tuple[str, str]], tasks: Sequence[str]) -> list[str]:
        """The ids of ``tasks``, named or given by id, in that order. ``known``: names and ids of those that have trials."""
        ids: list[str] = []
        for task in tasks:
            found = sorted(pair[1] for pair in known if task in pair)
            if not found:
                names = {name for name, _ in known}
                raise UserError(f'There are no trials of a task "{task}" in the store {self.url}.{did_you_mean(task, names)}')
            ids += found
        return list(dict.fromkeys(ids))

    def _chosen(self, sweep: str | None, known: Collection[str] = ()) -> list[str]:
        """``sweep``, or all sweeps, of which there must be one. ``known``: those that are there for sure."""
        if sweep is not None and list_segments(self.files, checked_name("sweep", sweep)):
            return [sweep]
        there = self.sweeps(known)
        if not there:
            raise StoreUnavailable(f"There are no sweeps at {self.url}. Launch one with --store {self.url}, or name another store.")
        if sweep is not None:
            raise UserError(f'There is no sweep "{sweep}" in the store {self.url}.{did_you_mean(sweep, there)}')
        return there


def _stop_path(sweep: str) -> str:
    return f"sweeps/{checked_name('sweep', sweep)}/stop"


def _output_path(sweep: str) -> str:
    return f"sweeps/{checked_name('sweep', sweep)}/driver.log"


def _trial_folder(sweep: str, trial: int) -> str:
    return f"sweeps/{checked_name('sweep', sweep)}/trials/{int(trial)}"
