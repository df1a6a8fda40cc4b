"""Adaptive gradient clipping (Brock et al., 2021, equation 3): a unit's gradient is held within a share of the unit's weights.

Shapes: U units (rows) of a parameter, one for vectors; the second dimension is kept at 1 so that it broadcasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.clipping._shared import Clipping

SPACE = Space.of(clip_ratio=Float(1e-3, 1.0, log=True, initial=0.05))

SMALLEST_WEIGHT_NORM = 1e-3
"""The paper's ε: keeps units that start at zero from never moving."""


def build(config: Mapping[str, Value], model: TextModel) -> Clipping:
    """The head is left alone, as in the paper, and with it an embedding that is tied to it."""
    head = {id(p) for p in model.head.parameters()}
    return ClipUnits([p for p in model.parameters() if id(p) not in head], float(config["clip_ratio"]))


@dataclass(frozen=True)
class ClipUnits:
    parameters: list[nn.Parameter]
    clip_ratio: float

    @torch.no_grad()
    def __call__(self, norms_N: Tensor, scale: float) -> Tensor:
        clipped = norms_N.new_zeros((), dtype=torch.bool)
        for weight in self.parameters:
            if weight.grad is not None:
                clipped |= clip_units(weight, weight.grad, self.clip_ratio * scale)
        return clipped


def clip_units(weight: Tensor, gradient: Tensor, clip_ratio: float) -> Tensor:
    """Clips ``gradient`` in place; true where any unit was clipped, 0-d."""
    most_U1 = unit_norms(weight).clamp(min=SMALLEST_WEIGHT_NORM) * clip_ratio
    norm_U1 = unit_norms(gradient)
    gradient.mul_(torch.clamp(most_U1 / norm_U1.clamp(min=1e-6), max=1.0))
    return (norm_U1 > most_U1).any()


def unit_norms(tensor: Tensor) -> Tensor:
    """Norms of the rows of a matrix, (U, 1), or of a whole vector, (1,)."""
    norm_U1: Tensor = torch.linalg.vector_norm(tensor, dim=-1, keepdim=True)
    return norm_U1
