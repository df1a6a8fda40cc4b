"""The network of the challenger ``in-context``: a Transformer that reads trials and predicts the results of others.

A prior-fitted network (Müller et al., 2022, "Transformers can do Bayesian inference"): trials whose results are known are the
context, which attends to itself; configs whose results are asked for attend to the context only. One token is one trial.

Shapes: B data sets, N trials of the context, M trials asked for, P columns of a ``features.Layout``, E numbers of a descriptor,
D width of the network, K bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

NAME_WIDTH = 24
"""Columns and descriptors are known to the network by a random vector each, so that it can read any space."""

FEATURES = 8
WIDTH, LAYERS, HEADS = 64, 4, 4
LOWEST, HIGHEST, BARS = -1.0, 1.5, 50
"""Where results lie, in units of the task (``curves.squashed``), and in how many bars the density is drawn."""

LEAST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Asked:
    """Data sets as the network reads them: first N trials with results, then M without.

    ``points``: B × (N + M) × P. ``names``: B × P × NAME_WIDTH. ``descriptors``: B × (N + M) × E, those of each trial's task, and
    ``descriptor_names``: B × E × NAME_WIDTH. ``own``: B × (N + M), 1 if the trial is one of the target task. ``tasks``:
    B × (N + M) × NAME_WIDTH, a random vector for each task. ``z``, ``variance``: B × N, what is known of results.
    """

    points: Tensor
    names: Tensor
    descriptors: Tensor
    descriptor_names: Tensor
    own: Tensor
    tasks: Tensor
    z: Tensor
    variance: Tensor


class InContext(nn.Module):
    """``forward`` answers B × M × K logits of a density that is constant within each bar."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Sequential(nn.Linear(1, 32), nn.GELU(), nn.Linear(32, FEATURES))
        self.place = nn.Sequential(nn.Linear(NAME_WIDTH * FEATURES, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.descriptor = nn.Linear(NAME_WIDTH, WIDTH)
        self.whose = nn.Linear(NAME_WIDTH + 1, WIDTH)
        self.result = nn.Sequential(nn.Linear(3, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.asked = nn.Parameter(torch.zeros(WIDTH))
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, BARS))

    def forward(self, asked: Asked) -> Tensor:
        """What the density of each result asked for is, before normalisation."""
        known = asked.z.shape[1]
        token = self.place(self._bound(asked)) + self.whose(torch.cat([asked.tasks, asked.own[..., None]], dim=-1))
        token = token + self.descriptor(asked.descriptors @ asked.descriptor_names)
        log_variance = asked.variance.clamp_min(LEAST_VARIANCE).log() / 4.0
        result = self.result(torch.stack([asked.z, log_variance, asked.z * (-asked.variance * 20.0).exp()], dim=-1))
        context, wanted = token[:, :known] + result, token[:, known:] + self.asked
        alike = _alike(asked)
        for layer in self.layers:
            now = layer(context, context, alike[:, :, :known])
            context, wanted = now, layer(wanted, context, alike[:, :, known:])
        return self.head(wanted)

    def _bound(self, asked: Asked) -> Tensor:
        """A config as a sum over its columns of name ⊗ features of value: a set, whatever the space."""
        features = self.value(asked.points[..., None]) - self.value(torch.zeros_like(asked.points[..., None]))
        bound = torch.einsum("bnpf,bpw->bnfw", features, asked.names)
        return bound.flatten(2)


def _alike(asked: Asked) -> Tensor:
    """B × LIKENESSES × (N + M) × N: how near each config is to those of the context, whether it is the same, and whose it is."""
    context = slice(0, asked.z.shape[1])
    square = torch.cdist(asked.points, asked.points[:, context]) ** 2
    same_task = 1.0 - (asked.own[:, :, None] - asked.own[:, None, context]).abs()
    trust = -asked.variance[:, None].clamp_min(LEAST_VARIANCE).log().expand_as(square) / 4.0
    return torch.stack([-square.sqrt(), -square, (-50.0 * square).exp(), same_task, trust], dim=1)


class _Layer(nn.Module):
    """Pre-norm attention to the context and a feed-forward block. The context of a layer is what it was before that layer.

    Each head adds a weighted sum of likenesses to its scores, so that it can be a kernel regression from the start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.likeness = nn.Parameter(torch.outer(torch.linspace(0.0, 3.0, HEADS), torch.tensor([1.0, 0.3, 1.0, 0.5, 0.3])))
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key_value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, token: Tensor, context: Tensor, alike: Tensor) -> Tensor:
        query = _heads(self.query(self.before(token)))
        key, value = map(_heads, self.key_value(self.before(context)).chunk(2, dim=-1))
        bias = torch.einsum("hl,blqk->bhqk", self.likeness, alike)
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
        token = token + self.out(heard)
        return token + self.feed(self.after(token))


def _heads(token: Tensor) -> Tensor:
    return token.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def bar_of(z: Tensor) -> Tensor:
    """The bar in which each result lies."""
    return ((z - LOWEST) / (HIGHEST - LOWEST) * BARS).long().clamp(0, BARS - 1)


def negative_log_density(logits: Tensor, z: Tensor) -> Tensor:
    """Of the results ``z``, each in its place of ``logits``."""
    lost = F.cross_entropy(logits.flatten(0, -2), bar_of(z).flatten(), reduction="none")
    return lost.view(z.shape) + math.log((HIGHEST - LOWEST) / BARS)


def moments(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each density."""
    width = (HIGHEST - LOWEST) / BARS
    middle = LOWEST + width * (torch.arange(BARS, dtype=logits.dtype) + 0.5)
    share = logits.softmax(dim=-1)
    mean = share @ middle
    return mean, (share @ middle**2 - mean**2 + width**2 / 12).clamp_min(1e-8).sqrt()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, asked: Asked, ends: Tensor) -> float:
    """One step towards a higher density of ``ends``; their mean negative log density before it."""
    lost = negative_log_density(model(asked), ends).mean()
    optimizer.zero_grad()
    lost.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return lost.item()
