"""One text for another: an encoder and a decoder with the same body, and attention from each word to the whole source.

Shapes: B pairs, S tokens of the source, T of the target, W width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metasearch.models._classifier import last_of
from metasearch.models._language_model import Body, LanguageModel, State
from metasearch.models._text_model import TextModel


@dataclass(frozen=True)
class Memory:
    """An encoded source: ``hidden_BSW``, where it is text and not padding (B, S), and its last hidden vector (B, W)."""

    hidden_BSW: Tensor
    inside_BS: Tensor
    last_BW: Tensor


class Translator(TextModel):
    """Luong, Pham and Manning (2015): the score of section 3.1 is "general"; what equation 5 makes of hidden vector and context is
    added to the hidden vector, so that the decoder is a language model from the start.

    The token ``first``, with which every target begins, carries what the encoder saw last, in place of its state, which a
    Transformer does not have. Source and target share one embedding.
    """

    body: nn.ModuleDict

    def __init__(self, encoder: LanguageModel, decoder: LanguageModel, first: int) -> None:
        super().__init__()
        self.first = first
        width = encoder.head.in_features
        self.embedding, self.embedding_dropout, self.head = encoder.embedding, encoder.embedding_dropout, encoder.head
        self.body = nn.ModuleDict(
            {
                "encoder": encoder.body,
                "decoder": decoder.body,
                "bridge": nn.Linear(width, width),
                "score": nn.Linear(width, width, bias=False),
                "mix": nn.Linear(2 * width, width, bias=False),
            }
        )

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> Memory:
        encoder = self._part("encoder")
        hidden_BSW, _ = encoder(self.embedding_dropout(self.embedding(source_BS)), encoder.initial_state(len(source_BS)))
        inside_BS = torch.arange(source_BS.shape[1], device=source_BS.device)[None] < lengths_B[:, None]
        return Memory(hidden_BSW, inside_BS, last_of(hidden_BSW, lengths_B))

    def forward(self, target_BT: Tensor, memory: Memory, state: State) -> tuple[Tensor, State]:
        """Logits (B, T, V) of the token after each one of the target, and the decoder's state."""
        begins_BT1 = (target_BT == self.first)[..., None]
        given_BTW = self.embedding_dropout(self.embedding(target_BT)) + begins_BT1 * self.body["bridge"](memory.last_BW)[:, None]
        hidden_BTW, state = self._part("decoder")(given_BTW, state)
        score_BTS = self.body["score"](hidden_BTW) @ memory.hidden_BSW.transpose(1, 2)
        share_BTS = score_BTS.masked_fill(~memory.inside_BS[:, None], -1e9).softmax(-1)
        attended_BTW = share_BTS @ memory.hidden_BSW
        mixed_BTW = torch.tanh(self.body["mix"](torch.cat([attended_BTW, hidden_BTW], -1)))
        logits_BTV: Tensor = self.head(hidden_BTW + mixed_BTW)
        return logits_BTV, state

    def initial_state(self, batch: int) -> State:
        return self._part("decoder").initial_state(batch)

    @torch.no_grad()
    def translate(self, memory: Memory, last: int, most: int) -> list[list[int]]:
        """The likeliest next token, at most ``most`` times, until ``last`` comes."""
        rows = len(memory.last_BW)
        told_BT = torch.full((rows, 1), self.first, device=memory.last_BW.device)
        state, done_B = self.initial_state(rows), torch.zeros(rows, dtype=torch.bool, device=told_BT.device)
        for _ in range(most):
            # A body that remembers is given the newest token alone, another one all of them.
            logits_BTV, state = self(told_BT[:, -1:] if state else told_BT, memory, state)
            next_B = logits_BTV[:, -1].argmax(-1)
            told_BT = torch.cat([told_BT, next_B[:, None]], 1)
            done_B |= next_B == last
            if bool(done_B.all()):
                break
        texts = told_BT[:, 1:].tolist()
        return [text[: text.index(last)] if last in text else text for text in texts]

    def _part(self, name: str) -> Body:
        part = self.body[name]
        assert isinstance(part, Body)
        return part
