"""The sweeps of one store into another."""

from __future__ import annotations

from dataclasses import dataclass, field

from metasearch.core.errors import UserError
from metasearch.core.event import Adopted, Fact
from metasearch.store.archive import Store


@dataclass(frozen=True)
class Merged:
    """``copied``: new sweeps. ``known``: those that were there already, fact for fact."""

    copied: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


def merge(source: Store, target: Store) -> Merged:
    """Copies every sweep of ``source`` with its checkpoints and the thetas it used. Each appears in ``target`` whole or not at all,
    and whoever was interrupted may begin again.

    Raises UserError, with nothing written, if a sweep of that name is there with other facts, or if one is running.
    """
    if source.url == target.url:
        raise UserError(f"A store cannot be merged into itself: {source.url}.")
    merged, faults = Merged(), []
    there = set(target.sweeps())
    for sweep in source.sweeps():
        if source.is_running(sweep):
            faults.append(f"{sweep} is running: wait until it ends, or `metasearch stop {sweep}`")
        elif sweep not in there:
            merged.copied.append(sweep)
        elif _same(source, target, sweep):
            merged.known.append(sweep)
        else:
            faults.append(f"{sweep} is there already, with other facts")
    if faults:
        raise UserError(f"The store {source.url} cannot be merged into {target.url}. Nothing was written.", faults)
    if not merged.copied and not merged.known:
        raise UserError(f"There are no sweeps at {source.url}.")
    for sweep in merged.copied:
        _copy(source, target, sweep)
    return merged


def _same(source: Store, target: Store, sweep: str) -> bool:
    """Facts hold NaN, which equals nothing; their spelling does."""
    return [repr(fact) for fact in source.facts(sweep)] == [repr(fact) for fact in target.facts(sweep)]


def _copy(source: Store, target: Store, sweep: str) -> None:
    """The log last, in one append: it is what makes a folder a sweep."""
    facts = list(source.facts(sweep))
    _copy_thetas(source, target, facts)
    with target.open_log(sweep) as log:
        for trial in source.files.names(f"sweeps/{sweep}/trials"):
            for name in source.files.names(f"sweeps/{sweep}/trials/{trial}"):
                content = None if name.startswith(".") else source.get_checkpoint(sweep, int(trial), name)
                if content is not None:
                    target.put_checkpoint(sweep, int(trial), name, content)
        log.append(facts)


def _copy_thetas(source: Store, target: Store, facts: list[Fact]) -> None:
    used = {fact.digest for fact in facts if isinstance(fact, Adopted)} - {card.digest for card in target.theta_cards()}
    for card in source.theta_cards():
        if card.digest in used:
            target.put_theta(source.get_theta(card.digest), card)
