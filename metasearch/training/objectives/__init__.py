"""What models are trained for, by the kind of the task.

The training loop knows an objective only: what it reads, what it loses, how good a model is. ``language_model`` is text that runs
on, ``classify`` and ``translate`` are examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from metasearch.core.config import Value
from metasearch.core.space import Space
from metasearch.corpora import ExampleCorpus
from metasearch.training.objectives import classify, language_model, translate
from metasearch.training.objectives._shared import SPACE, Objective, Setting

__all__ = ["Objective", "objective_of", "space_of"]

EXAMPLES: Mapping[str, Any] = {"classify": classify.Classify, "translate": translate.Translate}


def objective_of(corpus: Any, config: Mapping[str, Value], seed: int, most_tokens: int, device: torch.device) -> Objective:
    """The objective of a corpus: examples have a kind of their own, every other corpus is text that runs on.

    ``most_tokens``: of the validation texts, that are read for one evaluation.
    """
    setting = Setting(int(config["batch_size"]), int(config["context"]), seed, most_tokens, device)
    if isinstance(corpus, ExampleCorpus):
        made: Objective = EXAMPLES[corpus.kind](corpus, setting)
        return made
    return language_model.Continue(corpus, setting)


def space_of(kind: str) -> Space:
    """The parameters of the training loop for a kind of task."""
    return SPACE if kind in EXAMPLES else language_model.SPACE
