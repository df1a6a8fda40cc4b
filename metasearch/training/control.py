"""What directives have changed in a running trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from metasearch.core.event import Directive
from metasearch.training.schedules._shared import Schedule

DECAYED = 0.1
"""Share of the learning rate that is left at the horizon after a ``begin_decay``."""


@dataclass(frozen=True)
class Control:
    """Factors in force from the next step on, and the decay that a directive began, if one did.

    ``decay_start``: progress (tokens / horizon) at which it began. ``decay_factor``: what the schedule said at that point.
    """

    lr_scale: float = 1.0
    clip_scale: float = 1.0
    weight_decay_scale: float = 1.0
    decay_start: float | None = None
    decay_factor: float = 1.0

    def obey(self, directive: Directive, schedule: Schedule, progress: float, val_losses: Sequence[float]) -> Control:
        """The control after one more directive, which came at ``progress``. A decay that has begun is not begun again."""
        scaled = replace(
            self,
            lr_scale=_scale(self.lr_scale, directive.lr_scale),
            clip_scale=_scale(self.clip_scale, directive.clip_scale),
            weight_decay_scale=_scale(self.weight_decay_scale, directive.weight_decay_scale),
        )
        if not directive.begin_decay or self.decay_start is not None:
            return scaled
        return replace(scaled, decay_start=progress, decay_factor=schedule(progress, val_losses))

    def lr_factor(self, schedule: Schedule, progress: float, val_losses: Sequence[float]) -> float:
        """Factor on the config's learning rate at ``progress``."""
        if self.decay_start is None:
            return self.lr_scale * schedule(progress, val_losses)
        left = (1.0 - progress) / (1.0 - self.decay_start) if self.decay_start < 1.0 else 0.0
        return self.lr_scale * self.decay_factor * (DECAYED + (1.0 - DECAYED) * left)


def _scale(factor: float, change: float | None) -> float:
    return factor if change is None else factor * change
