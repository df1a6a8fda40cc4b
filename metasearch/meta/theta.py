"""What the meta-selector knows: learned from an archive of past tasks, plain arrays and plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.likeness import DescriptorScale
from metasearch.core.scales import LEARNING_RATES
from metasearch.core.space import Space
from metasearch.meta import costs as pacing
from metasearch.meta import curves
from metasearch.meta.features import Code, Layout, layout_of
from metasearch.meta.practice import doubts
from metasearch.meta.surrogate import Kernel, Rows

MOST_ROWS = 600
FEWEST_TRIALS = 3
"""A task with fewer results says nothing about what is ordinary on it."""

PRACTICE = 0.6
"""How much worse than an ordinary result one is expected to be, about, with which practice agrees in nothing."""

BEST_OF_A_TASK = 3
FEWEST_CURVES = 20


@dataclass(frozen=True)
class Units:
    """Where a new task's units are expected, relative to its first losses F: a = F - shift · b, log b ~ N(log_scale, spread).

    ``relative``: log_scale is that of b / |F|.
    """

    shift: float = 1.0
    shift_spread: float = 1.0
    log_scale: float = math.log(0.3)
    log_scale_spread: float = 1.0
    relative: bool = True

    def expected_log_scale(self, first: float) -> float:
        return self.log_scale + (math.log(max(abs(first), 1e-9)) if self.relative else 0.0)


@dataclass(frozen=True)
class PastResult:
    """One row of the surrogate. ``names``: index into ``Theta.names`` of the parameters that its space knew."""

    code: Code
    z: float
    task: int
    variance: float = 0.0


@dataclass(frozen=True)
class Theta:
    """Everything learned. Without ``results`` it is what is known before the first sweep.

    ``full_share``: how long a full training is, as a share of the horizon (less than 1 where trials end early by themselves).
    """

    layout: Layout = field(default_factory=lambda: Layout({}, {}))
    kernel: Kernel | None = None
    book: curves.Book = field(default_factory=curves.synthetic_book)
    units: Units = field(default_factory=Units)
    costs: pacing.Costs = field(default_factory=pacing.Costs)
    full_share: float = 1.0
    results: tuple[PastResult, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    descriptors: tuple[Mapping[str, float], ...] = ()
    best: tuple[Config, ...] = ()
    sweeps: tuple[str, ...] = ()
    task_names: tuple[str, ...] = ()
    trials: int = 0

    @property
    def tasks(self) -> int:
        return len(self.task_names)

    def layout_for(self, space: Space) -> Layout:
        return layout_of((), space, self.layout)

    def rows(self, layout: Layout) -> Rows | None:
        """Past results as points of ``layout``; None if there are none."""
        if not self.results:
            return None
        points = [layout.point(result.code, self.known[result.task]) for result in self.results]
        return Rows(
            np.array(points),
            np.array([result.z for result in self.results]),
            np.array([result.variance for result in self.results]),
            np.array([result.task for result in self.results]),
            np.array([self.place(descriptor) for descriptor in self.descriptors]),
            doubts((result.code for result in self.results), layout),
        )

    def place(self, descriptor: Mapping[str, float]) -> np.ndarray:
        """A task among the past ones, by its descriptor; see ``DescriptorScale.place``."""
        return self._scale.place(descriptor)

    @cached_property
    def _scale(self) -> DescriptorScale:
        return DescriptorScale.of(self.descriptors)

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain JSON data from which ``unpack`` makes an equal theta."""
        arrays = {**curves.pack(self.book), **pacing.pack(self.costs), "z": np.array([r.z for r in self.results])}
        arrays["task"] = np.array([r.task for r in self.results], dtype=np.int64)
        arrays["variance"] = np.array([r.variance for r in self.results])
        plain = {
            "layout": {"numbers": {k: list(v) for k, v in self.layout.numbers.items()}, "options": _listed(self.layout.options)},
            "kernel": None if self.kernel is None else self.kernel.record(),
            "units": vars(self.units),
            "full_share": self.full_share,
            "synthetic": self.book.synthetic,
            "codes": [dict(result.code) for result in self.results],
            "known": [list(names) for names in self.known],
            "descriptors": [dict(descriptor) for descriptor in self.descriptors],
            "best": [dict(config) for config in self.best],
            "sweeps": list(self.sweeps),
            "task_names": list(self.task_names),
            "trials": self.trials,
        }
        return arrays, plain

    @staticmethod
    def unpack(arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> Theta:
        layout = plain["layout"]
        numbers = zip(plain["codes"], arrays["z"].tolist(), arrays["task"].tolist(), arrays["variance"].tolist(), strict=True)
        known = Layout(
            {name: (ends[0], ends[1]) for name, ends in layout["numbers"].items()},
            {name: tuple(texts) for name, texts in layout["options"].items()},
        )
        return Theta(
            layout=known,
            costs=pacing.unpack(arrays, known) if "costs/mean" in arrays else pacing.Costs(),
            kernel=None if plain["kernel"] is None else Kernel(**plain["kernel"]),
            book=replace(curves.unpack(arrays), synthetic=plain["synthetic"]),
            units=Units(**plain["units"]),
            full_share=plain["full_share"],
            results=tuple(PastResult(code, z, task, variance) for code, z, task, variance in numbers),
            known=tuple(tuple(names) for names in plain["known"]),
            descriptors=tuple(plain["descriptors"]),
            best=tuple(Config(values) for values in plain["best"]),
            sweeps=tuple(plain["sweeps"]),
            task_names=tuple(plain["task_names"]),
            trials=plain["trials"],
        )


def _listed(options: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(texts) for name, texts in options.items()}


def plain_kernel(layout: Layout) -> Kernel:
    """What is assumed before anything is learned."""
    usual = 1.4 / math.sqrt(max(len(layout.names), 1))
    weights = {name: usual * (2.0 if name in LEARNING_RATES else 1.0) for name in layout.names}
    return Kernel(weights, dict.fromkeys(layout.names, 1.0), practice=PRACTICE)


def learn(archive: Archive, rng: np.random.Generator) -> Theta:
    """What the archive teaches. Tasks with fewer than ``FEWEST_TRIALS`` finite results are left out."""
    tasks = [task for task in archive if sum(math.isfinite(trial.lowest) for trial in task.trials) >= FEWEST_TRIALS]
    if not tasks:
        return Theta()
    layout = layout_of(trial.code for task in tasks for trial in task.trials)
    chosen = [_chosen(task, max(MOST_ROWS // len(tasks), 8), rng) for task in tasks]
    first = [_first_units(task) for task in tasks]
    results = _results(chosen, first)
    draft = Theta(
        layout=layout,
        results=results,
        known=tuple(tuple(sorted(task.names)) for task in tasks),
        descriptors=tuple(task.circumstances for task in tasks),
        sweeps=archive.sweeps,
        task_names=tuple(task.name for task in tasks),
        trials=archive.trials,
        best=tuple(trial.config for task in tasks for trial in sorted(task.trials, key=lambda t: t.lowest)[:BEST_OF_A_TASK]),
        costs=pacing.Costs.learn(archive, layout),
        full_share=math.exp(float(np.mean([math.log(_full_steps(task) / task.horizon) for task in tasks]))),
    )
    return _fitted(draft, tasks, chosen, first, rng)


_Units = tuple[float, float]
"""Location and scale of a task."""


def _fitted(
    draft: Theta,
    tasks: Sequence[PastTask],
    chosen: Sequence[Sequence[PastTrial]],
    first: Sequence[_Units],
    rng: np.random.Generator,
) -> Theta:
    from metasearch.meta.learning import fit  # and with it torch, which only learning needs

    rows = draft.rows(draft.layout)
    assert rows is not None
    start = replace(
        plain_kernel(draft.layout),
        mean=0.0,
        shared=0.15,
        own=0.15,
        response=0.02,
        own_response=0.02,
        near=0.1 if any(draft.descriptors) else 0.0,
    )
    fitted = fit(start, draft.layout, rows, rng)
    units = [
        (a - shift * b, b * math.exp(log_scale))
        for (a, b), shift, log_scale in zip(first, fitted.shift_T.tolist(), fitted.log_scale_T.tolist(), strict=True)
    ]
    seen = [list(_curves(task, location, scale)) for task, (location, scale) in zip(tasks, units, strict=True)]
    enough = sum(map(len, seen)) >= FEWEST_CURVES
    book = curves.book_of_tasks([task for task in seen if task]) if enough else curves.synthetic_book()
    return replace(
        draft,
        kernel=fitted.kernel,
        results=_results(chosen, units),
        units=_expected_units(tasks, units),
        book=book,
    )


def _chosen(task: PastTask, most: int, rng: np.random.Generator) -> list[PastTrial]:
    """The trials that become rows: the best fifth, and of the others as many as there is room for."""
    ranked = sorted(task.trials, key=lambda trial: trial.lowest)
    best = ranked[: max(min(len(ranked) // 5, most // 2), 1)]
    rest = ranked[len(best) :]
    room = max(most - len(best), 0)
    kept = rest if len(rest) <= room else [rest[i] for i in sorted(rng.permutation(len(rest))[:room].tolist())]
    return best + kept


def _first_units(task: PastTask) -> tuple[float, float]:
    """Location and scale to start from: the median, and how far the best lies below it."""
    lowest = np.array([trial.lowest for trial in task.trials])
    finite = lowest[np.isfinite(lowest)]
    location = float(np.median(lowest)) if np.isfinite(np.median(lowest)) else float(np.median(finite))
    return location, max(location - float(finite.min()), 1e-6 * abs(location), 1e-9)


def _full_steps(task: PastTask) -> float:
    ended = [trial.steps[-1] for trial in task.trials if trial.ended and not trial.diverged]
    return float(np.median(ended or [task.horizon]))


def _results(chosen: Sequence[Sequence[PastTrial]], units: Sequence[tuple[float, float]]) -> tuple[PastResult, ...]:
    """Trials that did not run to their end count by what they reached, with less certainty."""
    rows = []
    for task, (trials, (location, scale)) in enumerate(zip(chosen, units, strict=True)):
        z_N = curves.squashed(curves.in_units(np.array([trial.lowest for trial in trials]), location, scale))
        rows += [PastResult(t.code, float(z), task, 0.0 if t.ended else 0.04) for t, z in zip(trials, z_N, strict=True)]
    return tuple(rows)


def _curves(task: PastTask, location: float, scale: float) -> Iterable[curves.Curve]:
    full = _full_steps(task)
    for trial in task.trials:
        if trial.ended and len(trial.steps) > 3:
            losses = np.where(np.isfinite(trial.losses), trial.losses, np.inf)
            best = curves.in_units(np.minimum.accumulate(losses), location, scale)
            yield [step / full for step in trial.steps], best, float(curves.squashed(best[-1:])[0])


def _expected_units(tasks: Sequence[PastTask], units: Sequence[tuple[float, float]]) -> Units:
    shifts, absolute, relative = [], [], []
    for task, (location, scale) in zip(tasks, units, strict=True):
        firsts = [trial.losses[0] for trial in task.trials if math.isfinite(trial.losses[0])]
        first = float(np.median(firsts)) if firsts else location
        shifts.append((first - location) / scale)
        absolute.append(math.log(scale))
        relative.append(math.log(scale / max(abs(first), 1e-9)))
    scaled = float(np.std(absolute)) >= float(np.std(relative))
    logs = relative if scaled else absolute
    return Units(float(np.median(shifts)), float(np.std(shifts)) + 0.1, float(np.mean(logs)), float(np.std(logs)) + 0.2, scaled)
