"""Stochastic gradient descent with momentum (Polyak, 1964; Nesterov's form by Sutskever et al., 2013)."""

from __future__ import annotations

from collections.abc import Mapping

from torch.optim import SGD

from metasearch.core.config import Value
from metasearch.core.space import Boolean, Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import L2_PENALTY, MOMENTUM, decay_groups

SPACE = Space.of(
    lr=Float(1e-2, 10.0, log=True, initial=0.5), momentum=MOMENTUM, nesterov=Boolean(initial=True), weight_decay=L2_PENALTY
)


def build(config: Mapping[str, Value], model: TextModel) -> SGD:
    momentum = float(config["momentum"])
    return SGD(
        decay_groups(model, float(config["weight_decay"])),
        lr=float(config["lr"]),
        momentum=momentum,
        # Without momentum both forms are the same, and torch refuses Nesterov's.
        nesterov=bool(config["nesterov"]) and momentum > 0,
        fused=True,
    )
