"""The challenger ``in-context`` of the meta-selector's surrogate: loading, learning, deciding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.errors import UserError
from metasearch.core.history import History
from metasearch.core.rng import derive
from metasearch.meta.selector import HISTORY, belief_on_ends
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves
from metasearch.testing.spaces import CONDITIONAL
from tests.meta.archives import bowls

PEERS = Path(__file__).parents[2] / "experiments" / "peers"


@pytest.fixture(scope="module", autouse=True)
def peers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METASEARCH_PLUGINS", str(PEERS))
        yield


@pytest.fixture(scope="module")
def network() -> Any:
    return catalog.load("meta", "in_context_network")


@pytest.fixture
def prior() -> Any:
    return catalog.load("meta", "in_context_prior")


@pytest.fixture(scope="module")
def plug_in() -> Any:
    return catalog.load("meta", "in_context")


@pytest.fixture
def weights(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = untrained(network, tmp_path)
    monkeypatch.setenv("METASEARCH_IN_CONTEXT", str(path))
    return path


@pytest.fixture(scope="module")
def theta(network: Any, plug_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two tasks taught a network that nobody had pre-trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METASEARCH_IN_CONTEXT", str(untrained(network, tmp_path_factory.mktemp("in_context"))))
        return learned(plug_in, bowls(CONDITIONAL, tasks=2))


def untrained(network: Any, folder: Path) -> Path:
    torch.manual_seed(0)
    save_file(network.InContext().state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def learned(plug_in: Any, archive: Archive) -> Any:
    return plug_in.META.learn(plug_in.META.init(derive(0, "i")), archive, derive(0, "l"))


def test_it_is_known_by_its_name(plug_in: Any) -> None:
    assert "in-context" in catalog.metas() and catalog.load_meta("in-context") is plug_in.META


def test_weights_that_are_not_there_are_named_with_the_command_that_makes_them(
    plug_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METASEARCH_IN_CONTEXT", str(tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match=r"none\.safetensors is not there.*experiments/studies/in_context\.py"):
        learned(plug_in, bowls(CONDITIONAL))


def test_weights_of_another_network_are_refused(plug_in: Any, weights: Path) -> None:
    save_file({"other": torch.zeros(2)}, weights)
    with pytest.raises(UserError, match="does not hold weights of the in-context surrogate"):
        learned(plug_in, bowls(CONDITIONAL))


def test_a_sweep_with_history_gets_a_belief_on_every_trial_from_the_network(plug_in: Any, theta: Any) -> None:
    selector = plug_in.META.build(theta)
    history = History.fold(run_sweep(make_sweep(CONDITIONAL, trials=5), selector, selector, BowlCurves(), 2))
    assert any(trial.origin == HISTORY for trial in history)
    belief, _, scale, noise = belief_on_ends(selector, history, [CONDITIONAL.default()])
    assert len(belief.mean) == len(belief.deviation) == sum(bool(trial.steps) for trial in history) + 1
    assert (np.abs(belief.mean) <= 1.5).all() and (belief.deviation > 0).all() and scale > 0 and noise == 0


def test_an_empty_archive_leaves_the_arm_without_history_only(plug_in: Any, weights: Path) -> None:
    selector = plug_in.META.build(learned(plug_in, Archive()))
    history = History.fold(run_sweep(make_sweep(CONDITIONAL, trials=4), selector, selector, BowlCurves(), 1))
    assert len(history) == 4 and not any(trial.origin == HISTORY for trial in history)


def test_training_on_an_archive_lowers_the_loss_on_it(network: Any, plug_in: Any, theta: Any, tmp_path: Path) -> None:
    rows, fresh = theta.base.rows(theta.base.layout), plug_in.load_weights(untrained(network, tmp_path))
    asked, ends = plug_in.episodes(theta.base.layout, rows, derive(0, "episodes"), torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (network.negative_log_density(model(asked), ends).mean() for model in (fresh, theta.model))
    assert after < before - 0.05


def test_the_order_of_trials_and_what_else_is_asked_change_no_belief(network: Any, prior: Any) -> None:
    torch.manual_seed(0)
    model, (asked, ends) = network.InContext().eval(), prior.drawn(torch.Generator().manual_seed(1), 2)
    known, every = asked.z.shape[1], asked.own.shape[1]
    order = torch.cat([torch.randperm(known), torch.arange(known, every - 3)])
    fewer = {name: getattr(asked, name)[:, order] for name in ("points", "descriptors", "own", "tasks")}
    results = {name: getattr(asked, name)[:, order[:known]] for name in ("z", "variance")}
    with torch.no_grad():
        one, other = model(asked)[:, :-3], model(replace(asked, **fewer, **results))
    assert ends.shape[1] == every - known
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_results_of_synthetic_searches_lie_on_the_scale_of_a_task(network: Any, prior: Any) -> None:
    random = torch.Generator().manual_seed(2)
    ends = torch.cat([prior.drawn(random, 4)[1].flatten() for _ in range(20)])
    assert ends.min() >= network.LOWEST and ends.max() <= network.HIGHEST
    assert abs(ends.median()) < 0.3 and (ends > 0.7).float().mean() > 0.02 and (ends < -0.7).float().mean() > 0.02
