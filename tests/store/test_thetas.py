"""Thetas in a store: named by their content, read back as they were, and refused when they are damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.meta.selector import META
from metasearch.meta.theta import Theta
from metasearch.store import Store
from metasearch.store.thetas import Card, KeptTheta
from metasearch.testing.spaces import CONDITIONAL
from tests.meta.archives import bowls

THETA = KeptTheta(
    "selector", {"z": np.arange(3.0), "none": np.zeros((0, 2)), "one": np.array(1.5)}, {"b": [1, 2.5], "a": {"x": None}}
)
CARD = Card("selector", {"one": {"trials": 3, "steps": 90}}, tasks=1, trials=3, time=10.0, seconds=0.5, version="1.0")


def test_a_theta_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put_theta(THETA, CARD)
    found = store.get_theta(digest)
    assert (found.part, found.plain) == (THETA.part, THETA.plain)
    assert found.arrays.keys() == THETA.arrays.keys()
    for name, array in THETA.arrays.items():
        assert found.arrays[name].dtype == array.dtype and np.array_equal(found.arrays[name], array)
    assert store.theta_cards() == [replace(CARD, digest=digest)]


@pytest.mark.parametrize("tasks", [0, 2])
def test_what_the_selector_learned_survives_the_store(tmp_path: Path, tasks: int) -> None:
    theta = META.learn(Theta(), bowls(CONDITIONAL, tasks), derive(0, "learn"))
    kept = KeptTheta("selector", *theta.pack())
    found = Store(tmp_path).get_theta(Store(tmp_path).put_theta(kept, CARD))
    again = Theta.unpack(found.arrays, found.plain)
    assert KeptTheta("selector", *again.pack()).digest == kept.digest
    assert (again.tasks, again.trials, again.best) == (theta.tasks, theta.trials, theta.best)


def test_the_same_content_has_the_same_digest_and_keeps_its_first_card(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.put_theta(THETA, CARD)
    same = KeptTheta("selector", dict(reversed(THETA.arrays.items())), dict(reversed(THETA.plain.items())))
    assert store.put_theta(same, replace(CARD, time=99.0)) == first
    assert [card.time for card in store.theta_cards()] == [10.0]


@pytest.mark.parametrize(
    "other",
    [
        replace(THETA, part="optimizer"),
        replace(THETA, plain={**THETA.plain, "b": [1, 2]}),
        replace(THETA, arrays={**THETA.arrays, "z": np.arange(3.0) + 1e-12}),
        replace(THETA, arrays={**THETA.arrays, "z": np.arange(3.0)[:, None]}),
    ],
)
def test_any_difference_is_another_digest(other: KeptTheta) -> None:
    assert other.digest != THETA.digest


def test_cards_come_newest_first_and_by_part(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for k, part in enumerate(("selector", "optimizer", "selector")):
        store.put_theta(KeptTheta(part, {"k": np.array([k])}, {}), replace(CARD, part=part, time=float(k)))
    assert [card.time for card in store.theta_cards()] == [2.0, 1.0, 0.0]
    assert [card.time for card in store.theta_cards("selector")] == [2.0, 0.0]
    assert Store(tmp_path / "none").theta_cards() == []


def test_a_card_can_be_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_theta(THETA, CARD)
    (card,) = store.theta_cards()
    store.put_card(replace(card, held_out={"regret": 0.1}))
    assert store.theta_cards() == [replace(card, held_out={"regret": 0.1})]


@pytest.mark.parametrize("harm", ["cut", "changed", "emptied"])
def test_a_damaged_theta_is_one_message_with_the_remedy(tmp_path: Path, harm: str) -> None:
    store = Store(tmp_path)
    digest = store.put_theta(THETA, CARD)
    path = tmp_path / "thetas" / f"{digest}.safetensors"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-3], "changed": content[:-1] + b"\x01", "emptied": b""}[harm])
    with pytest.raises(UserError, match=r"is damaged.*Delete that file.*metasearch meta learn --store"):
        store.get_theta(digest)


def test_a_theta_that_is_not_there_is_one_message_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no theta 0{32} in the store.*metasearch meta learn --store"):
        Store(tmp_path).get_theta("0" * 32)
    with pytest.raises(UserError, match="32 hexadecimal digits"):
        Store(tmp_path).get_theta("../secret")


def test_a_damaged_card_is_one_message_with_the_remedy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put_theta(THETA, CARD)
    (tmp_path / "thetas" / f"{digest}.json").write_text("{")
    with pytest.raises(UserError, match=r"json in the store.*is damaged. Delete that file"):
        store.theta_cards()
