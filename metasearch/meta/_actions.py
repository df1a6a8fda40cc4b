"""What may be done to a running trial, by class, and within which bounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from metasearch.core.control import Control
from metasearch.core.event import Directive
from metasearch.meta._situation import Situation
from metasearch.meta.law_prior import LawPrior

LOWER, RAISE, DECAY, POSTPONE = "lower lr", "raise lr", "begin decay", "postpone decay"
RESTART, CLIP, WEIGHT_DECAY, ROLL_BACK = "restart", "clip", "weight decay", "roll back"

INTENTS = (LOWER, RAISE, DECAY, POSTPONE, RESTART, CLIP, WEIGHT_DECAY, ROLL_BACK)
"""Every class of actions. Experience tells what the first five do, and the law the first four; the others wait for evidence, or for
a spike.
"""

LR_SCALES = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
LR_LEAPS = (1 / 30, 0.1, 1 / 3, 3.0, 10.0, 30.0)
"""What is considered by the law, and where experience tells."""

FARTHEST_LEAP = 128.0
LATEST_RESTART, RESTARTED_TO, RESTARTS = 0.16, (1 / 100, 1 / 2), (1 / 10, 1 / 3)
KNOWN_RANGE, UNKNOWN_RANGE = (1 / 32, 64.0), (1 / 4, 2.0)
"""How far the learning rate may be moved from the config's in all, with and without earlier trials of the same optimizer."""

POSTPONED = (0.6, 0.8)
STILL_HIGH = 0.95
TOO_LOW, TOO_HIGH = 2.0, 1 / 3
"""Where the usual learning rate is so many times higher, no decay begins by the law; where it is so many times lower, none is put
off.
"""

SPIKE = 4.0
"""A mean gradient norm so many times the usual one is a spike."""

LOST, LOST_DEVIATIONS = 0.03, 8.0
"""A loss that rose above its lowest by this share, and by so many deviations of a report, is lost ground."""

TIGHTEN, TIGHTEST = 0.5, 0.25
WEIGHT_DECAY_SCALES = (0.5, 2.0)


def experienced(now: Situation, usual: float) -> list[Directive]:
    """The actions of which experience may tell. ``usual``: the learning rate that is usual, over the highest one ahead."""
    low, high = 1 / FARTHEST_LEAP, 0.0 if fell_back(now) else FARTHEST_LEAP
    moved = {scale: now.control.lr_scale * scale for scale in (*LR_LEAPS, usual)}
    able = [scale for scale in moved if (low <= moved[scale] if scale < 1 else moved[scale] <= high)]
    found = [Directive(lr_scale=scale, intent=LOWER if scale < 1 else RAISE) for scale in able]
    if now.control.decay_start is None:
        found += [Directive(begin_decay=True, intent=DECAY), *_postponed(now, usual)]
    begun = now.sends_back and now.progress <= LATEST_RESTART and now.control == Control()
    if begun and RESTARTED_TO[0] <= usual <= RESTARTED_TO[1]:
        found += [Directive(lr_scale=scale, restart=True, intent=RESTART) for scale in (usual, *RESTARTS)]
    return found


def foreseeable(now: Situation, prior: LawPrior, usual: float | None = None) -> Iterator[Directive]:
    """The actions whose effect the law tells. ``usual``: the learning rate that is usual, over the highest one ahead, if somebody
    knows; then no other action leads away from it.
    """
    for scale in LR_SCALES:
        nearer = usual is None or (scale <= usual if scale > 1 else scale >= usual)
        if nearer and _within(now, prior, scale) and (scale < 1 or not fell_back(now)):
            yield Directive(lr_scale=scale, intent=LOWER if scale < 1 else RAISE)
    if now.control.decay_start is None:
        yield from _decays(now, prior, usual)


def _decays(now: Situation, prior: LawPrior, usual: float | None) -> Iterator[Directive]:
    """A learning rate that is too low already does not begin to fall."""
    high_enough = now.base * now.factor >= prior.lowest.get(now.optimizer, 0.0)
    if high_enough and (usual is None or usual < TOO_LOW):
        yield Directive(begin_decay=True, intent=DECAY)
    yield from _postponed(now, usual)


def _postponed(now: Situation, usual: float | None) -> Iterator[Directive]:
    """A learning rate that is too high is not held."""
    for start in POSTPONED if usual is None or usual > TOO_HIGH else ():
        if start > now.progress and now.factor_at(now.control, start) < STILL_HIGH * now.factor:
            yield Directive(postpone_decay=start, intent=POSTPONE)


def other(now: Situation) -> Iterator[Directive]:
    """The actions whose effect only experience tells."""
    if now.control.clip_scale * TIGHTEN >= TIGHTEST:
        yield Directive(clip_scale=TIGHTEN, intent=CLIP)
    if now.control.weight_decay_scale == 1.0:
        for scale in WEIGHT_DECAY_SCALES:
            yield Directive(weight_decay_scale=scale, intent=WEIGHT_DECAY)


def fell_back(now: Situation) -> bool:
    """Was the trial ever sent back? Then its learning rate rises no more."""
    told = (verdict.directive for verdict in now.trial.directed.values())
    return any(directive is not None and directive.roll_back for directive in told)


def spiked(now: Situation) -> bool:
    """Has the mean gradient norm just jumped?"""
    *before, newest = now.trial.grad_norms
    return len(before) >= 3 and newest > SPIKE * statistics.median(before)


def lost_ground(now: Situation, prior: LawPrior) -> bool:
    """Has the loss just jumped far above what it was already?"""
    *before, newest = now.losses
    if not before:
        return False
    lowest = min(before)
    return newest > lowest + max(LOST * abs(lowest), LOST_DEVIATIONS * prior.deviation) and newest > before[-1]


def back(control: Control, lr_scale: float) -> Directive:
    """To the lowest loss so far, with a lower learning rate and tighter clipping."""
    tighter = TIGHTEN if control.clip_scale * TIGHTEN >= TIGHTEST else None
    return Directive(roll_back=True, lr_scale=lr_scale, clip_scale=tighter, intent=ROLL_BACK)


def _within(now: Situation, prior: LawPrior, scale: float) -> bool:
    """Nothing leaves the range with which earlier trials of the optimizer went well; what is outside of it may come nearer."""
    lowest, highest = prior.lowest.get(now.optimizer), prior.highest.get(now.optimizer)
    moved = now.control.lr_scale * scale
    if lowest is None or highest is None:
        return UNKNOWN_RANGE[0] <= moved <= UNKNOWN_RANGE[1]
    rate = now.base * moved
    return KNOWN_RANGE[0] <= moved <= KNOWN_RANGE[1] and (rate <= highest if scale > 1 else rate >= lowest)
