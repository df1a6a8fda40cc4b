"""From a description of a task to the weights of a recurrent language model: a shared base and what the task changes in it.

One embedding and one head over the 256 bytes are shared by an LSTM base and a GRU base. A task changes every recurrent matrix W
to diag(1 + s) (W + U C V): FiLM on the rows (Perez et al., 2018) and a low-rank delta (Hu et al., 2021) whose core C, like s, is
linear in the task's embedding; embedding and head get a delta only. The zero embedding is the base itself, learned for tasks of
which nothing is known. The log unigram probabilities of the text, times a learned factor, are added to the output bias.

Structures are ordered slices (Cai et al., 2020; Yu and Huang, 2019): a smaller width is the first units of the base, a smaller
depth its first layers. Layers above the last stored one repeat its weights (Lan et al., 2020).

Shapes: B rows, T bytes per row, W width, R rows of a matrix, G gates, K rank, C numbers of the task's embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from metasearch.meta._text_sketch import SKETCH

GATES = {"lstm": 4, "gru": 3}
"""Blocks of rows in a recurrent layer's matrices, as torch stacks them."""

Weights = dict[str, Tensor]
"""By the names of a language model's parameters: what is made here fits ``metasearch.models``."""

SHIFT = 0.1
"""Scale of what FiLM may do at first, relative to its embedding."""


HIDDEN_SCALE = 4.0
"""The inputs are vectors of length about one with hundreds of numbers; unscaled, the hidden layer would be almost linear."""


@dataclass(frozen=True)
class Size:
    """How large the shared base and the network that adapts it are. ``layers``: stored recurrent layers."""

    width: int = 64
    layers: int = 2
    hidden: int = 48
    embedding: int = 24
    rank: int = 4


class Modulated(nn.Module):
    """One shared matrix (R, W) that a task's embedding changes. The task's part of bias is (R,) too."""

    def __init__(self, rows: int, columns: int, size: Size, std: float) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.randn(rows, columns) * std)
        self.left = nn.Parameter(torch.randn(rows, size.rank) * size.rank**-0.5)
        self.right = nn.Parameter(torch.randn(size.rank, columns) * columns**-0.5)
        self.core = nn.Linear(size.embedding, size.rank**2, bias=False)
        self.rank = size.rank
        nn.init.normal_(self.core.weight, std=SHIFT * std)

    def forward(self, task_C: Tensor) -> Tensor:
        core_KK = self.core(task_C).view(self.rank, self.rank)
        changed: Tensor = self.base + self.left @ core_KK @ self.right
        return changed


class Layer(nn.Module):
    """Both matrices and both biases of one recurrent layer, and FiLM on the rows of the matrices and of their common bias."""

    def __init__(self, gates: int, size: Size) -> None:
        super().__init__()
        self.gates, self.width, rows = gates, size.width, gates * size.width
        self.inward = Modulated(rows, size.width, size, size.width**-0.5)
        self.recurrent = Modulated(rows, size.width, size, size.width**-0.5)
        self.bias_2R = nn.Parameter(torch.zeros(2, rows))
        self.film = nn.Linear(size.embedding, 2 * rows, bias=False)
        nn.init.normal_(self.film.weight, std=SHIFT * size.embedding**-0.5)
        if gates == GATES["lstm"]:  # the forget gate is open at first (Jozefowicz et al., 2015)
            nn.init.ones_(self.bias_2R.data[0, size.width : 2 * size.width])

    def forward(self, task_C: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of the first ``width`` units, in the order in which torch keeps them: two matrices, two biases."""
        scale_R, shift_R = self.film(task_C).chunk(2)
        rows = [self._first((1 + scale_R)[:, None] * matrix(task_C), width)[:, :width] for matrix in (self.inward, self.recurrent)]
        bias, recurrent_bias = self._first((self.bias_2R[0] + shift_R), width), self._first(self.bias_2R[1], width)
        return rows[0], rows[1], bias, recurrent_bias

    def _first(self, rows_R: Tensor, width: int) -> Tensor:
        """Rows of the first ``width`` units of every gate."""
        return rows_R.view(self.gates, self.width, *rows_R.shape[1:])[:, :width].flatten(0, 1)


class Hypernetwork(nn.Module):
    """``names``: the numbers of a descriptor that are read, in order."""

    def __init__(self, size: Size, names: tuple[str, ...]) -> None:
        super().__init__()
        self.size, self.names = size, names
        self.register_buffer("center", torch.zeros(len(names)))
        self.register_buffer("spread", torch.ones(len(names)))
        self.hidden = nn.Linear(len(names) + SKETCH, size.hidden)
        self.embed = nn.Linear(size.hidden, size.embedding)
        self.input = Modulated(256, size.width, size, size.width**-0.5)
        self.output = Modulated(256, size.width, size, size.width**-0.5)
        self.output_bias = nn.Parameter(torch.zeros(256))
        self.unigram_factor = nn.Parameter(torch.tensor(0.5413))  # softplus of it is 1
        self.cells = nn.ModuleDict({cell: nn.ModuleList(Layer(g, size) for _ in range(size.layers)) for cell, g in GATES.items()})

    def embedding(self, described_D: Tensor, sketch_S: Tensor, noise: float = 0.0) -> Tensor:
        """The task's embedding (C,). ``noise``: standard deviation, and share of dropped inputs, while learning."""
        center, spread = self.get_buffer("center"), self.get_buffer("spread")
        numbers_D = torch.nan_to_num((described_D - center) / spread).clamp(-4, 4)
        inputs = torch.cat([numbers_D * max(len(numbers_D), 1) ** -0.5, sketch_S])  # three parts of about equal length
        if noise:
            inputs = functional.dropout(inputs + noise * len(inputs) ** -0.5 * torch.randn_like(inputs), noise)
        hidden = functional.gelu(HIDDEN_SCALE * self.hidden(inputs))
        return torch.tanh(functional.linear(hidden, self.embed.weight, self.embed.bias))

    def forward(self, task_C: Tensor, log_unigram_V: Tensor, cell: str, depth: int, width: int, tied: bool) -> Weights:
        """Weights of a byte model, differentiable. ``width`` is at most that of the base."""
        embedding_VW = self.input(task_C)[:, :width]
        weights = {"embedding.weight": embedding_VW}
        stored = list(cast(nn.ModuleList, self.cells[cell]))[:depth]
        layers = [layer(task_C, width) for layer in stored]
        for index in range(depth):
            matrices = layers[min(index, len(layers) - 1)]
            for name, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), matrices, strict=True):
                weights[f"body.kernel.{name}_l{index}"] = value
        weights["head.bias"] = self.output_bias + functional.softplus(self.unigram_factor) * log_unigram_V
        if not tied:
            weights["head.weight"] = self.output(task_C)[:, :width]
        return weights

    def nothing_known(self) -> Tensor:
        """The embedding that leaves the base as it is."""
        return torch.zeros(self.size.embedding)


def loss(weights: Mapping[str, Tensor], cell: str, text_BT: Tensor) -> Tensor:
    """Mean nats per byte of a byte model of these weights, from the first byte of each row on, without memory before it."""
    flat = [value for name, value in weights.items() if name.startswith("body.kernel.")]
    embedding_VW = weights["embedding.weight"]
    hidden_BTW = _run(functional.embedding(text_BT[:, :-1], embedding_VW), flat, cell)
    logits_BTV = functional.linear(hidden_BTW, weights.get("head.weight", embedding_VW), weights["head.bias"])
    return functional.cross_entropy(logits_BTV.flatten(0, 1), text_BT[:, 1:].flatten())


def _run(embedded_BTW: Tensor, flat: list[Tensor], cell: str) -> Tensor:
    """The kernels behind nn.LSTM and nn.GRU, because those own their weights and these are made anew in every step."""
    depth = len(flat) // 4
    state_LBW = embedded_BTW.new_zeros(depth, embedded_BTW.shape[0], embedded_BTW.shape[2])
    options = (True, depth, 0.0, False, False, True)  # biases, layers, dropout, training, bidirectional, batch first
    if cell == "lstm":
        return torch.lstm(embedded_BTW, (state_LBW, state_LBW), flat, *options)[0]
    return torch.gru(embedded_BTW, state_LBW, flat, *options)[0]
