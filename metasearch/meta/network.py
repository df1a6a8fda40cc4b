"""The meta-network: from a task to the structure and the initial weights of an LSTM or GRU, learned over many tasks.

>>> network = MetaNetwork.learn(tasks)
>>> structure = network.structure(task)
>>> weights = network.weights(task, structure)  # by the names of the model's parameters

What it makes are ordinary weights: the model that starts from them is a plain ``nn.LSTM`` or ``nn.GRU``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from metasearch.core.errors import UserError
from metasearch.meta import _network_learning as learning
from metasearch.meta._hypernetwork import GATES, Hypernetwork, Reading, Size, Weights, loss
from metasearch.meta._network_learning import DEPTHS, NARROWEST, Recipe
from metasearch.meta._text_statistics import TextTask, described, log_unigram, statistics
from metasearch.meta._vocabulary import Vocabulary, composed
from metasearch.meta._widening import widened

__all__ = ["MetaNetwork", "Recipe", "Size", "Structure", "TextTask", "Vocabulary", "shipped"]

VARIABLE = "METASEARCH_NETWORK"
SHIPPED = Path(__file__).with_name("network.safetensors")
FORMAT = "metasearch/network/3"
PARTIAL = "metasearch/network-partial/2"

WIDEST = 512
STARTS = ("meta", "nearest", "pooled", "reptile")

PROBE_ROWS, PROBE_LENGTH = 16, 128
"""How much of the text is predicted to choose among readings, and to compare structures."""


@dataclass(frozen=True, order=True)
class Structure:
    """Raises UserError with every number that is out of range."""

    cell: str = "lstm"
    depth: int = 1
    width: int = 128
    tied: bool = True

    def __post_init__(self) -> None:
        faults = [] if self.cell in GATES else [f'cell must be one of {", ".join(GATES)}, found "{self.cell}"']
        if self.depth not in DEPTHS:
            faults.append(f"depth must be from {DEPTHS[0]} to {DEPTHS[-1]}, found {self.depth}")
        if not NARROWEST <= self.width <= WIDEST:
            faults.append(f"width must be from {NARROWEST} to {WIDEST}, found {self.width}")
        if faults:
            raise UserError("The meta-network knows no weights for this structure:", faults)


@dataclass(frozen=True, eq=False)
class MetaNetwork:
    """``sources``: the tasks it learned from, as it reads them. ``card``: how it was learned, plain data. ``reptile``: a base of
    its own for one start, which was learned by Reptile, at about the same cost, and knows of no task.
    """

    hypernetwork: Hypernetwork
    sources: Mapping[str, Reading]
    card: Mapping[str, Any]
    reptile: Hypernetwork

    @staticmethod
    def learn(
        tasks: Sequence[TextTask],
        size: Size | None = None,
        recipe: Recipe | None = None,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
        partial: Path | None = None,
    ) -> MetaNetwork:
        """Learns over ``tasks``. ``partial``: a file that keeps what was learned so far and from which an interrupted call goes on;
        one beside it does so for Reptile.

        Raises UserError if there are fewer than 2 tasks, or if ``partial`` is of another size, recipe, seed or other tasks.
        """
        size, recipe = size or Size(), recipe or Recipe()
        facts = {"size": asdict(size), "recipe": asdict(recipe), "seed": seed, "sources": [task.name for task in tasks]}

        def learned(size: Size, by: Recipe, kept: Path | None, say: Callable[[str], None]) -> Hypernetwork:
            learner, known = learning.new_learner(tasks, size, seed), {**facts, "recipe": asdict(by)}
            if kept is not None and kept.exists():
                _go_on(learner, kept, known)
                say(f"going on after step {learner.step}")
            learning.learn(learner, tasks, by, seed, say, lambda done: _keep(done, kept, known))
            return learner.network

        hypernetwork = learned(size, recipe, partial, note)
        reptile = learned(_bare(size), recipe.reptile, partial and beside(partial), lambda line: note(f"reptile: {line}"))
        network = MetaNetwork(hypernetwork, {}, {**facts, "descriptor": list(hypernetwork.names)}, reptile)
        return replace(network, sources={task.name: network.reading(task) for task in tasks})

    @torch.no_grad()
    def reading(self, task: TextTask, strange: bool = False) -> Reading:
        """What the network makes of the task's description and text. ``strange``: the bytes do not mean what they do elsewhere."""
        numbers_D = torch.from_numpy(described(task.descriptor, self.hypernetwork.names))
        return self.hypernetwork.read(statistics(task.text_N), numbers_D, _exchanged() if strange else None)

    def nearest(self, task: TextTask) -> str:
        """The source that is most like the task: the least angle between embeddings."""
        task_C = self.reading(task).task_C
        return max(self.sources, key=lambda name: float(functional.cosine_similarity(task_C, self.sources[name].task_C, dim=0)))

    @torch.no_grad()
    def weights(
        self, task: TextTask, structure: Structure, start: str = "meta", vocabulary: Vocabulary | None = None, seed: int = 0
    ) -> Weights:
        """Initial weights by the names of the model's parameters; of a byte model unless a ``vocabulary`` is given.

        ``start``: "meta" for the task itself, read in the way that has the lowest loss on a little of its text; "nearest" for the
        source that is most like it; "pooled" for the base that all tasks share; "reptile" for Reptile's. All have the unigram
        statistics of the text.
        """
        by = self.reptile if start == "reptile" else self.hypernetwork
        reading = self._start(task, structure, start)
        weights = _narrow(by, task, structure, reading)
        if structure.width > self.hypernetwork.size.width:
            weights = widened(weights, structure.cell, structure.width, torch.Generator().manual_seed(seed))
        own = reading.bias_V.detach(), functional.softplus(by.unigram_factor.detach()).item()
        return composed(weights, own, vocabulary) if vocabulary is not None else weights

    def structures(self, task: TextTask, widths: Sequence[int] = ()) -> list[tuple[Structure, float]]:
        """Every cell, depth and tying at each of ``widths`` (the base's own if none), best first, with its loss in nats per byte.

        The loss is that of the network's own weights on a little of the text before any training, so that it compares structures
        by what the network knows of them, not by what they could learn. Widths above the base's are not told apart.
        """
        own = max(self.hypernetwork.size.width, NARROWEST)
        known = [
            Structure(cell, depth, width, tied)
            for cell in GATES
            for depth in DEPTHS
            for width in (widths or (own,))
            for tied in (True, False)
        ]
        readings = self._readings(task)
        scored = [(structure, self._best(readings, task, structure)[1]) for structure in known]
        return sorted(scored, key=lambda pair: pair[1])

    def structure(self, task: TextTask, width: int | None = None) -> Structure:
        """The first of ``structures``, at one width."""
        return self.structures(task, () if width is None else (width,))[0][0]

    def initial_loss(self, task: TextTask, structure: Structure) -> float:
        """Nats per byte on a little of the task's text, before any training."""
        return self._best(self._readings(task), task, structure)[1]

    def save(self, path: Path) -> None:
        """One safetensors file of 16-bit floats; the card is in its metadata."""
        tensors = {f"network.{name}": value for name, value in self.hypernetwork.state_dict().items()}
        tensors |= {f"reptile.{name}": value for name, value in self.reptile.state_dict().items()}
        for name, reading in self.sources.items():
            tensors |= reading.pack(f"source.{name}.")
        halves = {name: value.to(torch.float16).contiguous() for name, value in tensors.items()}
        _write(halves, path, {FORMAT: json.dumps(self.card)})

    @staticmethod
    def load(path: Path) -> MetaNetwork:
        """Raises UserError if there is no such file, or if it is of something else."""
        tensors, card = _read(path, FORMAT)

        def network(of: str, size: Size) -> Hypernetwork:
            with torch.random.fork_rng(devices=[]):  # or the first trial of a process would draw other numbers than the later ones
                found = Hypernetwork(size, tuple(card["descriptor"]))
            found.load_state_dict({name.removeprefix(of): v.float() for name, v in tensors.items() if name.startswith(of)})
            return found

        size = Size(**card["size"])
        sources = {name: Reading.unpack(tensors, f"source.{name}.") for name in card["sources"]}
        return MetaNetwork(network("network.", size), sources, card, network("reptile.", _bare(size)))

    def _start(self, task: TextTask, structure: Structure, start: str) -> Reading:
        """What one of ``STARTS`` is made of."""
        assert start in STARTS, start
        if start == "reptile":
            return self.reptile.nothing_known()
        if start == "pooled":
            return self.hypernetwork.nothing_known()
        if start == "nearest":
            return self.sources[self.nearest(task)]
        return self._best(self._readings(task), task, structure)[0]

    def _readings(self, task: TextTask) -> list[Reading]:
        """The task as it is, as a text in an unknown script, and nothing of it: a text may mislead."""
        return [self.reading(task), self.reading(task, strange=True), self.hypernetwork.nothing_known()]

    @torch.no_grad()
    def _best(self, readings: Sequence[Reading], task: TextTask, structure: Structure) -> tuple[Reading, float]:
        """The reading with the lowest loss on a little of the text, and that loss in nats per byte."""
        probe_BT = _probe(task)
        losses = [loss(_narrow(self.hypernetwork, task, structure, each), structure.cell, probe_BT).item() for each in readings]
        best = int(np.argmin(losses))
        return readings[best], losses[best]


@cache
def shipped() -> MetaNetwork:
    """The network of the file named in ``METASEARCH_NETWORK``, or else the one that comes with the package. Read once a process."""
    own = os.environ.get(VARIABLE)
    return MetaNetwork.load(Path(own) if own else SHIPPED)


def _bare(size: Size) -> Size:
    """The base alone, for Reptile, which reads nothing."""
    return replace(size, experts=0, roles=1, rounds=0)


def _exchanged() -> Tensor:
    """The names that bytes have when theirs mean nothing: always the same ones (256,)."""
    return torch.randperm(256, generator=torch.Generator().manual_seed(0))


def _narrow(by: Hypernetwork, task: TextTask, structure: Structure, of: Reading) -> Weights:
    """Weights of the structure, no wider than the base."""
    width = min(structure.width, by.size.width)
    unigram_V = torch.from_numpy(log_unigram(task.text_N))
    made: Weights = by(of, unigram_V, structure.cell, structure.depth, width, structure.tied)
    return made


def _probe(task: TextTask) -> Tensor:
    """Rows at equal distances."""
    start_B1 = (np.arange(PROBE_ROWS) * len(task.text_N) // PROBE_ROWS)[:, None]
    rows_BT = task.text_N.take(start_B1 + np.arange(PROBE_LENGTH + 1), mode="wrap")
    return torch.from_numpy(rows_BT.astype(np.int64))


def beside(partial: Path) -> Path:
    """Where what Reptile learned so far is kept."""
    return partial.with_name(f"{partial.name}.reptile")


def _keep(learner: learning.Learner, partial: Path | None, facts: Mapping[str, Any]) -> None:
    if partial is not None:
        _write(learning.pack(learner), partial, {PARTIAL: json.dumps({**facts, "step": learner.step})})


def _go_on(learner: learning.Learner, partial: Path, facts: Mapping[str, Any]) -> None:
    tensors, found = _read(partial, PARTIAL)
    differing = [name for name, value in json.loads(json.dumps(facts)).items() if found.get(name) != value]
    if differing:
        raise UserError(
            f"{partial} was begun with other {' and '.join(differing)}. Delete it to begin anew, or ask for the same again."
        )
    learning.unpack(learner, tensors, found["step"])


def _write(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(dict(tensors), unfinished, metadata)
    unfinished.replace(path)


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), json.loads(metadata[kind])
    except FileNotFoundError:
        raise UserError(f"There is no meta-network at {path}. Learn one: metasearch meta learn network --out {path}") from None
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(f"{path} holds no {kind}, or is damaged ({type(error).__name__}). Delete it and learn it again.") from None
