"""Two sweeps side by side."""

from __future__ import annotations

import math

import pytest

from metasearch.core.errors import UserError
from metasearch.report.comparison import compare
from metasearch.store import Store
from tests.store.test_ranking import CODE, TEXT, store_of, sweep_of

QUICK = sweep_of("quick", TEXT, ("lstm", 0, [3.0, 2.0]), ("lstm", 1, [3.1, 2.1]))
SLOW = sweep_of("slow", TEXT, ("gru", 0, [4.0, 3.5]), ("gru", 1, [3.4, 3.0]), ("rnn", 0, [9.0, 1.0, math.nan]), ("rnn", 1, [2.0]))


@pytest.fixture(scope="module")
def store() -> Store:
    return store_of(quick=QUICK, slow=SLOW, other=sweep_of("other", CODE, ("gru", 0, [1.0])))


def test_both_are_seen_after_equal_steps(store: Store) -> None:
    found = compare(store, "quick", "slow")
    by_steps = [(row["steps"], row["quick"], row["slow"]) for row in found.budgets if "steps" in row]
    assert by_steps == [(5, None, None), (10, 3.0, 4.0), (20, 2.0, 3.5), (40, 2.0, 3.0)]
    assert [sweep["steps"] for sweep in found.sweeps] == [40, 80]


def test_a_trial_that_diverges_later_never_counts(store: Store) -> None:
    assert compare(store, "quick", "slow").sweeps[1]["loss"] == 2.0, "and not 1.0"


def test_what_each_spent_to_be_where_the_other_ended(store: Store) -> None:
    found = compare(store, "slow", "quick")
    assert found.to_reach["quick"] is not None and found.to_reach["quick"]["steps"] == 20
    assert found.to_reach["slow"] is not None and found.to_reach["slow"]["steps"] == 80


def test_the_winners_differ_in_what_is_not_equal(store: Store) -> None:
    assert compare(store, "quick", "slow").differing == {"model": ["lstm", "rnn"]}


def test_a_difference_within_the_noise_is_a_tie() -> None:
    tied = store_of(quick=QUICK, near=sweep_of("near", TEXT, ("gru", 0, [3.0, 1.9])))
    far = store_of(quick=QUICK, far=sweep_of("far", TEXT, ("gru", 0, [3.0, -9.0])))
    unknown = store_of(one=sweep_of("one", TEXT, ("gru", 0, [2.0])), two=sweep_of("two", TEXT, ("rnn", 0, [1.0])))
    assert (compare(tied, "quick", "near").better, compare(tied, "quick", "near").tied) == ("near", True)
    assert compare(far, "quick", "far").tied is False
    assert (compare(unknown, "one", "two").better, compare(unknown, "one", "two").tied) == ("two", None)


def test_sweeps_of_different_tasks_are_not_compared(store: Store) -> None:
    with pytest.raises(UserError, match=r"quick is a sweep of the task text .*, other one of code"):
        compare(store, "quick", "other")
    with pytest.raises(UserError, match="found quick twice"):
        compare(store, "quick", "quick")
    with pytest.raises(UserError, match='Did you mean "quick"'):
        compare(store, "quik", "slow")
