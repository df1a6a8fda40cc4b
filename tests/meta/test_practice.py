"""What practice knows before any result: whom it doubts, what that is worth, and that results outvote it."""

from __future__ import annotations

import numpy as np
import pytest

from metasearch.core.archive import Archive
from metasearch.core.config import Value
from metasearch.core.domains import Choice, Float
from metasearch.core.engine import Engine
from metasearch.core.history import History, Trial
from metasearch.core.protocols import MemoryLog, Progress
from metasearch.core.rng import derive
from metasearch.core.space import Space
from metasearch.meta._guard import GUARD
from metasearch.meta.features import layout_of
from metasearch.meta.practice import doubts
from metasearch.meta.selector import META, Selector
from metasearch.testing.contract import make_sweep, run_sweep
from tests.meta.archives import drawn_task

SELECTOR: Selector = META.build(META.init(np.random.default_rng(0)))
WIDE = Space.of(
    learning_rate=Float(1e-8, 10.0, log=True),
    l2=Float(1e-8, 10.0, log=True),
    epsilon=Float(1e-10, 1e3, log=True),
    beta1=Float(0.0, 0.9999, complement=True),
)
USUAL = {"learning_rate": 1e-3, "l2": 1e-6, "epsilon": 1e-8, "beta1": 0.9}


def doubt(space: Space, **values: Value) -> float:
    return float(doubts([space.encode(space.complete(values))], layout_of((), space))[0])


def test_usual_values_are_not_doubted_and_each_unusual_one_is() -> None:
    assert doubt(WIDE, **USUAL) == 0.0
    for name, value in {"learning_rate": 1.0, "l2": 1.0, "epsilon": 100.0, "beta1": 0.9999}.items():
        assert doubt(WIDE, **{**USUAL, name: value}) > 0.2, name
    assert doubt(WIDE, **{**USUAL, "learning_rate": 1e-7}) > 0.5
    assert doubt(WIDE, learning_rate=9.0, l2=9.0, epsilon=900.0, beta1=0.99) < 1.0


@pytest.mark.parametrize(("optimizer", "usual", "unusual"), [("adam", 1e-3, 1.0), ("SGD", 0.1, 1e-5), ("lion", 1e-4, 0.1)])
def test_the_usual_learning_rate_is_that_of_the_optimizer(optimizer: str, usual: float, unusual: float) -> None:
    space = Space.of(optimizer=Choice(("adam", "SGD", "lion")), lr=Float(1e-6, 10.0, log=True))
    assert doubt(space, optimizer=optimizer, lr=usual) < 0.01 < 0.3 < doubt(space, optimizer=optimizer, lr=unusual)


def test_a_narrow_range_and_unknown_parameters_leave_practice_nothing_to_say() -> None:
    assert doubt(Space.of(lr=Float(1.0, 10.0, log=True)), lr=10.0) == 0.0
    assert doubt(Space.of(patience=Float(0.0, 100.0)), patience=100.0) == 0.0


def test_where_earlier_sweeps_searched_does_not_move_what_is_usual_here() -> None:
    low = Space.of(learning_rate=Float(1e-8, 1e-5, log=True), beta1=Float(0.0, 0.9999, complement=True))
    past = Archive(tuple(drawn_task(f"low {k}", low, lambda config: -float(np.log10(config["learning_rate"]))) for k in range(3)))
    selector = META.build(META.learn(META.init(derive(0, "i")), past, derive(0, "l")))
    sweep = make_sweep(WIDE, trials=24)
    history = History.fold(run_sweep(sweep, selector, selector, Falling(1e-3), workers=1))
    rates = [trial.config["learning_rate"] for trial in history if trial.origin == GUARD]
    assert rates and np.median(np.abs(np.log10(rates) + 3.0)) < 1.5


class Falling:
    """The loss depends on the learning rate alone: lowest at ``best``, by one for each decade that it is off."""

    def __init__(self, best: float) -> None:
        self.best = best

    def advance(self, history: History, trial: Trial) -> Progress:
        step = trial.step + history.sweep.horizon // history.sweep.reports
        off = abs(np.log10(float(trial.config["learning_rate"])) - np.log10(self.best))
        return Progress(step, 2.0 + off + 3.0 / (1.0 + step), float(step), {})


def lowest(best: float, trials: int, seed: int) -> float:
    """Over that of the optimum."""
    history = History.fold(run_sweep(make_sweep(WIDE, trials=trials).amended(seed=seed), SELECTOR, SELECTOR, Falling(best), 1))
    return min(trial.best_loss for trial in history) - 2.0


def test_the_first_trials_of_an_empty_store_are_usual_ones() -> None:
    random = np.mean([abs(np.log10(WIDE.sample(np.random.default_rng(k))["learning_rate"]) + 3.0) for k in range(200)])
    opened = []
    for seed in range(5):
        sweep = make_sweep(WIDE, trials=6).amended(seed=seed)
        history = History.fold(run_sweep(sweep, SELECTOR, SELECTOR, Falling(1e-3), 1))
        opened += [abs(np.log10(float(trial.config["learning_rate"])) + 3.0) for trial in list(history)[1:]]
    assert np.mean(opened) < 0.5 * random


@pytest.mark.parametrize(("name", "why"), [("learning_rate", "drawn as practice suggests"), ("alpha", "drawn at random")])
def test_the_reason_names_practice_only_where_it_has_a_say(name: str, why: str) -> None:
    space = Space.of(**{name: Float(1e-8, 10.0, log=True)})
    first, second = (SELECTOR.propose(history, derive(0, "p")) for history in unreported(space, 2))
    assert first is not None and first.reason == "defaults"
    assert second is not None and second.reason == why


def unreported(space: Space, trials: int) -> list[History]:
    """Sweeps of none, one … trials that have not reported."""
    histories = []
    for count in range(trials):
        engine = Engine.open(make_sweep(space, trials=trials), SELECTOR, SELECTOR, MemoryLog(), 0.0)
        for _ in range(count):
            engine.ask(0.0)
        histories.append(engine.history)
    return histories


def test_results_outvote_practice() -> None:
    """The best learning rate is a thousand times less than anybody would use."""
    assert np.mean([lowest(1e-6, 40, seed) for seed in range(4)]) < 0.3
