"""Adam (Kingma and Ba, 2015), with the weight penalty inside the gradient."""

from __future__ import annotations

from collections.abc import Mapping

from torch.optim import Adam

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, L2_PENALTY, decay_groups

SPACE = Space.of(lr=Float(1e-4, 3e-2, log=True, initial=3e-3), beta1=BETA1, beta2=BETA2, weight_decay=L2_PENALTY)


def build(config: Mapping[str, Value], model: TextModel) -> Adam:
    groups = decay_groups(model, float(config["weight_decay"]))
    return Adam(groups, lr=float(config["lr"]), betas=(float(config["beta1"]), float(config["beta2"])), fused=True)
