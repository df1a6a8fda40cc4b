"""One label for a whole text: a body that reads it, and a head on what the body saw.

Shapes: B texts, T tokens of the longest, W width, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metasearch.models._language_model import Body, LanguageModel
from metasearch.models._text_model import TextModel


class Classifier(TextModel):
    """Reads with the embedding and body of a language model. The head gets the mean of the hidden vectors and the last one.

    Texts are padded behind. As bodies look back only, padding changes nothing that comes before it, and what follows is left out.
    """

    body: Body

    def __init__(self, reader: LanguageModel, classes: int) -> None:
        super().__init__()
        self.embedding, self.embedding_dropout, self.body = reader.embedding, reader.embedding_dropout, reader.body
        self.head = nn.Linear(2 * reader.head.in_features, classes)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Logits (B, C)."""
        embedded_BTW = self.embedding_dropout(self.embedding(tokens_BT))
        hidden_BTW, _ = self.body(embedded_BTW, self.body.initial_state(len(tokens_BT)))
        inside_BT1 = (torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None] < lengths_B[:, None])[..., None]
        mean_BW = (hidden_BTW * inside_BT1).sum(1) / lengths_B.clamp_min(1)[:, None]
        logits_BC: Tensor = self.head(torch.cat([mean_BW, last_of(hidden_BTW, lengths_B)], dim=-1))
        return logits_BC


def last_of(hidden_BTW: Tensor, lengths_B: Tensor) -> Tensor:
    """The hidden vector (B, W) of each text's last token; that of padding for an empty text."""
    return hidden_BTW[torch.arange(len(hidden_BTW), device=hidden_BTW.device), (lengths_B - 1).clamp_min(0)]
