"""Schedule-free AdamW (Defazio et al., 2024), from its authors' package.

It trains at one point and is evaluated at another; the trainer switches between them with ``train()`` and ``eval()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from schedulefree import AdamWScheduleFree
from torch.optim import Optimizer

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(lr=Float(3e-4, 1e-1, log=True, initial=1e-2), beta1=BETA1, beta2=BETA2, weight_decay=WEIGHT_DECAY)


def build(config: Mapping[str, Value], model: TextModel) -> Optimizer:
    groups = decay_groups(model, float(config["weight_decay"]))
    betas = (float(config["beta1"]), float(config["beta2"]))
    return cast(Optimizer, AdamWScheduleFree(groups, lr=float(config["lr"]), betas=betas))
