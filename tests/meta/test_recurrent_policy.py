"""The challenger of the meta-optimizer: what the policy hears and answers, and how it is trained."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from tests.meta.test_optimizer import config, plan, ran

STUDIES = Path(__file__).parents[2] / "experiments" / "studies"


@pytest.fixture
def recurrent(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    import recurrent

    return recurrent


def scales(recurrent: ModuleType, point_P: np.ndarray) -> list[float]:
    """What a policy does to one trial."""
    history, _ = ran(config(1e-2), recurrent.Policy(point_P, plan), trials=1)
    told = [verdict.directive for verdict in history[0].directed.values()]
    return [directive.lr_scale for directive in told if directive is not None and directive.lr_scale is not None]


def test_a_fresh_policy_changes_nothing(recurrent: ModuleType) -> None:
    assert scales(recurrent, recurrent.first_point(derive(0, "policy"))) == []


def test_an_eager_policy_stays_within_its_bounds(recurrent: ModuleType) -> None:
    point_P = recurrent.first_point(derive(0, "policy"))
    point_P[-1] = -9.0
    told = scales(recurrent, point_P)
    assert told[0] == pytest.approx(0.1) and math.prod(told) == pytest.approx(1 / recurrent.FARTHEST_LEAP)


def test_the_policy_hears_all_earlier_reports(recurrent: ModuleType) -> None:
    rng = derive(1, "policy")
    point_P, heard_NF = rng.standard_normal(recurrent.P), rng.standard_normal((5, recurrent.F))
    changed_NF = heard_NF.copy()
    changed_NF[0] += 1.0
    assert recurrent.answer(point_P, heard_NF) != recurrent.answer(point_P, changed_NF)
    assert abs(recurrent.answer(point_P, heard_NF)) <= recurrent.MOST


def test_parameters_of_another_policy_are_refused(recurrent: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        recurrent.trained(tmp_path / "none.safetensors")
    save_file({"point": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"expected \d+ numbers"):
        recurrent.trained(tmp_path / "other.safetensors")


def test_evolution_goes_downhill_and_on_from_its_file(
    recurrent: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import recurrent_policy

    goal_P = recurrent.first_point(derive(0, "policy")) + 0.3
    monkeypatch.setattr(recurrent_policy, "log_loss", lambda point_P, number: float(((point_P - goal_P) ** 2).sum()) / 100.0)
    straight = recurrent_policy.Evolution(tmp_path / "straight.safetensors")
    losses = [straight.step() for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]
    for steps in (10, 20):
        paused = recurrent_policy.Evolution(tmp_path / "paused.safetensors")
        for _ in range(steps):
            paused.step()
        paused.save()
    assert recurrent.trained(tmp_path / "paused.safetensors") == pytest.approx(straight.point_P)
