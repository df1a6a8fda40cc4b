"""What optimizers and clipping may rely on in every model: an embedding, a body between, and a head."""

from __future__ import annotations

from torch import nn


class TextModel(nn.Module):
    """``embedding``: of tokens. ``head``: from hidden vectors to logits. ``body``: what lies between, and nothing of these two."""

    embedding: nn.Embedding
    body: nn.Module
    head: nn.Linear
