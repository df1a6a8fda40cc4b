"""Adam with Nesterov momentum (Dozat, 2016) and decoupled weight decay."""

from __future__ import annotations

from collections.abc import Mapping

from torch.optim import NAdam

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(lr=Float(1e-4, 3e-2, log=True, initial=3e-3), beta1=BETA1, beta2=BETA2, weight_decay=WEIGHT_DECAY)


def build(config: Mapping[str, Value], model: TextModel) -> NAdam:
    return NAdam(
        decay_groups(model, float(config["weight_decay"])),
        lr=float(config["lr"]),
        betas=(float(config["beta1"]), float(config["beta2"])),
        decoupled_weight_decay=True,
        foreach=True,
    )
