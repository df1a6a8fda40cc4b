"""Causal Transformer: pre-norm (Xiong et al., 2020), RMSNorm (Zhang and Sennrich, 2019), rotary positions (Su et al., 2021).

Shapes: B rows, T tokens per row, W width, H heads, D width of a head, F hidden width of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from metasearch.core.config import Value
from metasearch.core.space import Choice, Int, Space
from metasearch.models._language_model import DROPOUT, EMBEDDING_DROPOUT, TIED, Body, LanguageModel, State

SPACE = Space.of(
    width=Int(32, 512, log=True, initial=128),
    depth=Int(1, 6, initial=2),
    heads=Choice((1, 2, 4, 8), initial=4),
    feed_forward=Choice(("swiglu", "gelu")),
    dropout=DROPOUT,
    embedding_dropout=EMBEDDING_DROPOUT,
    tied=TIED,
)

ROTARY_BASE = 10_000.0


def build(config: Mapping[str, Value], vocab_size: int) -> LanguageModel:
    """Any width goes with any number of heads: it is rounded up to the next multiple of 2 · heads (rotary needs even heads)."""
    heads = int(config["heads"])
    width = round_up(int(config["width"]), 2 * heads)
    feed_forward = SwiGLU if config["feed_forward"] == "swiglu" else GELU
    body = Transformer(width, int(config["depth"]), heads, feed_forward, float(config["dropout"]))
    embedding_dropout = float(config["embedding_dropout"])
    return LanguageModel(body, vocab_size, width, tied=bool(config["tied"]), embedding_dropout=embedding_dropout)


def round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class GELU(nn.Module):
    """Feed-forward layer of hidden width 4 W (Hendrycks and Gimpel, 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 4 * width, bias=False)
        self.output = nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden_BTW: Tensor) -> Tensor:
        output_BTW: Tensor = self.output(functional.gelu(self.inner(hidden_BTW)))
        return output_BTW


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer, 2020) of hidden width ⅔ · 4 W, so that it has the parameters of GELU's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden_width = round_up(8 * width // 3, 8)
        self.inner = nn.Linear(width, 2 * hidden_width, bias=False)
        self.output = nn.Linear(hidden_width, width, bias=False)

    def forward(self, hidden_BTW: Tensor) -> Tensor:
        gate_BTF, value_BTF = self.inner(hidden_BTW).chunk(2, dim=-1)
        output_BTW: Tensor = self.output(functional.silu(gate_BTF) * value_BTF)
        return output_BTW


class Attention(nn.Module):
    """Causal multi-head attention within one call; queries and keys are turned by their position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inner = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, hidden_BTW: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
        query_BHTD, key_BHTD, value_BHTD = (
            part_BTW.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part_BTW in self.inner(hidden_BTW).chunk(3, dim=-1)
        )
        query_BHTD, key_BHTD = rotate(query_BHTD, turn_TD), rotate(key_BHTD, turn_TD)
        mixed_BHTD = functional.scaled_dot_product_attention(query_BHTD, key_BHTD, value_BHTD, is_causal=True)
        output_BTW: Tensor = self.output(mixed_BHTD.transpose(1, 2).flatten(2))
        return output_BTW


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to the residual stream through dropout."""

    def __init__(self, width: int, heads: int, feed_forward: nn.Module, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.RMSNorm(width)
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTW: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
        hidden_BTW = hidden_BTW + self.dropout(self.attention(self.attention_norm(hidden_BTW), turn_TD))
        update_BTW: Tensor = self.dropout(self.feed_forward(self.feed_forward_norm(hidden_BTW)))
        return hidden_BTW + update_BTW


class Transformer(Body):
    """A stack of blocks and a last norm. Its state is empty: nothing is remembered from one call to the next."""

    def __init__(self, width: int, depth: int, heads: int, feed_forward: type[GELU] | type[SwiGLU], dropout: float) -> None:
        super().__init__()
        self.head_width = width // heads
        self.blocks = nn.ModuleList(Block(width, heads, feed_forward(width), dropout) for _ in range(depth))
        self.norm = nn.RMSNorm(width)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                # 2 · depth layers add to the residual stream; this keeps its variance from growing with depth (GPT-2).
                if name.endswith("output.weight"):
                    weight.mul_((2 * depth) ** -0.5)

    def forward(self, hidden_BTW: Tensor, state: State) -> tuple[Tensor, State]:
        turn_TD = rotary_angles(hidden_BTW.shape[1], self.head_width, hidden_BTW.device)
        for block in self.blocks:
            hidden_BTW = block(hidden_BTW, turn_TD)
        return self.norm(hidden_BTW), state


def rotary_angles(length: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, D) of position · base^(-2i/D), both halves of D alike (Su et al., 2021, equation 34)."""
    frequency_D = ROTARY_BASE ** (-torch.arange(0, head_width, 2, device=device) / head_width).repeat(2)
    angle_TD = torch.outer(torch.arange(length, device=device), frequency_D)
    return angle_TD.cos(), angle_TD.sin()


def rotate(vectors_BHTD: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the pair (i, i + D/2) of each vector by its position's angle; the paper pairs neighbours, which only relabels them."""
    cosine_TD, sine_TD = turn_TD
    first, second = vectors_BHTD.chunk(2, dim=-1)
    return vectors_BHTD * cosine_TD + torch.cat((-second, first), dim=-1) * sine_TD
