"""AutoClip (Seetharaman et al., 2020): the threshold is a percentile of the gradient norms so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.clipping._shared import Clipping, gradients, shrink_to

SPACE = Space.of(clip_percentile=Float(1.0, 100.0, initial=25.0))


def build(config: Mapping[str, Value], model: TextModel) -> Clipping:
    return ClipPercentile(list(model.parameters()), float(config["clip_percentile"]))


@dataclass(frozen=True)
class ClipPercentile:
    parameters: list[nn.Parameter]
    clip_percentile: float

    def __call__(self, norms_N: Tensor, scale: float) -> Tensor:
        threshold = torch.quantile(norms_N, self.clip_percentile / 100) * scale
        return shrink_to(threshold, norms_N[-1], gradients(self.parameters))
