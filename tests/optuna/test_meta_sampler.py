"""The meta-selector in Optuna's studies: Optuna's own contract of samplers, and what the past and curves are worth there."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import TrialState, create_trial

from metasearch.core.domains import Choice, Float
from metasearch.core.errors import UserError
from metasearch.optuna import MetaPruner, MetaSampler, space_of
from metasearch.store.archive import Store
from metasearch.store.imports.source import import_results


class TestTheContractOfOptuna(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """Everything that Optuna asks of its own samplers, but for one test of 36 pairs of what others test alone."""

    test_combination_of_different_distributions_objective = None

    @pytest.fixture()
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: MetaSampler(seed=0)


def curve(trial: optuna.Trial, best: float = -3.0) -> float:
    """A learning rate and a width, with a curve that falls to its end."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    width = trial.suggest_int("width", 16, 256, log=True)
    end = (math.log10(lr) - best) ** 2 + 0.1 * (math.log2(width) - 6) ** 2
    for step in range(8):
        trial.report(end + 2 * 0.5**step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return end + 2 * 0.5**7


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three studies on neighbouring tasks, imported."""
    folder = tmp_path_factory.mktemp("past")
    storage = JournalStorage(JournalFileBackend(str(folder / "past.log")))
    for number in range(3):
        study = optuna.create_study(storage=storage, study_name=f"task{number}", sampler=RandomSampler(seed=number))
        study.optimize(lambda trial, best=-3.0 - 0.1 * number: curve(trial, best), n_trials=20)
    store = Store(folder / "store")
    import_results(str(folder / "past.log"), store)
    return store


def best_after(trials: int, sampler: BaseSampler, pruner: Any = None) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, pruner=pruner or optuna.pruners.NopPruner())
    study.optimize(lambda trial: curve(trial, -3.1), n_trials=trials)
    return study


def test_with_a_past_the_third_trial_is_better_than_the_tenth_at_random(past: Store) -> None:
    seeds = range(3)
    ours = [best_after(3, MetaSampler(past, seed=seed)).best_value for seed in seeds]
    random = [best_after(10, RandomSampler(seed=seed)).best_value for seed in seeds]
    assert statistics.median(ours) < statistics.median(random)


def test_the_pruner_saves_steps_and_keeps_the_winner(past: Store) -> None:
    whole = best_after(25, RandomSampler(seed=3))
    judging = MetaSampler(past)
    pruned = best_after(25, RandomSampler(seed=3), MetaPruner(judging))
    assert pruned.best_value == whole.best_value
    steps = sum(len(trial.intermediate_values) for trial in pruned.trials)
    assert steps < 0.8 * 25 * 8
    assert all(trial.state is TrialState.COMPLETE for trial in pruned.trials[:5])


def test_the_same_study_gets_the_same_trial_whoever_asks(past: Store) -> None:
    one, other = (best_after(4, MetaSampler(past, seed=1)) for _ in range(2))
    assert [trial.params for trial in one.trials] == [trial.params for trial in other.trials]
    assert {trial.system_attrs["metasearch:origin"] for trial in one.trials} <= {"history", "plain", "guard"}


def test_a_condition_is_inferred_from_what_trials_asked_for() -> None:
    def trial(**params: Any) -> optuna.trial.FrozenTrial:
        kinds: dict[str, Any] = {"kind": CategoricalDistribution(("a", "b", "c")), "x": FloatDistribution(0, 1)}
        return create_trial(value=0.0, params=params, distributions={name: kinds[name] for name in params})

    domains = {"x": Float(0.0, 1.0), "kind": Choice(("a", "b", "c"))}
    space = space_of(domains, [trial(kind="a", x=0.5), trial(kind="b")])
    assert [(p.name, dict(p.when)) for p in space] == [("kind", {}), ("x", {"kind": ("a", "c")})]
    unexplained = space_of(domains, [trial(kind="a", x=0.5), trial(kind="a")])
    assert all(not p.when for p in unexplained)


def test_a_conditional_objective_is_searched_in_both_branches() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("optimizer", ["adam", "sgd", None]) == "sgd":
            return 1 + abs(trial.suggest_float("momentum", 0, 1) - 0.9)
        return trial.suggest_float("beta", 0, 1) + 0.5

    study = optuna.create_study(sampler=MetaSampler(seed=2))
    study.optimize(objective, n_trials=15)
    assert study.best_value < 0.7
    assert {trial.params["optimizer"] for trial in study.trials} == {"adam", "sgd", None}


def test_a_maximised_study_goes_up() -> None:
    study = optuna.create_study(direction="maximize", sampler=MetaSampler(seed=0))
    study.optimize(lambda trial: -((trial.suggest_float("x", -5, 5) - 2) ** 2), n_trials=20)
    assert study.best_value > -0.3


def test_a_trial_whose_loss_is_not_finite_is_pruned_and_the_pruner_knows_its_limits() -> None:
    sampler = MetaSampler()
    pruner = MetaPruner(sampler, startup_trials=0)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    assert not trial.should_prune()
    trial.report(math.inf, 0)
    assert trial.should_prune()
    with pytest.raises(UserError, match="least_chance must be from 0 up to, but not, 1, found 1"):
        MetaPruner(sampler, least_chance=1)


def test_a_path_works_as_a_store_and_one_that_is_not_there_is_an_empty_past(tmp_path: Path) -> None:
    assert best_after(2, MetaSampler(str(tmp_path / "none"))).best_value > 0
    assert not (tmp_path / "none").exists()
