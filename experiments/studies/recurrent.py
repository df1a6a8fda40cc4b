"""The challenger of the meta-optimizer: a small recurrent policy that scales the learning rate at every report.

A gated recurrent unit (Cho et al., 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine
translation") hears the trace of a trial in numbers without scale, and where its learning rates lie relative to the usual one, by
the same knowledge as ``meta``. Its parameters were found by evolution strategies on small language models
(``experiments/studies/recurrent_policy.py`` does that and compares the two); it learns nothing from an archive.

Shapes: F features, H hidden units, P parameters.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.history import History, Trial
from metasearch.meta import experience
from metasearch.meta._actions import FARTHEST_LEAP, LOWER, RAISE
from metasearch.meta._situation import Plan, Situation, controls, situation
from metasearch.meta.experience import Experience

WEIGHTS = Path(__file__).resolve().parents[2] / "build" / "recurrent.safetensors"

HEARD = ("progress", "length", "slope", "level", "roughness", "excess", "flatness", "gradients")
F, H = len(HEARD), 6
SHAPES = {"gates_inputs": (3 * H, F), "gates_hidden": (3 * H, H), "gates_bias": (3 * H,), "out": (H + F,), "out_bias": ()}
P = sum(math.prod(shape) for shape in SHAPES.values())

MOST, LEAST = math.log(10.0), 0.1
"""Bounds of the logarithm of a factor; what is smaller than ``LEAST`` is left undone."""

LATEST = 0.95
KNOWING_NOTHING = 8.0
"""Bits per byte of a model that knows nothing."""


@dataclass(frozen=True, eq=False)
class Policy:
    """Decides on directives: a function of the history and of ``point_P``."""

    point_P: np.ndarray
    plan: Plan
    known: Experience = field(default_factory=experience.shipped)

    def advise(self, history: History, trial: Trial) -> Directive | None:
        now = situation(history, trial, self.plan)
        if isinstance(now, str) or now.progress > LATEST:
            return None
        control = now.control
        change = answer(self.point_P, heard(now, history, self.known))
        bound = math.log(FARTHEST_LEAP)
        change = float(np.clip(math.log(control.lr_scale) + change, -bound, bound)) - math.log(control.lr_scale)
        if abs(change) < LEAST:
            return None
        return Directive(lr_scale=math.exp(change), intent=LOWER if change < 0 else RAISE)


def heard(now: Situation, history: History, known: Experience) -> np.ndarray:
    """(N, F): what the policy hears at each report with a finite loss, the newest last; every number about -2 to 2."""
    trial, kind, rows = now.trial, now.kind, []
    usual = known.best_of(kind) if kind.name in known.usual else math.log(now.reference)
    points = [point for point, loss in enumerate(trial.losses) if math.isfinite(loss)]
    after = controls(history, trial, now.schedule)
    for number, point in enumerate(points):
        progress, loss = trial.steps[point] / now.horizon, max(trial.losses[point], 1e-9)
        before = [max(trial.losses[p], 1e-9) for p in points[max(number - 2, 0) : number]]
        # What it will be told after this report is not known yet; of earlier reports it is, but the policy heard them without.
        ahead = np.log([now.factor_at(after[point], at) * now.base for at in np.linspace(progress, 1.0, 8)])
        times = trial.steps[point] / trial.steps[points[number - 1]] if number else 2.0
        slope = (math.log((before[-1] if before else KNOWING_NOTHING) / loss)) / math.log(times)
        bend = abs(before[0] - 2.0 * before[1] + loss) / loss if len(before) == 2 else 0.0
        norms = [norm for norm in trial.grad_norms[: point + 1] if math.isfinite(norm) and norm > 0]
        rise = math.log(norms[-1] / float(np.median(norms))) if norms else 0.0
        rows.append(
            [
                2.0 * progress - 1.0,
                kind.log_length / 2.0,
                4.0 * float(np.clip(slope, -0.5, 0.5)),
                math.log(loss) - 1.0,
                10.0 * min(bend, 0.2),
                float(np.clip(ahead.max() - usual, -6.0, 6.0)) / 2.0,
                float(np.clip(ahead.mean() - ahead.max(), -3.0, 0.0)) + 0.5,
                float(np.clip(rise, -2.0, 2.0)),
            ]
        )
    return np.array(rows)


def answer(point_P: np.ndarray, heard_NF: np.ndarray) -> float:
    """The logarithm of the factor on the learning rate after the last row."""
    arrays, begin = {}, 0
    for name, shape in SHAPES.items():
        size = math.prod(shape)
        arrays[name], begin = point_P[begin : begin + size].reshape(shape), begin + size
    hidden_H = np.zeros(H)
    for row_F in heard_NF:
        inputs, carried = arrays["gates_inputs"] @ row_F + arrays["gates_bias"], arrays["gates_hidden"] @ hidden_H
        reset_H, update_H = np.split(1.0 / (1.0 + np.exp(-(inputs + carried)[: 2 * H])), 2)
        fresh_H = np.tanh(inputs[2 * H :] + reset_H * carried[2 * H :])
        hidden_H = update_H * hidden_H + (1.0 - update_H) * fresh_H
    newest = np.concatenate([hidden_H, heard_NF[-1]])
    return MOST * math.tanh(float(arrays["out"] @ newest + arrays["out_bias"]))


def first_point(rng: np.random.Generator) -> np.ndarray:
    """Parameters of a policy that hears everything and changes nothing."""
    spread = {"gates_inputs": F**-0.5, "gates_hidden": H**-0.5}
    return np.concatenate([(spread.get(name, 0.0) * rng.standard_normal(shape)).ravel() for name, shape in SHAPES.items()])


def trained(path: Path | None = None) -> np.ndarray:
    """The parameters in a file, unless told otherwise the one that ``METASEARCH_RECURRENT`` names. Raises UserError if there are
    none, or others.
    """
    path = path or Path(os.environ.get("METASEARCH_RECURRENT") or WEIGHTS)
    if not path.exists():
        found = f"The recurrent policy has no parameters: {path} does not exist. Make them with"
        raise UserError(f"{found} experiments/studies/recurrent_policy.py, or name a file in METASEARCH_RECURRENT.")
    point_P = load_file(path).get("point")
    if point_P is None or point_P.shape != (P,):
        raise UserError(f"{path} is not of this policy: expected {P} numbers named point, found {np.shape(point_P)}.")
    return np.asarray(point_P)
