"""Which share of a GPU a trial gets."""

from __future__ import annotations

from typing import Any

import pytest

from metasearch.core.config import Config
from metasearch.core.event import Failed, Proposed, Reported, TrialId
from metasearch.core.history import OUT_OF_MEMORY, Trial
from metasearch.core.placement import Peaks

GIB = 2.0**30
SMALL = {"model": "lstm", "optimizer": "adamw", "width": 64, "depth": 1, "batch_size": 16, "context": 64, "tied": True}


def trial(number: int = 0, **changes: Any) -> Trial:
    return Trial(Proposed(0.0, TrialId(number), Config({**SMALL, **changes}), 0))


def measured(gib: float, **changes: Any) -> Peaks:
    peaks = Peaks()
    fact = Reported(1.0, TrialId(0), 0, 1, 3.0, metrics={"peak_memory": gib * GIB, "gpu_memory": 80 * GIB})
    peaks.update(trial(**changes).config, fact)
    return peaks


def test_a_model_that_was_never_measured_gets_a_whole_gpu() -> None:
    assert Peaks().share(trial()) == 1.0
    assert measured(1.0).share(trial(model="transformer")) == 1.0


@pytest.mark.parametrize(("gib", "share"), [(1.0, 1 / 8), (8.0, 1 / 6), (15.0, 1 / 4), (20.0, 1 / 3), (30.0, 1 / 2), (40.0, 1.0)])
def test_a_measured_config_gets_the_least_share_that_holds_it_with_a_margin(gib: float, share: float) -> None:
    assert measured(gib).share(trial()) == share


@pytest.mark.parametrize(
    ("changes", "share"),
    [({"batch_size": 32}, 1 / 6), ({"width": 128}, 1 / 3), ({"optimizer": "sgd"}, 1 / 6), ({"width": 32, "depth": 2}, 1 / 6)],
)
def test_an_unseen_config_gets_what_it_may_need_at_most(changes: dict[str, Any], share: float) -> None:
    assert measured(5.0).share(trial(**changes)) == share


def test_of_all_bounds_the_least_counts() -> None:
    peaks = measured(1.0)
    fact = Reported(1.0, TrialId(1), 0, 1, 3.0, metrics={"peak_memory": 6 * GIB, "gpu_memory": 80 * GIB})
    peaks.update(trial(1, width=512).config, fact)
    assert peaks.share(trial(2, width=256)) == 1 / 8, "16 GiB by the narrow one, at most 6 by the wide one"


def test_who_ran_out_of_memory_gets_a_whole_gpu_and_the_others_more_room() -> None:
    peaks = measured(7.0)
    assert peaks.share(trial(1)) == 1 / 8
    peaks.update(trial(1).config, Failed(2.0, TrialId(1), 0, f"{OUT_OF_MEMORY}: CUDA out of memory"))
    assert peaks.share(trial(1)) == 1.0
    assert peaks.share(trial(2)) == 1 / 6


def test_what_a_trial_needs_on_a_cpu_says_nothing_about_gpus() -> None:
    peaks = Peaks()
    peaks.update(trial().config, Reported(1.0, TrialId(0), 0, 1, 3.0, metrics={"peak_memory": GIB}))
    assert peaks.share(trial()) == 1.0
