"""Prodigy (Mishchenko and Defazio, 2024), from its authors' package: Adam that estimates its own step size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from prodigyopt import Prodigy
from torch.optim import Optimizer

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models._text_model import TextModel
from metasearch.training.optimizers._shared import BETA1, BETA2, WEIGHT_DECAY, decay_groups

SPACE = Space.of(lr=Float(0.1, 10.0, log=True, initial=1.0), beta1=BETA1, beta2=BETA2, weight_decay=WEIGHT_DECAY)
"""``lr`` multiplies the estimated step size; the authors recommend 1."""


def build(config: Mapping[str, Value], model: TextModel) -> Optimizer:
    optimizer = Prodigy(
        decay_groups(model, float(config["weight_decay"])),
        lr=float(config["lr"]),
        betas=(float(config["beta1"]), float(config["beta2"])),
        use_bias_correction=True,
        # Keeps a warm-up's small factors out of the estimate of the step size.
        safeguard_warmup=True,
    )
    return cast(Optimizer, optimizer)
