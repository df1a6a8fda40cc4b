"""Structures are ranked by what trials showed, for the text and the length of training in question."""

from __future__ import annotations

import math

import pytest

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.domains import Boolean, Choice, Float, Int
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.meta.structures import Ranked, ranked
from metasearch.meta.theta import Theta, learn

SPACE = (
    Space.of(model=Choice(("lstm", "transformer")), lr=Float(1e-4, 1e-1, log=True))
    | Space.of(depth=Int(1, 2), width=Int(32, 512, log=True), tied=Boolean()).when(model="lstm")
    | Space.of(depth=Int(1, 4), width=Int(32, 512, log=True), tied=Boolean()).when(model="transformer")
)
SHORT, LONG = 10_000, 1_000_000
TRIED = {"lstm": (32, 256), "transformer": (32, 128)}


def loss_of(config: Config, horizon: int) -> float:
    """Wide models and Transformers pay off in a long training, narrow LSTMs in a short one; the learning rate always counts."""
    long = math.log10(horizon / math.sqrt(SHORT * LONG))
    wide = math.log2(float(config["width"]) / 90)
    kind = 1.0 if config["model"] == "transformer" else -1.0
    return 3.0 - 0.3 * long * (wide / 1.5 + kind) + 0.5 * math.log10(float(config["lr"]) / 1e-2) ** 2


def past(horizon: int, text: float, seed: int) -> PastTask:
    rng = derive(seed, "past", horizon)
    trials = []
    while len(trials) < 24:
        config = SPACE.sample(rng)
        low, high = TRIED[str(config["model"])]
        if low <= float(config["width"]) <= high and float(config["depth"]) <= 2:
            loss = loss_of(config, horizon)
            trials.append(PastTrial(config, SPACE.encode(config), (1, horizon), (loss + 2, loss), (0.1, 1.0)))
    descriptor = {"entropy": text, "compression": text / 2}
    return PastTask(f"t{seed}", f"t{seed}", horizon, tuple(trials), frozenset(SPACE.names), descriptor)


ARCHIVE = Archive(tuple(past(horizon, 4.0 + 0.3 * seed, seed) for seed in range(3) for horizon in (SHORT, LONG)))


@pytest.fixture(scope="module")
def theta() -> Theta:
    return learn(ARCHIVE, derive(0, "learn"))


def ranking(theta: Theta, horizon: int) -> list[Ranked]:
    return ranked(theta, ARCHIVE, SPACE, {"entropy": 4.4, "compression": 2.2}, horizon)


def first(theta: Theta, horizon: int) -> Ranked:
    return ranking(theta, horizon)[0]


def test_the_length_of_training_decides_what_is_recommended(theta: Theta) -> None:
    short, long = first(theta, SHORT), first(theta, LONG)
    assert (short.model, short.width) == ("lstm", 32)
    assert (long.model, long.width) == ("transformer", 128)
    for one, horizon in ((short, SHORT), (long, LONG)):
        assert not SPACE.check(one.config) and 1e-3 < float(one.config["lr"]) < 1e-1
        assert loss_of(one.config, horizon) < 3.0 and one.deviation > 0


def test_what_no_trial_tried_is_not_recommended(theta: Theta) -> None:
    found = ranking(theta, LONG)
    assert {(one.model, one.width) for one in found} == {
        *(("lstm", width) for width in (32, 64, 128, 256)),
        *(("transformer", width) for width in (32, 64, 128)),
    }
    assert {one.depth for one in found} == {1, 2} and {one.tied for one in found} == {True, False}
    assert min(one.cost for one in found) == 1.0
    assert found == ranking(theta, LONG)


def test_a_recommended_strategy_was_good_with_that_model_in_trials_as_long(theta: Theta) -> None:
    for horizon in (SHORT, LONG // 3, LONG):
        tried = [t for task in ARCHIVE if abs(math.log10(task.horizon / horizon)) < 1 for t in task.trials]
        for one in ranking(theta, horizon):
            lowest = sorted((t for t in tried if t.config["model"] == one.model), key=lambda trial: trial.lowest)
            assert one.config["lr"] in {trial.config["lr"] for trial in lowest[: len(lowest) // 2]}


def test_nothing_is_ranked_by_nothing() -> None:
    assert ranked(Theta(), Archive(), SPACE, {}, LONG) == []
