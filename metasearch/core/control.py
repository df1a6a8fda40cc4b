"""What directives have changed in a running trial: the learning rate that it really follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from metasearch.core.event import Directive

DECAYED = 0.1
"""Share of the learning rate that is left at the horizon after a decay that a directive began or put off."""


class Schedule(Protocol):
    """The factor on the learning rate at ``progress`` (tokens / horizon, in [0, 1]), given the validation losses so far.

    A pure function of what happened: there is nothing to save or to restore.
    """

    def __call__(self, progress: float, val_losses: Sequence[float]) -> float: ...


@dataclass(frozen=True)
class Control:
    """Factors in force from the next step on, and the decay that a directive began or put off, if one did.

    ``decay_start``: progress (tokens / horizon) at which it begins. ``decay_factor``: the schedule's when the directive came, which
    holds until then.
    """

    lr_scale: float = 1.0
    clip_scale: float = 1.0
    weight_decay_scale: float = 1.0
    decay_start: float | None = None
    decay_factor: float = 1.0

    def obey(self, directive: Directive, schedule: Schedule, progress: float, val_losses: Sequence[float]) -> Control:
        """The control after one more directive, which came at ``progress``. Of those about the decay the first one counts."""
        scaled = replace(
            self,
            lr_scale=_scale(self.lr_scale, directive.lr_scale),
            clip_scale=_scale(self.clip_scale, directive.clip_scale),
            weight_decay_scale=_scale(self.weight_decay_scale, directive.weight_decay_scale),
        )
        start = progress if directive.begin_decay else directive.postpone_decay
        if start is None or self.decay_start is not None:
            return scaled
        return replace(scaled, decay_start=max(start, progress), decay_factor=schedule(progress, val_losses))

    def lr_factor(self, schedule: Schedule, progress: float, val_losses: Sequence[float]) -> float:
        """Factor on the config's learning rate at ``progress``."""
        if self.decay_start is None:
            return self.lr_scale * schedule(progress, val_losses)
        left = (1.0 - progress) / (1.0 - self.decay_start) if self.decay_start < 1.0 else 1.0
        left = min(left, 1.0)
        return self.lr_scale * self.decay_factor * (DECAYED + (1.0 - DECAYED) * left)


def _scale(factor: float, change: float | None) -> float:
    return factor if change is None else factor * change
