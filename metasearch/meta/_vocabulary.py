"""A byte model's embedding and head for any tokenizer: a token's vector is made of those of its bytes.

Shapes: V tokens, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metasearch.meta._hypernetwork import Weights
from metasearch.meta._text_statistics import log_shares


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """``spellings``: the UTF-8 bytes of each token, empty for one that stands for nothing in particular. ``count_V``: how often
    each occurs in the training text.
    """

    spellings: Sequence[bytes]
    count_V: np.ndarray

    @property
    def log_unigram(self) -> np.ndarray:
        """Log probabilities of the tokens."""
        return log_shares(self.count_V)


def composed(weights: Mapping[str, Tensor], bias: tuple[Tensor, float], vocabulary: Vocabulary) -> Weights:
    """The weights with rows for tokens in place of bytes: sums over a token's bytes, divided by the root of their number, so that
    the vectors of long tokens are as long as those of single bytes. ``bias``: the byte model's own output bias and the factor of
    log unigram probabilities. A vocabulary of the 256 bytes in order changes nothing.
    """
    made_V256 = torch.zeros(len(vocabulary.spellings), 256)
    for token, spelling in enumerate(vocabulary.spellings):
        for byte in spelling:
            made_V256[token, byte] += len(spelling) ** -0.5
    tables = {name: made_V256 @ weights[name] for name in ("embedding.weight", "head.weight") if name in weights}
    own_256, factor = bias
    share_V = torch.tensor([max(len(spelling), 1) ** -0.5 for spelling in vocabulary.spellings])
    mean_V = (made_V256 @ own_256) * share_V
    return {**weights, **tables, "head.bias": mean_V + factor * torch.from_numpy(vocabulary.log_unigram)}
