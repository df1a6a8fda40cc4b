"""Small trials on text that every Python has: the source of its own library."""

import argparse
import ast
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
import torch

from metasearch.core.config import STRATEGY
from metasearch.training.loop import Trainer
from metasearch.training.objectives import language_model
from metasearch.training.report import TrialBudget

ROOMS = {
    "model": "metasearch.models",
    "optimizer": "metasearch.training.optimizers",
    "schedule": "metasearch.training.schedules",
    "clipping": "metasearch.training.clipping",
    "init": "metasearch.training.inits",
}
STRATEGY_OF_TESTS = dict(zip(STRATEGY, ("lstm", "adamw", "constant", "norm", "default"), strict=True))
SMALL = {"width": 32, "depth": 1, "batch_size": 8, "context": 32}
CPU = torch.device("cpu")


def plugins(part):
    """Names of all plug-ins of a part of the strategy."""
    return [m.name for m in pkgutil.iter_modules(import_module(ROOMS[part]).__path__) if not m.name.startswith("_")]


def plugin(part, name):
    return import_module(f"{ROOMS[part]}.{name}")


def config_of(**changes):
    """A complete config of a small trial: the defaults of its plug-ins, then ``SMALL``, then ``changes``."""
    strategy = {**STRATEGY_OF_TESTS, **{part: changes[part] for part in ROOMS if part in changes}}
    defaults = [plugin(part, name).SPACE.default() for part, name in strategy.items()]
    return {
        name: value
        for values in (language_model.SPACE.default(), *defaults, SMALL, strategy, changes)
        for name, value in values.items()
    }


@dataclass(frozen=True)
class Corpus:
    """Bytes as tokens."""

    train: np.ndarray
    valid: np.ndarray
    valid_bytes: int
    vocab_size: int = 128
    name: str = "library"
    spellings: tuple[bytes, ...] = tuple(bytes([byte]) for byte in range(128))
    descriptor: Mapping[str, float] = field(default_factory=dict)


def library_corpus():
    text = "".join(inspect.getsource(module) for module in (argparse, ast)).encode("ascii", "ignore")
    tokens = np.frombuffer(text, dtype=np.uint8)
    split = len(tokens) * 9 // 10
    return Corpus(tokens[:split], tokens[split:], len(tokens) - split)


CORPUS = library_corpus()


def trainer(seed=0, corpus=CORPUS, tokens=4096, reports=4, valid_tokens=512, **changes):
    return Trainer(config_of(**changes), corpus, TrialBudget(tokens, reports, valid_tokens), seed, CPU)


def finish(trial):
    """All reports that are left, without what depends on the clock and on the process."""
    reports = []
    while not trial.done:
        report = trial.advance()
        numbers = {"step": report.step, "diverged": report.diverged, **report.metrics}
        reports.append({name: number for name, number in numbers.items() if name != "peak_memory"})
    return reports
