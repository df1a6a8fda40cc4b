"""AdamW whose learning rate follows its own gradient (Baydin, Cornish, Martinez Rubio, Schmidt and Wood, 2018).

Their multiplicative rule: the learning rate grows while a new gradient points where the last step went, and shrinks while it points
back, by ``hyper_rate`` times the cosine between the two. It multiplies what the schedule says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import AdamW

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(
    lr=Float(1e-4, 3e-2, log=True, initial=3e-3),
    hyper_rate=Float(1e-4, 1e-1, log=True, initial=1e-2),
    beta1=BETA1,
    beta2=BETA2,
    weight_decay=WEIGHT_DECAY,
)


def build(config: Mapping[str, Value], model: TextModel) -> HypergradientAdamW:
    groups = decay_groups(model, float(config["weight_decay"]))
    betas = (float(config["beta1"]), float(config["beta2"]))
    return HypergradientAdamW(groups, float(config["lr"]), betas, float(config["hyper_rate"]))


class HypergradientAdamW(AdamW):
    """``pace``, kept in every group, is the factor on the learning rate that the hypergradient has made so far."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float], hyper_rate: float) -> None:
        super().__init__([{**group, "pace": 1.0} for group in groups], lr=lr, betas=betas)
        self.hyper_rate = hyper_rate

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        pace = self.param_groups[0]["pace"] * (1.0 + self.hyper_rate * self._agreement())
        planned = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["pace"] = pace
            group["lr"] *= pace
        super().step()
        for group, lr in zip(self.param_groups, planned, strict=True):
            group["lr"] = lr

    def _agreement(self) -> float:
        """Cosine between the new gradient and the direction of the last step; 0 before the first. Adam's own state has the latter.

        Read back from the device, so that steps do not queue up on a GPU: the learning rate is a number there.
        """
        gradients, directions = [], []
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state.get(weight)
                if weight.grad is not None and state:
                    gradients.append(weight.grad.flatten())
                    directions.append((state["exp_avg"] / (state["exp_avg_sq"].sqrt() + group["eps"])).flatten())
        if not gradients:
            return 0.0
        return float(torch.cosine_similarity(torch.cat(gradients), torch.cat(directions), dim=0))
