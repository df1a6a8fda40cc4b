"""What a trial is given and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metasearch.core.errors import UserError


@dataclass(frozen=True)
class TrialBudget:
    """``tokens``: the horizon of a full trial, reported in ``reports`` equal parts, each on at most ``valid_tokens`` of validation.

    Raises UserError with every number that does not work.
    """

    tokens: int
    reports: int = 10
    valid_tokens: int = 8_192

    def __post_init__(self) -> None:
        faults = [f"{name} must be at least 1, found {number}" for name, number in vars(self).items() if number < 1]
        if self.reports > self.tokens:
            faults.append(f"there cannot be more reports ({self.reports}) than tokens ({self.tokens})")
        if faults:
            raise UserError("The budget of a trial does not work:", faults)

    def step(self, index: int) -> int:
        """Tokens at which report ``index`` (from 1) is due. The same for every config, so that curves can be compared."""
        return round(self.tokens * index / self.reports)


@dataclass(frozen=True)
class Trace:
    """How the steps since the last report went.

    ``train_loss``: mean nats per token. ``grad_norm``: mean global norm before clipping. ``clip_fraction``: share of steps that
    were clipped. ``lr``: learning rate of the last step.
    """

    train_loss: float
    grad_norm: float
    clip_fraction: float
    lr: float


@dataclass(frozen=True)
class Report:
    """One point of a trial's curve.

    ``step``: tokens at which the report was due. ``tokens``: tokens trained on, less than a batch more (fewer if diverged).
    ``val_loss``: nats per token, or per example of a class. ``scores``: what else was measured on the validation text, such as
    ``val_bpb``, bits per byte. ``seconds``: training and evaluation, all legs together.
    ``peak_memory``: bytes, of the trial on a GPU, of the whole process so far on a CPU. ``diverged``: the trial is over, and its
    losses may be NaN or infinite. ``parameters``: how many the model has. The rest: see Trace.
    """

    step: int
    tokens: int
    val_loss: float
    scores: Mapping[str, float]
    train_loss: float
    grad_norm: float
    clip_fraction: float
    lr: float
    seconds: float
    peak_memory: int
    parameters: int
    diverged: bool

    @property
    def val_bpb(self) -> float:
        """Of text that runs on."""
        return self.scores["val_bpb"]

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name, scores among the others."""
        own = {name: value for name, value in vars(self).items() if name not in ("step", "scores", "seconds", "diverged")}
        return {name: float(value) for name, value in {**own, **self.scores}.items()}
