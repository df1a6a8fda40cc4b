"""How the meta-network learns: through the loss of the models whose weights it makes, over tasks.

First the loss right after the weights are made, then (few-step aware) what remains of it after some steps of training: where
those steps lead is the gradient of the weights, as in Reptile (Nichol, Achiam, Schulman, 2018), here carried on into the network
that made them. What was read of a task serves several models at once, some of the full width, some narrower, every other of those
the narrowest (after the sandwich rule; Yu and Huang, 2019). Now and then the text is withheld, which teaches the base what to do
when nothing is known, or the names of its bytes are exchanged, which teaches what can be known of a script that was never seen, or
its letters are those of another alphabet.
Large weights are penalised: they fit the sources no better, and Adam, whose steps have the size of the learning rate, takes longer
to train them for another text.

Shapes: B rows, T bytes per row, V 256 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metasearch.core.errors import UserError
from metasearch.core.rng import derive, derive_seed
from metasearch.meta._alphabets import has_letters, transliterated
from metasearch.meta._hypernetwork import Hypernetwork, Reading, Size, Weights, loss
from metasearch.meta._text_statistics import OF_THE_TOKENIZER, TextTask, described, log_unigram, sampled, statistics

DEPTHS = (1, 2, 3, 4)
NARROWEST = 32
DEPTH_SHARES = (0.6, 0.25, 0.1, 0.05)
GRU_FULL_SHARE = 0.75
"""Of the GRUs, so many have the full width."""
STEPS_BETWEEN_NOTES = 200
FEWEST_SAMPLED = 4096
"""Bytes of which a text is read while learning, at the least."""
REPTILE_COSTS = 4
"""So many steps of learning take as long as one that looks ahead."""

Say = Callable[[str], None]

Taught = tuple[Tensor, float]
"""What is to be lowered, and the loss in nats per byte."""


@dataclass(frozen=True)
class Recipe:
    """``steps`` of which the last ``few_step_share`` look ``inner_steps`` ahead. ``withheld``: share of tasks of which nothing is
    told; 1 gives a pooled model (or Reptile, if ``few_step_share`` is 1 too). ``renamed``: share of the others whose bytes exchange
    names. ``transliterated``: share of texts in the Latin script that are learned from in another. ``penalty``: nats per unit of
    the mean square of each matrix of weights. ``sample_bytes``: how much text is read at most.
    """

    steps: int = 4000
    few_step_share: float = 0.02
    inner_steps: int = 32
    inner_rate: float = 1e-2
    tasks_at_once: int = 4
    rows: int = 8
    length: int = 64
    rate: float = 6e-3
    withheld: float = 0.15
    renamed: float = 0.25
    transliterated: float = 0.0
    penalty: float = 0.15
    noise: float = 0.1
    sample_bytes: int = 65_536

    @property
    def reptile(self) -> Recipe:
        """Reptile at about the same cost: nothing is known of a task, and every step looks ahead, not far, as there are many."""
        alone = replace(self, few_step_share=1.0, withheld=1.0)
        return replace(alone, steps=max(self.steps // REPTILE_COSTS, 1), inner_steps=min(self.inner_steps, 8), inner_rate=3e-3)

    def looks_ahead(self, step: int) -> bool:
        return step >= self.steps * (1 - self.few_step_share)


@dataclass
class Learner:
    """The network with its optimizer; ``step`` steps are done."""

    network: Hypernetwork
    optimizer: torch.optim.Adam
    step: int = 0


def new_learner(tasks: Sequence[TextTask], size: Size, seed: int) -> Learner:
    """Before the first step. Raises UserError if there are too few tasks to tell one from another."""
    if len(tasks) < 2:
        raise UserError(f"The meta-network learns from at least 2 corpora, found {len(tasks)}. Name more of them.")
    names = tuple(sorted(set().union(*(task.descriptor for task in tasks)) - OF_THE_TOKENIZER))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "network"))
        network = Hypernetwork(size, names)
    numbers = np.stack([described(task.descriptor, names) for task in tasks])
    network.get_buffer("center").copy_(torch.from_numpy(np.nanmean(numbers, axis=0)))
    network.get_buffer("spread").copy_(torch.from_numpy(np.maximum(np.nanstd(numbers, axis=0), 0.05)))
    return Learner(network, torch.optim.Adam(network.parameters(), betas=(0.9, 0.99)))


def learn(
    learner: Learner,
    tasks: Sequence[TextTask],
    recipe: Recipe,
    seed: int,
    note: Say,
    keep: Callable[[Learner], None] = lambda _: None,
) -> None:
    """Goes on to the last step of the recipe. Each step's draws depend on the seed and its number only, so that a learner that was
    kept (``keep``, every ``STEPS_BETWEEN_NOTES`` steps) goes on as if it had never stopped. Uses one thread.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    unigrams = [torch.from_numpy(log_unigram(task.text_N)) for task in tasks]
    recent: list[float] = []
    try:
        with torch.random.fork_rng(devices=[]):
            while learner.step < recipe.steps:
                recent.append(_step(learner, tasks, unigrams, recipe, seed))
                learner.step += 1
                if learner.step % STEPS_BETWEEN_NOTES == 0 or learner.step == recipe.steps:
                    note(f"step {learner.step} of {recipe.steps}: {np.mean(recent):.3f} nats per byte")
                    keep(learner)
                    recent.clear()
    finally:
        torch.set_num_threads(threads)


def _step(learner: Learner, tasks: Sequence[TextTask], unigrams: Sequence[Tensor], recipe: Recipe, seed: int) -> float:
    """One update over some tasks; their mean loss, before or after the steps ahead."""
    step, rng = learner.step, derive(seed, "network", learner.step)
    torch.default_generator.manual_seed(derive_seed(seed, "noise", step))
    ahead = recipe.looks_ahead(step)
    for group in learner.optimizer.param_groups:
        group["lr"] = recipe.rate * _decay(step, recipe.steps) * (0.3 if ahead else 1.0)
    learner.optimizer.zero_grad()
    taught: list[Taught] = []
    for index in rng.permutation(len(tasks))[: recipe.tasks_at_once]:
        task, unigram_V = _in_a_script(tasks[index], unigrams[index], recipe, rng)
        reading = reading_of(learner.network, task, recipe, rng)
        for cell, depth, width, tied in _models(learner.network.size.width, rng)[:: 2 if ahead else 1]:
            weights = learner.network(reading, unigram_V, cell, depth, width, tied)
            taught.append((_teach_ahead if ahead else _teach_now)(weights, cell, task, recipe, rng))
    torch.stack([objective for objective, _ in taught]).mean().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(learner.network.parameters(), 1.0)
    learner.optimizer.step()
    return float(np.mean([value for _, value in taught]))


def _in_a_script(task: TextTask, unigram_V: Tensor, recipe: Recipe, rng: np.random.Generator) -> tuple[TextTask, Tensor]:
    """The task and its log frequencies, or a part of it in another alphabet, of which no description is known."""
    if not recipe.transliterated or rng.random() >= recipe.transliterated:
        return task, unigram_V
    part_N = sampled(task.text_N, 2 * recipe.sample_bytes, rng, pieces=1)
    if not has_letters(part_N):
        return task, unigram_V
    other = TextTask(task.name, transliterated(part_N, rng), {})
    return other, torch.from_numpy(log_unigram(other.text_N))


def _decay(step: int, steps: int) -> float:
    """Linear warm-up over the first twentieth, then half a cosine down to a tenth."""
    done = (step + 0.5) / steps
    return min(1.0, 20 * done) * (0.1 + 0.9 * 0.5 * (1 + float(np.cos(np.pi * done))))


def _models(widest: int, rng: np.random.Generator) -> list[tuple[str, int, int, bool]]:
    """Cell, depth, width, tied: of an LSTM of the full width, a narrower one, and every other time a GRU, which takes several
    times as long on a CPU.
    """
    narrowest = min(NARROWEST, widest)
    between = int(np.exp(rng.uniform(np.log(narrowest), np.log(widest + 1))))
    narrower = narrowest if rng.random() < 0.5 else between
    sizes = [("lstm", widest), ("lstm", narrower), ("gru", widest if rng.random() < GRU_FULL_SHARE else narrower)]
    models = [(cell, int(rng.choice(DEPTHS, p=DEPTH_SHARES)), width, bool(rng.random() < 0.5)) for cell, width in sizes]
    return models if rng.random() < 0.5 else models[:-1]


def reading_of(network: Hypernetwork, task: TextTask, recipe: Recipe, rng: np.random.Generator) -> Reading:
    """What a fresh sample of a task's text, long or short, tells; or nothing."""
    if rng.random() < recipe.withheld:
        return network.nothing_known()
    length = int(np.exp(rng.uniform(np.log(min(FEWEST_SAMPLED, recipe.sample_bytes)), np.log(recipe.sample_bytes))))
    numbers_D = torch.from_numpy(described(task.descriptor, network.names))
    order_V = torch.from_numpy(rng.permutation(256)) if rng.random() < recipe.renamed else None
    return network.read(statistics(sampled(task.text_N, length, rng)), numbers_D, order_V, recipe.noise)


def _teach_now(weights: Weights, cell: str, task: TextTask, recipe: Recipe, rng: np.random.Generator) -> Taught:
    """The loss of these very weights, with the penalty for their size."""
    value = loss(weights, cell, batch(task, recipe.rows, recipe.length, rng))
    size = torch.stack([matrix.square().mean() for matrix in weights.values() if matrix.dim() == 2]).sum()
    return value + recipe.penalty * size, value.item()


def _teach_ahead(weights: Weights, cell: str, task: TextTask, recipe: Recipe, rng: np.random.Generator) -> Taught:
    """Has the direction in which training would move these weights as their gradient; the loss is that at the end of it."""
    ahead = {name: value.detach().clone().requires_grad_(True) for name, value in weights.items()}
    inner = torch.optim.Adam(ahead.values(), lr=recipe.inner_rate)
    value = torch.zeros(())
    for _ in range(recipe.inner_steps):
        value = loss(ahead, cell, batch(task, recipe.rows, recipe.length, rng))
        inner.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        inner.step()
    scale = 1 / (recipe.inner_rate * recipe.inner_steps)
    moved = [((value.detach() - ahead[name].detach()) * scale * value).sum() for name, value in weights.items()]
    return torch.stack(moved).sum(), value.item()


def batch(task: TextTask, rows: int, length: int, rng: np.random.Generator) -> Tensor:
    """Rows (B, T + 1) from random places of the text; a short text is read as a ring."""
    start_B1 = rng.integers(0, len(task.text_N), rows)[:, None]
    rows_BT = task.text_N.take(start_B1 + np.arange(length + 1), mode="wrap")
    return torch.from_numpy(rows_BT.astype(np.int64))


def pack(learner: Learner) -> dict[str, Tensor]:
    """The network and Adam's moments, by dotted names."""
    tensors = {f"network.{name}": value for name, value in learner.network.state_dict().items()}
    for index, state in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    return tensors


def unpack(learner: Learner, tensors: Mapping[str, Tensor], step: int) -> None:
    """Puts ``learner`` where ``pack`` was called. Raises RuntimeError or KeyError if the tensors are of another one."""
    network = {name.removeprefix("network."): v for name, v in tensors.items() if name.startswith("network.")}
    learner.network.load_state_dict(network)
    record = learner.optimizer.state_dict()
    for index in range(len(record["param_groups"][0]["params"])):
        prefix = f"adam.{index}."
        record["state"][index] = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    learner.optimizer.load_state_dict(record)
    learner.step = step
