"""Each component of the gradient is held within ±``clip_value`` (Mikolov, 2012)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.clipping._shared import Clipping, gradients

SPACE = Space.of(clip_value=Float(1e-4, 1.0, log=True, initial=0.05))


def build(config: Mapping[str, Value], model: TextModel) -> Clipping:
    return ClipValue(list(model.parameters()), float(config["clip_value"]))


@dataclass(frozen=True)
class ClipValue:
    parameters: list[nn.Parameter]
    clip_value: float

    def __call__(self, norms_N: Tensor, scale: float) -> Tensor:
        bound, tensors = self.clip_value * scale, gradients(self.parameters)
        largest = torch.stack(torch._foreach_norm(tensors, torch.inf)).max()
        torch._foreach_clamp_min_(tensors, -bound)
        torch._foreach_clamp_max_(tensors, bound)
        return largest > bound
