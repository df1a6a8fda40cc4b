"""From a description of a task to the weights of a recurrent language model: a shared base and what the task changes in it.

One embedding and one head over the 256 bytes are shared by an LSTM base and a GRU base; the role that each byte has in the text is
added to them. Recurrent matrices are sums of a shared one and of some others (*experts*), in shares that are linear in the task's
embedding, scaled by FiLM on the rows (Perez et al., 2018). With nothing known of a task the base is left alone; it is learned for
that case too. The log unigram probabilities of the text, times a learned factor, are added to the output bias.

Embedding and head are centred on the text: what all bytes have in common cancels in the softmax, or belongs in a bias, and small
weights learn faster under Adam, whose steps have the size of the learning rate. A tied model reads the head's vectors through one
more learned matrix, so that it shares all else with the untied one.

Structures are ordered slices (Cai et al., 2020; Yu and Huang, 2019): a smaller width is the first units of the base, a smaller
depth its first layers. Layers above the last stored one repeat its weights (Lan et al., 2020).

Shapes: B rows, T bytes per row, V 256 bytes, W width, R rows of a matrix, G gates, E experts, C numbers of the task's embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from metasearch.meta._byte_roles import ByteRoles
from metasearch.meta._text_statistics import Statistics

GATES = {"lstm": 4, "gru": 3}
"""Blocks of rows in a recurrent layer's matrices, as torch stacks them."""

Weights = dict[str, Tensor]
"""By the names of a language model's parameters: what is made here fits ``metasearch.models``."""

SHIFT = 0.1
"""Scale of what FiLM and the experts may do at first, relative to the base."""


@dataclass(frozen=True)
class Size:
    """How large the shared base and the network that adapts it are. ``layers``: stored recurrent layers. ``roles`` numbers say in
    each of ``rounds`` what a byte is to a text; ``embedding`` numbers what the text is.
    """

    width: int = 64
    layers: int = 2
    experts: int = 12
    roles: int = 64
    rounds: int = 3
    embedding: int = 24


@dataclass(frozen=True, eq=False)
class Reading:
    """All that the weights for a task follow from, whatever the structure. Vectors for every byte, and the task's embedding."""

    input_VW: Tensor
    output_VW: Tensor
    bias_V: Tensor
    task_C: Tensor

    def pack(self, prefix: str) -> dict[str, Tensor]:
        """By the names of its parts, each after ``prefix``."""
        return {prefix + field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def unpack(tensors: Mapping[str, Tensor], prefix: str) -> Reading:
        """What ``pack`` made. Raises KeyError if it is not all there."""
        return Reading(*(tensors[prefix + field.name].float() for field in fields(Reading)))


class Layer(nn.Module):
    """Both matrices and both biases of one recurrent layer: the shared ones first, then those of the experts."""

    def __init__(self, gates: int, size: Size) -> None:
        super().__init__()
        self.gates, self.width, rows = gates, size.width, gates * size.width
        scale_E11 = torch.tensor([1.0] + [SHIFT] * size.experts).view(-1, 1, 1) * size.width**-0.5
        self.inward_ERW = nn.Parameter(torch.randn(1 + size.experts, rows, size.width) * scale_E11)
        self.recurrent_ERW = nn.Parameter(torch.randn(1 + size.experts, rows, size.width) * scale_E11)
        self.bias_2R = nn.Parameter(torch.zeros(2, rows))
        self.film = nn.Linear(size.embedding, 2 * rows, bias=False)
        self.share = nn.Linear(size.embedding, size.experts, bias=False) if size.experts else None
        nn.init.normal_(self.film.weight, std=SHIFT * size.embedding**-0.5)
        if gates == GATES["lstm"]:  # the forget gate is open at first (Jozefowicz et al., 2015)
            nn.init.ones_(self.bias_2R.data[0, size.width : 2 * size.width])

    def forward(self, task_C: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights of the first ``width`` units, in the order in which torch keeps them: two matrices, two biases."""
        scale_R, shift_R = self.film(task_C).chunk(2)
        share_E = torch.ones(1) if self.share is None else torch.cat([torch.ones(1), self.share(task_C)])
        inward_RW, recurrent_RW = (
            self._first((1 + scale_R)[:, None] * torch.tensordot(share_E, each_ERW, 1), width)[:, :width]
            for each_ERW in (self.inward_ERW, self.recurrent_ERW)
        )
        return inward_RW, recurrent_RW, self._first(self.bias_2R[0] + shift_R, width), self._first(self.bias_2R[1], width)

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
        self.roles = ByteRoles(size.roles, size.rounds)
        self.embed = nn.Linear(len(names) + self.roles.width, size.embedding)
        self.input_VW = nn.Parameter(torch.randn(256, size.width) * size.width**-0.5)
        self.output_VW = nn.Parameter(torch.randn(256, size.width) * size.width**-0.5)
        self.bias_V = nn.Parameter(torch.zeros(256))
        self.to_input, self.to_output = (nn.Linear(self.roles.width, size.width, bias=False) for _ in range(2))
        self.to_bias = nn.Linear(self.roles.width, 1, bias=False)
        nn.init.zeros_(self.to_bias.weight)
        self.unigram_factor = nn.Parameter(torch.tensor(0.5413))  # softplus of it is 1
        self.tying = nn.ParameterDict({cell: nn.Parameter(torch.eye(size.width)) for cell in GATES})
        self.cells = nn.ModuleDict({cell: nn.ModuleList(Layer(g, size) for _ in range(size.layers)) for cell, g in GATES.items()})

    def read(self, of: Statistics, described_D: Tensor, order_V: Tensor | None = None, noise: float = 0.0) -> Reading:
        """A task by its text and its description. ``order_V``: whose name each byte is given where its own
        means nothing. ``noise``: standard deviation, and share of dropped numbers of the description, while learning.
        """
        names_V = torch.arange(256) if order_V is None else order_V
        role_VR = self.roles(of, names_V)
        center, spread = self.get_buffer("center"), self.get_buffer("spread")
        numbers_D = torch.nan_to_num((described_D - center) / spread).clamp(-4, 4) * max(len(self.names), 1) ** -0.5
        if noise and self.names:
            numbers_D = functional.dropout(numbers_D + noise * len(numbers_D) ** -0.5 * torch.randn_like(numbers_D), noise)
        task_C = torch.tanh(self.embed(torch.cat([numbers_D, of.log_unigram_V.exp() @ role_VR])))
        own_V = self.bias_V if order_V is None else torch.zeros(256)
        return Reading(
            self.input_VW[names_V] + self.to_input(role_VR),
            self.output_VW[names_V] + self.to_output(role_VR),
            own_V + self.to_bias(role_VR)[:, 0],
            task_C,
        )

    def nothing_known(self) -> Reading:
        """What leaves the base as it is."""
        return Reading(self.input_VW, self.output_VW, self.bias_V, torch.zeros(self.size.embedding))

    def forward(self, of: Reading, log_unigram_V: Tensor, cell: str, depth: int, width: int, tied: bool) -> Weights:
        """Weights of a byte model, differentiable. ``width`` is at most that of the base."""
        share_V = log_unigram_V.exp()
        output_VW, input_VW = (table_VW[:, :width] for table_VW in (of.output_VW, of.input_VW))
        output_VW, input_VW = output_VW - share_V @ output_VW, input_VW - share_V @ input_VW
        weights = {"embedding.weight": output_VW if tied else input_VW}
        stored = list(cast(nn.ModuleList, self.cells[cell]))[:depth]
        layers = [layer(of.task_C, width) for layer in stored]
        for index in range(depth):
            matrices = layers[min(index, len(layers) - 1)]
            for name, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), matrices, strict=True):
                weights[f"body.kernel.{name}_l{index}"] = value
        if tied:
            weights["body.kernel.weight_ih_l0"] = weights["body.kernel.weight_ih_l0"] @ self.tying[cell][:width, :width]
        else:
            weights["head.weight"] = output_VW
        weights["head.bias"] = of.bias_V + functional.softplus(self.unigram_factor) * log_unigram_V
        return weights


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
