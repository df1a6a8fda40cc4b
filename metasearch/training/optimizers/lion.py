"""Lion (Chen et al., 2023, algorithm 2): the sign of an interpolated momentum, with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(lr=Float(1e-5, 1e-2, log=True, initial=5e-4), beta1=BETA1, beta2=BETA2, weight_decay=WEIGHT_DECAY)


def build(config: Mapping[str, Value], model: TextModel) -> Lion:
    groups = decay_groups(model, float(config["weight_decay"]))
    return Lion(groups, lr=float(config["lr"]), betas=(float(config["beta1"]), float(config["beta2"])))


class Lion(Optimizer):
    """``betas``: of the interpolation whose sign is the step, and of the momentum that is kept."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            momenta = [self._momentum(p) for p in weights]
            beta1, beta2 = group["betas"]
            directions = torch._foreach_lerp(gradients, momenta, beta1)
            torch._foreach_sign_(directions)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, directions, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - beta2)

    def _momentum(self, weight: torch.Tensor) -> torch.Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: torch.Tensor = state["momentum"]
        return momentum
