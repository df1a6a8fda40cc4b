"""What the learned search is worth on one's own tasks: each is searched again in virtual time, knowing only the others."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.errors import UserError
from metasearch.store.archive import Store
from metasearch.sweep.learned import prepared
from metasearch.sweep.simulation import Replay, normalised_regret, replay
from metasearch.sweep.sources import EVERY, read_target

MARKS = (1.0, 3.0, 5.0, 10.0)
"""Full trainings after which regret is compared."""

FEWEST_TRIALS = 5
ALL = 10**9
"""Trials known of every source."""

LEARNED, BASELINE = "meta", "tpe + asha"
CONTESTANTS: Mapping[str, tuple[str, str | None]] = {LEARNED: ("meta", None), BASELINE: ("tpe", "asha"), "asha": ("asha", None)}
"""Searcher and scheduler of each."""

Curve = list[tuple[float, float]]
"""Full trainings spent and normalised regret then, after every report."""


@dataclass(frozen=True)
class Evaluation:
    """``regret``: by contestant and full trainings, the mean normalised regret over tasks and seeds (0: the best recorded loss).

    ``share``: of the compute after which ``BASELINE`` first had the mean regret that it ended with, so much was enough for
    ``LEARNED`` to have it; None if it never had. ``digest``: of the theta on whose card this was written. ``skipped``: tasks left
    out, with the reason.
    """

    tasks: tuple[str, ...]
    skipped: tuple[str, ...]
    seeds: int
    budget: float
    regret: Mapping[str, Mapping[str, float]]
    share: float | None
    digest: str
    time: float

    def record(self) -> dict[str, Any]:
        """As plain data, for a card or a program."""
        return asdict(self)


def evaluate(
    store: Store,
    *,
    tasks: int | None = None,
    seeds: int = 3,
    budget: float = 10.0,
    note: Callable[[str], None] = lambda message: None,
) -> Evaluation:
    """Leaves out one task after the other and writes what came out on the card of the theta that knows the whole store.

    Raises UserError if fewer than two tasks have ``FEWEST_TRIALS`` trials.
    """
    if not budget > 0:
        raise UserError(f"--budget must be above 0 full trainings, found {budget:g}.")
    known, skipped = _usable(store.archive(), store.url)
    for line in skipped:
        note(line)
    chosen = known[:tasks]
    card = prepared(store, catalog.LEARNED[LEARNED], note=note)
    curves: dict[str, list[Curve]] = {name: [] for name in CONTESTANTS}
    for task in chosen:
        note(f"{task.name}: {task.trials} trials, searched {seeds} times by each of {', '.join(CONTESTANTS)}")
        table = read_target(f"{store.url}:{task.id}")
        for name in CONTESTANTS:
            found = [_searched(store.url, task.id, name, seed, budget) for seed in range(seeds)]
            curves[name] += [[(spent, normalised_regret(table, best)) for spent, best in each.trajectory] for each in found]
    marks = [mark for mark in MARKS if mark <= budget] or [budget]
    regret = {name: {f"{mark:g}": _mean_at(found, mark) for mark in marks} for name, found in curves.items()}
    share = share_of_compute(curves[LEARNED], curves[BASELINE])
    names = tuple(task.name for task in chosen)
    answer = Evaluation(names, tuple(skipped), seeds, budget, regret, share, card.digest, time.time())
    store.put_card(replace(card, held_out=answer.record()))
    return answer


def share_of_compute(ours: Sequence[Curve], theirs: Sequence[Curve]) -> float | None:
    """How much of the compute that they needed for the mean regret they ended with was enough for us; None: all was not."""
    final = _mean_at(theirs, math.inf)
    first = {name: _first_at(curves, final) for name, curves in (("ours", ours), ("theirs", theirs))}
    return None if first["ours"] is None or first["theirs"] is None else first["ours"] / first["theirs"]


@dataclass(frozen=True)
class _Counted:
    """A task of the store. ``finite``: how many of its ``trials`` have a finite loss."""

    id: str
    name: str
    trials: int
    finite: int


def _usable(archive: Archive, url: str) -> tuple[list[_Counted], list[str]]:
    """Those to leave out in turn, each with its trials of every length, and a line about each that has too few."""
    counted: dict[str, _Counted] = {}
    for task in archive:
        finite = sum(math.isfinite(trial.lowest) for trial in task.trials)
        before = counted.get(task.id, _Counted(task.id, task.name, 0, 0))
        counted[task.id] = replace(before, trials=before.trials + len(task.trials), finite=before.finite + finite)
    skipped = [
        f"{task.name}: left out, {task.finite} trials with a finite loss, {FEWEST_TRIALS} are needed"
        for task in counted.values()
        if task.finite < FEWEST_TRIALS
    ]
    known = [task for task in counted.values() if task.finite >= FEWEST_TRIALS]
    if len(known) < 2:
        raise UserError(
            f"To leave a task out, two tasks with {FEWEST_TRIALS} trials each are needed; the store {url} has {len(known)}. "
            "Run sweeps on other corpora or tokenizers first.",
            skipped,
        )
    return known, skipped


def _searched(url: str, task: str, name: str, seed: int, budget: float) -> Replay:
    searcher, scheduler = CONTESTANTS[name]
    sources = (f"{url}:{EVERY}",) if name == LEARNED else ()
    return replay(
        f"{url}:{task}", searcher=searcher, scheduler=scheduler, budget=budget, seed=seed, sources=sources, source_trials=ALL
    )


def _mean_at(curves: Sequence[Curve], spent: float) -> float:
    """Before its first report a search has the regret of the median config."""
    return statistics.mean(next((regret for at, regret in reversed(curve) if at <= spent), 1.0) for curve in curves)


def _first_at(curves: Sequence[Curve], regret: float) -> float | None:
    """The least that each has to spend for their mean regret to be no more than ``regret``."""
    moments = sorted({at for curve in curves for at, _ in curve})
    return next((moment for moment in moments if _mean_at(curves, moment) <= regret + 1e-12), None)
