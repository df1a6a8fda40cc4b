"""What a classifier or a translator says of texts, one at a time.

Shapes: T tokens of a text, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from metasearch.corpora.tokenizers import Tokenizer


@torch.no_grad()
def labels_of(model: Any, tokenizer: Tokenizer, texts: Sequence[str], about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The likeliest label of each text, and the probability of every class."""
    for text in texts:
        share_C = model(*_read(tokenizer, text, about))[0].softmax(-1).tolist()
        probability = dict(zip(about["classes"], share_C, strict=True))
        yield {"label": max(probability, key=lambda label: probability[label]), "probability": probability}


@torch.no_grad()
def translations_of(model: Any, tokenizer: Tokenizer, texts: Sequence[str], about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for text in texts:
        ids = model.translate(
            model.encode(*_read(tokenizer, text, about)), about["vocab_size"] - 1, int(about["config"]["context"])
        )[0]
        yield {"translation": tokenizer.decode(np.array([i for i in ids if i < tokenizer.vocab_size], dtype=np.int64))}


def _read(tokenizer: Tokenizer, text: str, about: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (1, T) and their number (1,)."""
    ids_T = tokenizer.encode(text)[: int(about["config"]["context"])].astype(np.int64)
    return torch.from_numpy(ids_T)[None], torch.tensor([len(ids_T)])
