"""The challenger of the meta-selector's surrogate: a small Transformer that has earlier trials and this sweep's as its context.

Decisions, guard, units of a task and the reading of partial curves are those of ``meta``; only what is believed of a config's
result comes from the network. It is pre-trained on synthetic searches (``experiments/studies/in_context.py`` does that and
compares the two) and then trained further on the archive, one task after the other playing the target.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.meta._ground import gaussian_process
from metasearch.meta.features import Layout
from metasearch.meta.selector import Selector
from metasearch.meta.surrogate import Belief, Places, Rows
from metasearch.meta.theta import Theta, learn

network = catalog.load("meta", "in_context_network")
prior = catalog.load("meta", "in_context_prior")

NAME = "in-context"
WEIGHTS = Path(__file__).resolve().parents[3] / "build" / "in_context.safetensors"

PAST_TASKS, PAST_ROWS, OWN_ROWS = 8, 192, 64
"""What the context holds at most: tasks, nearest first by descriptor; their trials; and trials of this sweep."""

STEPS, RATE = 60, 1e-4
SETS_AT_ONCE = 4
LEAST_TASKS = 2
"""With fewer there is no task that could play the target."""


@dataclass(frozen=True, eq=False)
class InContextTheta:
    """``base``: all that the decisions need. ``model``: trained on the archive; None if that is empty."""

    base: Theta
    model: torch.nn.Module | None = None

    def surrogate(self, theta: Theta, layout: Layout, descriptor: Mapping[str, float]) -> InContextPlaces | None:
        gaussian = gaussian_process(theta, layout, descriptor)
        rows = theta.rows(layout)
        if gaussian is None or rows is None or self.model is None:
            return None
        return InContextPlaces(self.model, gaussian, layout, _nearest(rows, theta.place(descriptor)), theta.place(descriptor))


class InContextPlaces:
    """Beliefs by the network. Units of a task are still judged by the Gaussian process, whose joint likelihood they need."""

    noise = 0.0  # the network's densities are those of results

    def __init__(self, model: torch.nn.Module, gaussian: Places, layout: Layout, past: Rows, descriptor_E: np.ndarray) -> None:
        self.model, self.gaussian, self.past = model, gaussian, past
        self.frame = Frame(layout, descriptor_E)
        self.points_ND = np.zeros((0, len(layout.groups)))

    def add(self, points_ND: np.ndarray, doubt_N: np.ndarray) -> None:
        self.gaussian.add(points_ND, doubt_N)
        self.points_ND = np.concatenate([self.points_ND, points_ND])

    def keep(self, kept: np.ndarray) -> None:
        self.gaussian.keep(kept)
        self.points_ND = self.points_ND[kept]

    def log_evidence(self, seen: np.ndarray, z_GN: np.ndarray, variance_GN: np.ndarray) -> np.ndarray:
        return self.gaussian.log_evidence(seen, z_GN, variance_GN)

    def believe(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        if not len(wanted):
            return Belief(np.zeros(0), np.zeros(0))
        kept = _most_telling(z)
        points_ND, doubt_N = self.points_ND[seen[kept]], self.gaussian.doubt[seen[kept]]
        own = Rows(points_ND, z[kept], variance[kept], np.zeros(len(kept), int), self.frame.descriptor_E[None], doubt_N)
        with torch.no_grad():
            mean, deviation = network.moments(self.model(self.frame.asked(self.past, own, self.points_ND[wanted])))
        return Belief(mean[0].double().numpy(), deviation[0].double().numpy())

    def ahead(self, seen: np.ndarray, z: np.ndarray, variance: np.ndarray, wanted: np.ndarray) -> Belief:
        """The network tells nothing of how places move together: each is compared as if the best were known."""
        belief, best = self.believe(seen, z, variance, wanted), self.believe(seen, z, variance, seen).mean.max()
        return Belief(belief.mean - best, belief.deviation)


@dataclass(frozen=True)
class Frame:
    """What is fixed for one target task: its descriptor, and the random vectors that stand for columns, numbers and tasks."""

    layout: Layout
    descriptor_E: np.ndarray

    @cached_property
    def columns(self) -> np.ndarray:
        """A vector for each column; that of a parameter is the same wherever it occurs."""
        labels, number = [], 0
        for place, (name, kind) in enumerate(self.layout.groups):
            number = number + 1 if place and self.layout.groups[place - 1] == (name, kind) else 0
            options = self.layout.options.get(name, ())
            labels.append(f"{name} {options[number] if kind == 'option' else kind}")
        return _vectors("column", labels)

    def asked(self, past: Rows, own: Rows, wanted_MP: np.ndarray) -> network.Asked:
        """One data set: past trials, those of the target, and the configs that are asked for."""
        points = np.concatenate([past.points_ND, own.points_ND, wanted_MP])
        ours = len(own.z_N) + len(wanted_MP)
        descriptors = np.concatenate([past.descriptor_TE[past.task_N], np.tile(self.descriptor_E, (ours, 1))])
        tasks = np.concatenate([_vectors("task", past.task_N.tolist()), np.tile(_vectors("task", ["target"]), (ours, 1))])
        parts = (
            points,
            self.columns,
            descriptors,
            _vectors("descriptor", range(len(self.descriptor_E))),
            np.concatenate([np.zeros(len(past.z_N)), np.ones(ours)]),
            tasks,
            np.concatenate([past.z_N, own.z_N]),
            np.concatenate([past.variance_N, own.variance_N]),
        )
        return network.Asked(*(torch.tensor(part, dtype=torch.float32)[None] for part in parts))


def _vectors(kind: str, labels: Iterable[str | int]) -> np.ndarray:
    return np.array([_vector(kind, label) for label in labels]).reshape(-1, network.NAME_WIDTH)


@cache
def _vector(kind: str, label: str | int) -> np.ndarray:
    return derive(0, kind, label).normal(size=network.NAME_WIDTH) / math.sqrt(network.NAME_WIDTH)


def _most_telling(z: np.ndarray) -> np.ndarray:
    """The best half of what fits, and some of the rest, if there are more trials than that."""
    if len(z) <= OWN_ROWS:
        return np.arange(len(z))
    ranked = np.argsort(-z, kind="stable")
    rest = ranked[OWN_ROWS // 2 :]
    return np.concatenate([ranked[: OWN_ROWS // 2], rest[np.linspace(0, len(rest) - 1, OWN_ROWS // 2).astype(int)]])


def _nearest(rows: Rows, descriptor_E: np.ndarray) -> Rows:
    """The rows of the nearest tasks, each task's best and some of its rest."""
    distance_T = ((rows.descriptor_TE - descriptor_E) ** 2).sum(1)
    tasks = np.argsort(distance_T, kind="stable")[:PAST_TASKS]
    each = PAST_ROWS // len(tasks)
    kept = [_spread(np.flatnonzero(rows.task_N == task), rows.z_N, each) for task in tasks]
    return _part(rows, np.concatenate(kept))


def _spread(places: np.ndarray, z_N: np.ndarray, most: int) -> np.ndarray:
    """Of ``places`` in the order of their results, at most ``most``, evenly; the best is among them."""
    ranked = places[np.argsort(-z_N[places], kind="stable")]
    return ranked[np.unique(np.linspace(0, len(ranked) - 1, min(most, len(ranked))).astype(int))]


def _part(rows: Rows, kept: np.ndarray) -> Rows:
    return Rows(
        rows.points_ND[kept], rows.z_N[kept], rows.variance_N[kept], rows.task_N[kept], rows.descriptor_TE, rows.doubt_N[kept]
    )


def load_weights(path: Path) -> torch.nn.Module:
    """The pre-trained network. Raises UserError if there are no weights, or not those of this network."""
    remedy = "Make them with: python experiments/studies/in_context.py (or name a file in METASEARCH_IN_CONTEXT)."
    if not path.is_file():
        raise UserError(f"The in-context surrogate needs pre-trained weights, and {path} is not there. {remedy}")
    model = network.InContext()
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:  # whatever is wrong with a file that somebody named
        raise UserError(f"{path} does not hold weights of the in-context surrogate: {error}. {remedy}") from error
    return model.eval()


def trained_on(model: torch.nn.Module, base: Theta, rng: np.random.Generator) -> torch.nn.Module:
    """The model after some steps on the archive, in turn with synthetic searches so that what was pre-trained is not forgotten."""
    rows = base.rows(base.layout)
    if rows is None or base.tasks < LEAST_TASKS:
        return model
    random = torch.Generator().manual_seed(int(rng.integers(2**31)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that the result does not depend on how many there are
    try:
        for step in range(STEPS):
            asked, ends = prior.drawn(random, SETS_AT_ONCE) if step % 2 else episodes(base.layout, rows, rng, random)
            network.step(model, optimizer, asked, ends)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def episodes(layout: Layout, rows: Rows, rng: np.random.Generator, random: torch.Generator) -> tuple[network.Asked, torch.Tensor]:
    """One past task plays the target: some of its trials are seen, as noisily as in part, and asked for with the rest."""
    target = int(rng.choice(np.unique(rows.task_N)))
    here, past = np.flatnonzero(rows.task_N == target), _part(rows, np.flatnonzero(rows.task_N != target))
    frame = Frame(layout, rows.descriptor_TE[target])
    seen = int(rng.integers(len(here) * 2 // 3 + 1))
    again = min(seen, prior.AGAIN)
    sets, ends = [], []
    for _ in range(SETS_AT_ONCE):
        order = rng.permutation(here)
        own = _part(rows, order[:seen])
        variance = prior.noise(random, torch.zeros(1, 1, seen))[0, 0].double().numpy()
        noisy = replace(own, z_N=own.z_N + np.sqrt(variance) * rng.normal(size=seen), variance_N=variance)
        shown = _part(past, rng.permutation(len(past.z_N))[:PAST_ROWS])
        wanted = np.concatenate([order[:again], order[seen:]])
        sets.append(frame.asked(shown, noisy, rows.points_ND[wanted]))
        ends.append(torch.tensor(rows.z_N[wanted], dtype=torch.float32))
    fields = network.Asked.__dataclass_fields__
    return network.Asked(**{name: torch.cat([getattr(one, name) for one in sets]) for name in fields}), torch.stack(ends)


class InContextSelector:
    """The learned part, apart from what it learned."""

    def init(self, rng: np.random.Generator) -> InContextTheta:
        return InContextTheta(Theta())

    def learn(self, theta: InContextTheta, archive: Archive, rng: np.random.Generator) -> InContextTheta:
        model = load_weights(Path(os.environ.get("METASEARCH_IN_CONTEXT", WEIGHTS)))
        base = learn(archive, rng) if len(archive) else Theta()
        return InContextTheta(base, trained_on(model, base, rng))

    def build(self, theta: InContextTheta) -> Selector:
        return Selector(theta.base, theta.surrogate)


META = InContextSelector()
