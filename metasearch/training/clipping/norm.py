"""The global norm is held at ``clip_norm`` (Pascanu et al., 2013)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.clipping._shared import Clipping, gradients, shrink_to

SPACE = Space.of(clip_norm=Float(0.05, 10.0, log=True, initial=1.0))


def build(config: Mapping[str, Value], model: TextModel) -> Clipping:
    return ClipNorm(list(model.parameters()), float(config["clip_norm"]))


@dataclass(frozen=True)
class ClipNorm:
    parameters: list[nn.Parameter]
    clip_norm: float

    def __call__(self, norms_N: Tensor, scale: float) -> Tensor:
        return shrink_to(self.clip_norm * scale, norms_N[-1], gradients(self.parameters))
