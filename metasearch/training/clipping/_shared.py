"""What gradient clipping is. The trainer measures the norm; a plug-in decides what to do about it.

Shapes: N steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

HISTORY = 1024
"""Steps whose gradient norms are remembered: a bound on cost (AutoClip as published remembers all)."""


class Clipping(Protocol):
    """Changes the gradients of the model it was built for, in place, and answers whether it did: a 0-d tensor of 0 or 1.

    ``norms_N``: global gradient norms before clipping of the latest steps, at most ``HISTORY``, this step's last.
    ``scale``: factor on the threshold, from a directive. Nothing is read back from the device, so that steps may queue up on a GPU.
    """

    def __call__(self, norms_N: Tensor, scale: float) -> Tensor: ...


def gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of all tensors taken as one vector, 0-d."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return norm


def shrink_to(threshold: Tensor | float, norm: Tensor, tensors: list[Tensor]) -> Tensor:
    """Scales the tensors so that their global norm is at most the threshold (Pascanu et al., 2013, algorithm 1)."""
    torch._foreach_mul_(tensors, torch.clamp(threshold / (norm + 1e-6), max=1.0))
    return norm > threshold
