"""Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

from __future__ import annotations

from collections.abc import Mapping

from torch.optim import AdamW

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(lr=Float(1e-4, 3e-2, log=True, initial=3e-3), beta1=BETA1, beta2=BETA2, weight_decay=WEIGHT_DECAY)


def build(config: Mapping[str, Value], model: TextModel) -> AdamW:
    groups = decay_groups(model, float(config["weight_decay"]))
    return AdamW(groups, lr=float(config["lr"]), betas=(float(config["beta1"]), float(config["beta2"])), fused=True)
