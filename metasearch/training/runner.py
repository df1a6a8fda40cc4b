"""A trial over a corpus as a worker runs it: the corpus of the sweep, the threads and device it was given, reports as progress."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache

import torch

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.protocols import Assignment, Progress
from metasearch.core.sweep import Resources, Sweep
from metasearch.corpora import EXAMPLE_KINDS, ExampleCorpus, TokenizedCorpus, load, load_examples
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget


class CorpusRunner:
    """Implements ``core.protocols.Runner``.

    Raises UserError if this machine's corpus is not the one that the sweep was launched with, or lacks the GPU it was promised.
    """

    def __init__(self, sweep: Sweep, assignment: Assignment) -> None:
        torch.set_num_threads(max(1, int(sweep.resources.cpu)))
        self._metric, self._sign = sweep.task.metric, sweep.task.sign
        budget = TrialBudget(tokens=sweep.horizon, reports=sweep.reports)
        # Only a controller asks to go back, and what it goes back to doubles a checkpoint.
        keep = sweep.search.get("controller") is not None
        device = _device(sweep.resources)
        self._gpu_bytes = _made_room(device)
        self._trainer = Trainer(assignment.config, corpus_of(sweep), budget, assignment.seed, device, keep_lowest=keep)

    def advance(self) -> Progress:
        report = self._trainer.advance()
        loss = math.inf if report.diverged else self._sign * report.metrics[self._metric]
        last = self._trainer.done and not self._trainer.may_go_back
        gpu_memory = {"gpu_memory": self._gpu_bytes} if self._gpu_bytes else {}
        return Progress(report.step, loss, report.seconds, {**report.metrics, **gpu_memory}, last)

    def halt(self) -> None:
        self._trainer.halt()

    def obey(self, directive: Directive) -> None:
        self._trainer.obey(directive)

    def checkpoint(self) -> bytes:
        return self._trainer.checkpoint()

    def restore(self, checkpoint: bytes) -> None:
        self._trainer.restore(checkpoint)

    def adopt(self, checkpoint: bytes) -> None:
        self._trainer.adopt(checkpoint)

    def close(self) -> None:
        """Nothing outlives it."""


@lru_cache(maxsize=4)
def _load(kind: str, source: str, tokenizer: str) -> tuple[TokenizedCorpus | ExampleCorpus, str]:
    """A corpus, and the digest of what is learned from it. One worker serves many trials of few tasks: each corpus is opened once.
    The keys are JSON.
    """
    if kind in EXAMPLE_KINDS:
        examples = load_examples(kind, json.loads(source), json.loads(tokenizer))
        return examples, examples.digest
    corpus = load(json.loads(source), json.loads(tokenizer), kinds=catalog.corpus_kinds())
    return corpus, corpus.digest


def corpus_of(sweep: Sweep) -> TokenizedCorpus | ExampleCorpus:
    """The corpus of a sweep. Raises UserError if this machine's is another one than the sweep was launched with."""
    asked = sweep.task.source
    keys = (json.dumps(asked[name], sort_keys=True) for name in ("source", "tokenizer"))
    corpus, digest = _load(sweep.task.kind, *keys)
    found = replace(sweep.task, content=digest)
    if found.id != sweep.task.id:
        raise UserError(
            f"The corpus {corpus.name} on this machine is not the one that sweep {sweep.name} was launched with "
            f"(task {found.id} here, {sweep.task.id} there). Restore the text, or launch a new sweep."
        )
    return corpus


def _made_room(device: torch.device) -> float:
    """Bytes of the whole GPU, 0 on a CPU. Gives back what a trial before in this process had, which others may need now."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    return float(torch.cuda.get_device_properties(device).total_memory)


def _device(resources: Resources) -> torch.device:
    if resources.gpu > 0 and not torch.cuda.is_available():
        raise UserError(f"A trial was promised {resources.gpu:g} GPU, but torch sees none on this machine: is this its CPU build?")
    return torch.device("cuda" if resources.gpu > 0 else "cpu")
