"""Synthetic searches with earlier tasks, to pre-train the challenger ``in-context`` on.

What a task's results are like is drawn afresh for each data set: a function that all tasks share, one that varies with their
descriptors, one of each task alone, as random Fourier features of a heavy-tailed spectrum (rough in some parameters, flat in most),
and a quadratic response. A quarter of the sources misleads: half of these have nothing to do with the target, half are its
reverse. Some regions diverge. Results are then brought into units of the task as the store's are, with an error in these units,
and observed with the noise that partial curves leave.

Shapes: B data sets, T tasks (the last is the target), C configs of each, P columns, E numbers of a descriptor, R random features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metasearch import catalog

network = catalog.load("meta", "in_context_network")

MISLEADING = 0.25
FEATURES = 48
DIVERGING = 0.3
"""How probable it is that a task has configs that diverge."""

OPTIONS = 3
NEW, AGAIN = 20, 8
"""How many configs are asked for, of which only the config is known; and how many, at most, that were seen in part."""


def drawn(random: torch.Generator, sets: int) -> tuple[network.Asked, Tensor]:
    """``sets`` data sets of one size, and the results that are asked for."""
    tasks, configs = _int(random, 1, 8), _int(random, 8, 28)
    seen = _int(random, 0, 30)
    count = max(configs, seen + NEW)
    points = _points(random, sets, tasks, count)
    descriptors = torch.randn(sets, tasks, _int(random, 0, 4), generator=random)
    z = _in_units(random, _values(random, points, descriptors))
    variance = noise(random, z)
    observed = (z + variance.sqrt() * torch.randn(z.shape, generator=random)).clamp(-1.2, 1.5)
    rows = [(task, slice(0, configs)) for task in range(tasks - 1)] + [(tasks - 1, slice(0, seen + NEW))]
    known = (tasks - 1) * configs + seen
    again = known - seen + torch.arange(min(seen, AGAIN))
    order = torch.cat([torch.arange(known), again, torch.arange(known, known + NEW)])
    whose = torch.cat([torch.full((part.stop,), task) for task, part in rows])[order]

    def gathered(values: Tensor) -> Tensor:
        return torch.cat([values[:, task, part] for task, part in rows], dim=1)[:, order]

    asked = network.Asked(
        points=gathered(points),
        names=_names(random, sets, points.shape[-1]),
        descriptors=descriptors[:, whose],
        descriptor_names=_names(random, sets, descriptors.shape[-1]),
        own=(whose == tasks - 1).float().expand(sets, -1),
        tasks=_names(random, sets, tasks)[:, whose],
        z=gathered(observed)[:, :known],
        variance=gathered(variance)[:, :known],
    )
    return asked, gathered(z)[:, known:]


def _points(random: torch.Generator, sets: int, tasks: int, count: int) -> Tensor:
    """Numbers, choices as one column per option, and absences, as ``features.Layout`` has them."""
    shape, columns = (sets, tasks, count), []
    for _ in range(_int(random, 1, 9)):
        if torch.rand((), generator=random) < 0.75:
            value = 2 * torch.rand(shape, generator=random) - 1
        else:
            value = None
            columns += list(
                torch.nn.functional.one_hot(torch.randint(OPTIONS, shape, generator=random), OPTIONS).float().unbind(-1)
            )
        closed = (torch.rand(shape, generator=random) < 0.4).float() * float(torch.rand((), generator=random) < 0.25)
        columns += [closed] if value is None else [value * (1 - closed), closed]
    return torch.stack(columns, dim=-1)


def _values(random: torch.Generator, points: Tensor, descriptors: Tensor) -> Tensor:
    """How good each config is on each task, on a scale of its own; minus infinity where it diverges."""
    sets, tasks, _, columns = points.shape
    frequency = _frequencies(random, sets, columns)
    phase = points @ frequency + 2 * math.pi * torch.rand(sets, 1, 1, FEATURES, generator=random)
    task_phase = 0.7 * descriptors @ torch.randn(sets, descriptors.shape[-1], FEATURES, generator=random)
    wave, near_wave = phase.cos(), (phase + task_phase[:, :, None]).cos()
    relevance = torch.exp(0.8 * torch.randn(sets, 1, 1, columns, generator=random))
    peak = 0.7 * torch.randn(sets, 1, 1, columns, generator=random)
    own_peak = peak + 0.25 * torch.randn(sets, tasks, 1, columns, generator=random)
    bowl = -(((points - own_peak) ** 2) * relevance).mean(-1)
    shares = torch.exp(torch.randn(4, sets, 1, 1, generator=random))
    shared = shares[0] * _weighed(random, wave, tasks=1)
    near = shares[1] * _weighed(random, near_wave, tasks=1)
    own = shares[2] * 0.5 * _weighed(random, wave, tasks=tasks)
    value = shared + near + own + 1.5 * shares[3] * bowl
    alien = 2.0 * _weighed(random, wave, tasks=tasks)
    chance = torch.rand(sets, tasks, 1, generator=random)
    chance[:, -1] = 1.0
    value = torch.where(chance < MISLEADING / 2, alien, torch.where(chance < MISLEADING, -value, value))
    cliff = (points * torch.randn(sets, 1, 1, columns, generator=random)).sum(-1) / math.sqrt(columns)
    height = 0.3 + torch.rand(sets, 1, 1, generator=random) + (torch.rand(sets, 1, 1, generator=random) > DIVERGING) * 9.0
    return torch.where(cliff > height, torch.full_like(value, -math.inf), value)


def _frequencies(random: torch.Generator, sets: int, columns: int) -> Tensor:
    """Of a Matérn-5/2 kernel: Student's t with 5 degrees of freedom, times one over each column's length scale."""
    normal = torch.randn(sets, 1, columns, FEATURES, generator=random)
    spread = (torch.randn(sets, 1, 1, FEATURES, 5, generator=random) ** 2).mean(-1).sqrt()
    weight = torch.exp(0.9 * torch.randn(sets, 1, columns, 1, generator=random)) * 2.0 / math.sqrt(columns)
    return weight * normal / spread


def _weighed(random: torch.Generator, wave: Tensor, tasks: int) -> Tensor:
    weight = torch.randn(wave.shape[0], tasks, FEATURES, generator=random) * math.sqrt(2 / FEATURES)
    return torch.einsum("btcr,btr->btc", wave, weight.expand(-1, wave.shape[1], -1))


def _in_units(random: torch.Generator, value: Tensor) -> Tensor:
    """0 is the median of the task and 1 near its best, both a little off; skewed, since losses have long tails upwards."""
    finite = value.masked_fill(value.isinf(), -1e4)
    middle = finite.median(dim=-1, keepdim=True).values
    reach = (finite.amax(-1, keepdim=True) - middle).clamp_min(1e-3)
    z = (finite - middle) / reach
    bend = torch.exp(0.5 * torch.randn(value.shape[0], 1, 1, generator=random))
    z = torch.where(z > 0, z.clamp_min(1e-6) ** bend, z / bend)
    shape = (*value.shape[:2], 1)
    z = z * torch.exp(0.2 * torch.randn(shape, generator=random)) + 0.1 * torch.randn(shape, generator=random)
    return torch.where(z < 0, torch.tanh(z.clamp_max(0)), z.clamp_max(1.5))


def noise(random: torch.Generator, z: Tensor) -> Tensor:
    """Variances as curves leave them: next to nothing for trials that ended, up to that of any result for those just begun."""
    ended = torch.rand(z.shape, generator=random) < torch.rand(*z.shape[:2], 1, generator=random)
    partial = torch.exp(torch.empty(z.shape).uniform_(math.log(0.002), math.log(0.4), generator=random))
    return torch.where(ended, torch.full_like(z, network.LEAST_VARIANCE), partial)


def _names(random: torch.Generator, sets: int, count: int) -> Tensor:
    return torch.randn(sets, count, network.NAME_WIDTH, generator=random) / math.sqrt(network.NAME_WIDTH)


def _int(random: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=random))
