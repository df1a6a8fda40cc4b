"""Gated recurrent unit (Cho et al., 2014)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from metasearch.core.config import Value
from metasearch.models import _recurrent
from metasearch.models._language_model import LanguageModel

SPACE = _recurrent.SPACE


def build(config: Mapping[str, Value], vocab_size: int) -> LanguageModel:
    width = int(config["width"])
    body = _recurrent.Recurrent(nn.GRU, width, int(config["depth"]), float(config["dropout"]))
    embedding_dropout = float(config["embedding_dropout"])
    return LanguageModel(body, vocab_size, width, tied=bool(config["tied"]), embedding_dropout=embedding_dropout)
