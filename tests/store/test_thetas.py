"""Thetas in a store: named by their content, read back as they were, and refused when they are damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Adopted, Closed
from metasearch.core.rng import derive
from metasearch.meta.selector import META
from metasearch.meta.theta import Theta
from metasearch.store import Store
from metasearch.store.thetas import KEPT, KEPT_SECONDS, Card, KeptTheta
from metasearch.sweep.learned import forget
from metasearch.testing.spaces import CONDITIONAL
from tests.meta.archives import bowls
from tests.store.test_past import facts_of
from tests.store.test_views import write

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


def test_the_same_content_has_the_same_digest_and_gets_the_newest_card_with_its_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.put_theta(THETA, replace(CARD, held_out={"regret": 0.1}))
    same = KeptTheta("selector", dict(reversed(THETA.arrays.items())), dict(reversed(THETA.plain.items())))
    assert store.put_theta(same, replace(CARD, time=99.0)) == first
    assert store.theta_cards() == [replace(CARD, time=99.0, held_out={"regret": 0.1}, digest=first)]


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


def test_a_card_of_before_there_were_formats_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put_theta(THETA, replace(CARD, format=3))
    path = tmp_path / "thetas" / f"{digest}.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "format"}))
    assert store.theta_cards() == [replace(CARD, digest=digest)]


def many(store: Store, count: int = KEPT + 4, part: str = "selector") -> list[str]:
    """Digests of thetas that were learned on one day after another, oldest first."""
    kept = (KeptTheta(part, {"k": np.array([k])}, {}) for k in range(count))
    return [store.put_theta(theta, replace(CARD, part=part, time=k * KEPT_SECONDS)) for k, theta in enumerate(kept)]


def left(store: Store) -> set[str]:
    """Digests by the names of files, whatever cards say."""
    return {name.partition(".")[0] for name in store.files.names("thetas")}


def adopts(store: Store, name: str, digest: str) -> None:
    """A sweep that has begun, and has only just said what it adopted."""
    write(store, name, [*facts_of(name)[:1], Adopted(1.0, "selector", digest), *facts_of(name)[1:3]])


def test_old_thetas_that_no_log_names_are_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digests, others = many(store), many(store, count=3, part="optimizer")
    adopts(store, "begun", digests[1])
    write(store, "plain", facts_of("plain"))
    dropped = [digest for digest in digests[:4] if digest != digests[1]]
    assert set(forget(store, 1e9)) == set(dropped)
    assert left(store) == {*digests, *others} - {*dropped}
    assert forget(store, 1e9) == []


def test_thetas_that_a_sweep_may_just_have_chosen_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digests = many(store)
    assert forget(store, 1.5 * KEPT_SECONDS) == [digests[0]], "the second is half a day old"
    assert store.put_theta(KeptTheta("selector", {"k": np.array([1])}, {}), replace(CARD, time=1e9)) == digests[1]
    assert digests[1] not in forget(store, 1e9), "learned again a moment ago"


def test_logs_are_read_only_if_something_may_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    many(store, count=KEPT)
    monkeypatch.setattr(Store, "facts", lambda *_: pytest.fail("a log was read"))
    adopts(store, "begun", "0" * 32)
    assert forget(store, 1e9) == []


def test_nothing_is_deleted_while_a_log_cannot_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digests = many(store)
    adopts(store, "begun", digests[0])
    adopts(store, "damaged", digests[1])
    with store.open_log("damaged") as log:
        log.append([Closed(9.0, "so that the damage is not at the end")])
    first = min((tmp_path / "sweeps" / "damaged" / "log").iterdir())
    first.write_bytes(first.read_bytes()[:-5])
    assert forget(store, 1e9) == []
    assert left(store) == set(digests)


def test_a_card_that_goes_while_cards_are_read_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    digests = many(store, count=2)
    names = store.files.names("thetas")
    monkeypatch.setattr(store.files, "names", lambda folder: names)
    (tmp_path / "thetas" / f"{digests[0]}.json").unlink()
    assert [card.digest for card in store.theta_cards()] == digests[1:]


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
