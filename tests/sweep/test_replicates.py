"""What several seeds tell of a config, and what they do not."""

from __future__ import annotations

import math

import pytest

from metasearch.core.config import Config
from metasearch.core.event import Action, Fact, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import DIVERGED, History
from metasearch.sweep.replicates import standings
from metasearch.testing.contract import make_sweep


def history_of(*losses: tuple[str, float]) -> History:
    """One trial for each pair of a config's name and a loss."""
    facts: list[Fact] = [Opened(0.0, make_sweep().record())]
    for number, (name, loss) in enumerate(losses):
        trial, reason = TrialId(number), DIVERGED if math.isinf(loss) else ""
        facts += [Proposed(0.0, trial, Config({"model": name}), number), Reported(1.0, trial, 0, 10, loss)]
        facts.append(Judged(1.0, trial, 10, Action.STOP, reason))
    return History.fold(facts)


def test_what_lies_within_the_noise_is_tied_and_the_rest_is_worse() -> None:
    """Differences of one and of a hundred standard deviations. The noise is 0.1: each group is its mean and 0.1 around it."""
    seeds = [("a", 1.0), ("a", 0.9), ("a", 1.1), ("b", 1.1), ("b", 1.0), ("b", 1.2), ("c", 11.0), ("c", 10.9), ("c", 11.1)]
    found = standings(history_of(*seeds))
    assert [(one.strategy, one.tied) for one in found] == [("a", True), ("b", True), ("c", False)]
    assert [one.mean for one in found] == pytest.approx([1.0, 1.1, 11.0])
    assert {round(one.noise or 0.0, 9) for one in found} == {0.1}
    assert found[2].trials == (6, 7, 8)


def test_single_seeds_tell_no_noise_and_no_ties() -> None:
    assert [(one.noise, one.tied) for one in standings(history_of(("a", 1.0), ("b", 2.0)))] == [(None, None)] * 2


def test_a_config_that_diverges_is_last_and_its_lost_seeds_are_counted() -> None:
    found = standings(history_of(("a", math.inf), ("a", math.inf), ("b", 2.0), ("b", math.inf), ("c", 1.0), ("c", 1.2)))
    assert [(one.strategy, one.lost, one.mean) for one in found] == [("c", 0, pytest.approx(1.1)), ("b", 1, 2.0), ("a", 2, None)]
    assert found[-1].tied is None
