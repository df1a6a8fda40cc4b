"""Weights of a narrow recurrent model as those of a wider one that predicts the same (Net2WiderNet; Chen et al., 2016).

Unit j of the wide model is unit j mod W of the narrow one: it receives the same and says the same, and what listens to the copies
of a unit splits its weight among them in random shares. Shares that differ give the copies different gradients, so that they part
from each other in training; the noise that the paper adds instead would change what the model predicts.

Shapes: W narrow width, U wide width, R rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metasearch.meta._hypernetwork import GATES, Weights


def widened(weights: Mapping[str, Tensor], cell: str, width: int, generator: torch.Generator) -> Weights:
    """The same model with ``width`` units. Embeddings are split, not the first layer's inputs, so that a tied head stays right."""
    narrow = weights["embedding.weight"].shape[1]
    copy_U = torch.arange(width) % narrow
    rows_U = torch.cat([copy_U + gate * narrow for gate in range(GATES[cell])])
    wide: Weights = {}
    for name, value in weights.items():
        if name == "head.bias":
            wide[name] = value
        elif name in ("embedding.weight", "head.weight"):
            wide[name] = _split(value, copy_U, generator)
        elif value.dim() == 1:
            wide[name] = value[rows_U]
        elif name.endswith("weight_ih_l0"):
            wide[name] = value[rows_U][:, copy_U]
        else:
            wide[name] = _split(value[rows_U], copy_U, generator)
    return wide


def _split(value_RW: Tensor, copy_U: Tensor, generator: torch.Generator) -> Tensor:
    """Every weight shared out among the copies of the unit that it listens to; shares are positive and sum to 1."""
    part_RU = torch.rand(value_RW.shape[0], len(copy_U), generator=generator) + 0.5
    whole_RW = torch.zeros_like(value_RW).index_add_(1, copy_U, part_RU)
    return value_RW[:, copy_U] * part_RU / whole_RW[:, copy_U]
