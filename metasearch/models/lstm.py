"""Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate by Gers et al., 2000)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from metasearch.core.config import Value
from metasearch.core.space import Float, Space
from metasearch.models import _recurrent
from metasearch.models._language_model import LanguageModel

SPACE = _recurrent.SPACE | Space.of(forget_bias=Float(0.0, 2.0, initial=1.0))


def build(config: Mapping[str, Value], vocab_size: int) -> LanguageModel:
    """``forget_bias``: the forget gate's bias before training (Jozefowicz et al., 2015, recommend 1)."""
    width, depth = int(config["width"]), int(config["depth"])
    body = _recurrent.Recurrent(nn.LSTM, width, depth, float(config["dropout"]))
    _set_forget_bias(body.kernel, depth, width, float(config["forget_bias"]))
    embedding_dropout = float(config["embedding_dropout"])
    return LanguageModel(body, vocab_size, width, tied=bool(config["tied"]), embedding_dropout=embedding_dropout)


@torch.no_grad()
def _set_forget_bias(kernel: nn.Module, depth: int, width: int, forget_bias: float) -> None:
    # torch adds two biases and stacks the gates as input, forget, cell, output.
    for layer in range(depth):
        kernel.get_parameter(f"bias_ih_l{layer}")[width : 2 * width].fill_(forget_bias)
        kernel.get_parameter(f"bias_hh_l{layer}")[width : 2 * width].zero_()
