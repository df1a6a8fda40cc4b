"""What is to be learned and how it is scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LANGUAGE_MODEL = "language_model"
"""The kind of a task whose text runs on."""

OWN = "own"
"""The kind of a task that the user trains."""


def metric_value(loss: float, better: str) -> float:
    """The metric as the user sees it, of which ``better`` ("lower" or "higher") values win: that of a stored loss."""
    return loss if better == "lower" else -loss


@dataclass(frozen=True)
class Task:
    """A corpus (or any problem), its split and tokenizer, the metric to minimise, and a description in numbers.

    ``source`` is plain data: where the text comes from, the tokenizer, the hash of each split. ``content`` is the hash of what is
    learned, wherever it lies; a task without it is identified by its source. ``descriptor`` describes the task to the learned parts
    and is not part of its identity. ``metric`` is always minimised; ``unit`` is what a step counts.
    """

    name: str
    kind: str = LANGUAGE_MODEL
    metric: str = "val_bpb"
    unit: str = "tokens"
    source: Mapping[str, Any] = field(default_factory=dict)
    content: str = ""
    descriptor: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """12 hexadecimal digits of the hash of all that makes two tasks different."""
        identity = json.dumps(
            [self.kind, self.metric, self.unit, self.content or self.source], sort_keys=True, separators=(",", ":")
        )
        return hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()

    @property
    def sign(self) -> float:
        """Stored losses are minimised: -1 if higher values of the metric are better, and losses carry the other sign."""
        return -1.0 if self.source.get("mode") == "max" else 1.0

    @property
    def better(self) -> str:
        """Which values of the metric are better, as the user sees it: "lower" or "higher"."""
        return "lower" if self.sign > 0 else "higher"

    def value(self, loss: float) -> float:
        """The metric as the user sees it: that of a stored loss."""
        return metric_value(loss, self.better)

    @property
    def aim(self) -> str:
        """In words, as the user sees the metric: what a better trial does to it."""
        return f"{'minimise' if self.sign > 0 else 'maximise'} {self.metric}"
