"""The facts a sweep is made of. A fact is a past participle: it happened, it is durable, it never changes.

Times are seconds on the backend's clock (Unix time on a cluster, virtual time in a simulation). Steps are in the task's unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NewType

from metasearch.core.config import Config

TrialId = NewType("TrialId", int)
"""The number of a trial in its sweep, from 0, in the order of proposals."""


class Action(Enum):
    """What happens to a trial after a report."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Directive:
    """A change in a running trial, obeyed from the next training step on. Scales multiply what is in force; None leaves it alone.

    ``begin_decay``: from here on the learning rate falls linearly to a tenth at the horizon. ``postpone_decay``: it stays as it is
    until that share of the horizon, and then falls so. ``roll_back``: weights and moments become again what they were at the lowest
    loss so far, ``restart``: what they were at first; what was trained since is spent.

    The rest says why, for whoever learns from it. ``intent``: the class of the action; of a control, the action that it would have
    got (everything above is then left alone). ``propensity``: the probability with which this trial was acted upon. ``foreseen``:
    the loss at the horizon that was expected without the action, ``gain``: by how much the action was expected to lower it.
    """

    lr_scale: float | None = None
    clip_scale: float | None = None
    weight_decay_scale: float | None = None
    begin_decay: bool = False
    postpone_decay: float | None = None
    roll_back: bool = False
    restart: bool = False
    intent: str = ""
    propensity: float | None = None
    foreseen: float | None = None
    gain: float | None = None

    @property
    def changes(self) -> dict[str, float | bool]:
        """What it changes, by name; empty for a control."""
        scales = ("lr_scale", "clip_scale", "weight_decay_scale", "postpone_decay")
        found: dict[str, float | bool] = {name: value for name in scales if (value := getattr(self, name)) is not None}
        return found | {name: True for name in ("begin_decay", "roll_back", "restart") if getattr(self, name)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A scheduler's answer to a report."""

    action: Action = Action.CONTINUE
    reason: str = ""
    directive: Directive | None = None


CONTINUE = Verdict()


@dataclass(frozen=True, slots=True)
class Opened:
    """The sweep exists. ``sweep`` is its whole record, ``environment`` what it ran under (versions, git state, host, seed)."""

    time: float
    sweep: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed:
    """A driver took the sweep over; trials that were running lost their workers."""

    time: float
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Amended:
    """The question changed: ``changes`` maps dotted names to [old, new], ``sweep`` is the record from here on."""

    time: float
    sweep: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Learned parameters in use from here on: the meta part and the digest of its theta."""

    time: float
    part: str
    digest: str


@dataclass(frozen=True, slots=True)
class Proposed:
    """A trial exists and its first leg begins. With a parent, weights come from it and training starts at step ``start``."""

    time: float
    trial: TrialId
    config: Config
    seed: int
    origin: str = ""
    reason: str = ""
    parent: TrialId | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Thawed:
    """A trial that was paused, interrupted or failed gets another leg, from its latest checkpoint."""

    time: float
    trial: TrialId
    leg: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """One point of a trial's curve. ``loss`` is the task's metric, NaN or infinite if the trial diverged.

    ``seconds``: training time of the trial so far, all legs. ``metrics``: everything else that was measured.
    ``last``: the trial has nothing more to train, whatever its horizon.
    """

    time: float
    trial: TrialId
    leg: int
    step: int
    loss: float
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided upon a report; written together with it."""

    time: float
    trial: TrialId
    step: int
    action: Action
    reason: str = ""
    directive: Directive | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A leg died: an exception, a killed worker, a time limit. ``error`` is one line, ``detail`` the traceback."""

    time: float
    trial: TrialId
    leg: int
    error: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will be tried, unless the sweep is amended."""

    time: float
    reason: str


Fact = Opened | Resumed | Amended | Adopted | Proposed | Thawed | Reported | Judged | Failed | Closed

FACTS: dict[str, type[Fact]] = {
    kind.__name__.lower(): kind for kind in (Opened, Resumed, Amended, Adopted, Proposed, Thawed, Reported, Judged, Failed, Closed)
}
"""Every kind of fact by its name in the log."""
