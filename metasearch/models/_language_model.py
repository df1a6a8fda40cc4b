"""What every base model has in common: an embedding, a body that carries state, and a head.

Shapes: B rows, T tokens per row, V vocabulary, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from metasearch.core.errors import UserError
from metasearch.core.space import Boolean, Float
from metasearch.models._text_model import TextModel

State = tuple[Tensor, ...]
"""What a model remembers of the tokens before this call; dimension 1 of each tensor is the row. Empty: it remembers nothing."""

TIED = Boolean(initial=True)
"""``tied``: the head uses the embedding's matrix (Press and Wolf, 2017)."""

DROPOUT = Float(0.0, 0.5, initial=0.1)
EMBEDDING_DROPOUT = Float(0.0, 0.5, initial=0.0)


class Body(nn.Module, ABC):
    """The part of a model that differs between families."""

    @abstractmethod
    def forward(self, hidden_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden vectors for the head, each from its own and earlier tokens only, and the state after the last token."""

    def initial_state(self, batch: int) -> State:
        """The state before the first token of ``batch`` rows."""
        return ()


class LanguageModel(TextModel):
    """Predicts each next token from the tokens before it.

    Raises UserError if the vocabulary is empty.
    """

    body: Body

    def __init__(self, body: Body, vocab_size: int, width: int, *, tied: bool, embedding_dropout: float) -> None:
        super().__init__()
        if vocab_size < 1:
            raise UserError(f"A language model needs a vocabulary of at least 1 token, found {vocab_size}. Is the corpus empty?")
        self.embedding = nn.Embedding(vocab_size, width)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.body = body
        self.head = nn.Linear(width, vocab_size)
        # Keeps the logits of a tied head near unit variance, so that an untrained model is close to a uniform guess.
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        nn.init.zeros_(self.head.bias)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, T, V) of the token after each position, and the state to carry to the next call.

        Gradients flow into the returned state: detach it to truncate backpropagation through time.
        """
        embedded_BTW = self.embedding_dropout(self.embedding(tokens_BT))
        hidden_BTW, state = self.body(embedded_BTW, state)
        return self.head(hidden_BTW), state

    def initial_state(self, batch: int) -> State:
        """The state before the first token of ``batch`` rows, on the model's device."""
        return self.body.initial_state(batch)
