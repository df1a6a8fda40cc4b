"""Muon (Jordan et al., 2024): momentum of the hidden matrices, orthogonalised; AdamW for everything else.

Shapes: M rows and N columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import MOMENTUM, WEIGHT_DECAY

SPACE = Space.of(
    lr=Float(1e-3, 1e-1, log=True, initial=2e-2),
    adam_lr_ratio=Float(0.01, 1.0, log=True, initial=0.2),
    momentum=MOMENTUM,
    weight_decay=WEIGHT_DECAY,
)
"""``adam_lr_ratio``: learning rate of the AdamW part, as a share of ``lr``."""

ADAM_BETAS = (0.9, 0.95)
ADAM_EPSILON = 1e-8

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration; they trade exactness (singular values end in about [0.7, 1.2]) for speed."""


def build(config: Mapping[str, Value], model: TextModel) -> Muon:
    lr, momentum, decay = float(config["lr"]), float(config["momentum"]), float(config["weight_decay"])
    hidden = [p for p in model.body.parameters() if p.ndim == 2]
    hidden_ids = {id(p) for p in hidden}
    others = [p for p in model.parameters() if id(p) not in hidden_ids]
    return Muon(
        {"params": hidden, "lr": lr, "momentum": momentum, "weight_decay": decay},
        {"params": others, "lr": lr * float(config["adam_lr_ratio"])},
    )


class Muon(Optimizer):
    """``hidden``: a group of matrices with lr, momentum and weight decay. ``others``: a group of anything with lr, not decayed."""

    def __init__(self, hidden: dict[str, Any], others: dict[str, Any]) -> None:
        super().__init__([hidden, {**others, "weight_decay": 0.0}], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        hidden, others = self.param_groups
        for weight_MN in hidden["params"]:
            if weight_MN.grad is not None:
                self._orthogonal_step(weight_MN, hidden["lr"], hidden["momentum"], hidden["weight_decay"])
        self._adam_step([p for p in others["params"] if p.grad is not None], others["lr"])

    def _orthogonal_step(self, weight_MN: Tensor, lr: float, momentum: float, weight_decay: float) -> None:
        """Nesterov momentum, orthogonalised and scaled so that wide and tall matrices move alike (Jordan et al., 2024)."""
        state, gradient_MN = self.state[weight_MN], weight_MN.grad
        assert gradient_MN is not None
        if not state:
            state["momentum"] = torch.zeros_like(weight_MN)
        state["momentum"].lerp_(gradient_MN, 1 - momentum)
        update_MN = orthogonalise(gradient_MN.lerp(state["momentum"], momentum))
        rows, columns = weight_MN.shape
        weight_MN.mul_(1 - lr * weight_decay).add_(update_MN, alpha=-lr * max(1.0, rows / columns) ** 0.5)

    def _adam_step(self, weights: list[Tensor], lr: float) -> None:
        """Kingma and Ba (2015), algorithm 1."""
        beta1, beta2 = ADAM_BETAS
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
            self.state[weight]["step"] += 1
        if not weights:
            return
        states, gradients = [self.state[p] for p in weights], [p.grad for p in weights if p.grad is not None]
        means, squares, step = [s["mean"] for s in states], [s["square"] for s in states], states[0]["step"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        scales = torch._foreach_sqrt(torch._foreach_div(squares, 1 - beta2**step))
        torch._foreach_add_(scales, ADAM_EPSILON)
        torch._foreach_addcdiv_(weights, means, scales, value=-lr / (1 - beta1**step))


def orthogonalise(matrix_MN: Tensor, iterations: int = 5) -> Tensor:
    """Nearly U Vᵀ of the matrix's singular value decomposition U S Vᵀ, by Newton–Schulz iteration.

    On a GPU in bfloat16, which the iteration tolerates; on a CPU bfloat16 is slower than the matrix's own type.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix_MN.shape[0] > matrix_MN.shape[1]
    x = matrix_MN.bfloat16() if matrix_MN.is_cuda else matrix_MN
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrix_MN.dtype)
