"""What the recurrent models share: a fused kernel of nn.LSTM or nn.GRU and dropout around it.

Shapes: B rows, T tokens per row, W width, L layers.
"""

from __future__ import annotations

from torch import Tensor, nn

from metasearch.core.space import Int, Space
from metasearch.models._language_model import DROPOUT, EMBEDDING_DROPOUT, TIED, Body, State

SPACE = Space.of(
    width=Int(32, 512, log=True, initial=128),
    depth=Int(1, 3, initial=1),
    dropout=DROPOUT,
    embedding_dropout=EMBEDDING_DROPOUT,
    tied=TIED,
)


class Recurrent(Body):
    """A stack of recurrent layers with dropout between them and after the last (Zaremba et al., 2014)."""

    def __init__(self, kernel: type[nn.LSTM] | type[nn.GRU], width: int, depth: int, dropout: float) -> None:
        super().__init__()
        # A single layer has nothing to drop out between, and torch warns if told to.
        self.kernel = kernel(width, width, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        if isinstance(self.kernel, nn.LSTM):
            hidden_BTW, (output_LBW, cell_LBW) = self.kernel(hidden_BTW, state)
            return self.dropout(hidden_BTW), (output_LBW, cell_LBW)
        hidden_BTW, output_LBW = self.kernel(hidden_BTW, *state)
        return self.dropout(hidden_BTW), (output_LBW,)

    def initial_state(self, batch: int) -> State:
        tensors = 2 if isinstance(self.kernel, nn.LSTM) else 1
        shape_LBW = (self.kernel.num_layers, batch, self.kernel.hidden_size)
        return tuple(next(self.parameters()).new_zeros(shape_LBW) for _ in range(tensors))
