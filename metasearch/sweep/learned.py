"""Sweeps whose algorithms learned from earlier sweeps: which theta they get, when one is learned, and how it is kept.

A theta is learned from every other sweep of the store when a sweep begins, kept there by its digest, and adopted by the sweep: a
fact of its log. From then on that digest decides, in every driver and in every audit, whatever is learned later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, cast

from metasearch import catalog
from metasearch.core.archive import Archive
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.event import Adopted, Proposed
from metasearch.core.protocols import Scheduler, Searcher
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.meta import shipped
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable
from metasearch.store.thetas import Card, KeptTheta, prune_thetas
from metasearch.sweep import contestants
from metasearch.sweep.controlled import Controlled
from metasearch.sweep.environment import own_version
from metasearch.training.planned import planned

Say = Callable[[str], None]

FORMATS = {"selector": 5, "optimizer": 5}
"""Raised whenever the same archive would teach a part something else, or in another form, than the metasearch before."""

SELECTOR = "selector"

BOTH = (*catalog.POPULATIONS, *catalog.LEARNED)
"""Searcher and scheduler in one."""


@dataclass(frozen=True)
class Algorithms:
    """The two that decide in a sweep, and who changes its running trials, if anybody does; the scheduler hands on what it says.

    ``digests``: of the thetas they are made of, by learned part.
    """

    searcher: Searcher
    scheduler: Scheduler
    digests: Mapping[str, str]
    controller: Any = None


def faults_of(search: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the algorithms that a sweep asks for."""
    faults = _unpaired(search)
    controller = search.get("controller")
    if controller is not None and controller not in catalog.CONTROLLERS:
        faults.append(f'search.controller: there is no "{controller}".{did_you_mean(str(controller), catalog.CONTROLLERS)}')
    if learned_by(search) is not None:
        return faults
    for build, noun in ((catalog.build_searcher, "searcher"), (catalog.build_scheduler, "scheduler")):
        if catalog.name_of(search[noun]) not in catalog.LEARNED:
            try:
                build(search[noun])
            except UserError as error:
                faults += error.faults or [error.message]
    return faults


def learned_by(search: Mapping[str, Any]) -> str | None:
    """The learned algorithm that a sweep asks for in both places, or None."""
    name = catalog.name_of(search.get("searcher", ""))
    return name if name in catalog.LEARNED and search["searcher"] == search["scheduler"] else None


def parts_of(search: Mapping[str, Any]) -> list[str]:
    """The learned parts whose thetas a sweep needs."""
    name, controller = learned_by(search), search.get("controller")
    return [*([] if name is None else [catalog.LEARNED[name]]), *([] if controller is None else [catalog.CONTROLLERS[controller]])]


def algorithms(search: Mapping[str, Any], store: Store, digests: Mapping[str, str]) -> Algorithms:
    """The algorithms of a sweep that has adopted the thetas ``digests``. Raises UserError if one is not in the store."""
    if not search:
        raise UserError(
            "The trials of this sweep were imported: no algorithm of ours decided there, and none goes on with it. "
            "A new sweep with search: meta learns from it."
        )
    parts = parts_of(search)
    missing = [part for part in parts if part not in digests]
    if missing:
        raise UserError(
            f"The log of this sweep names no theta for the meta-{missing[0]}: its driver died before. "
            "Go on with it: metasearch resume"
        )
    return _composed(search, {part: _built(part, store.get_theta(digests[part])) for part in parts}, digests)


def begun(sweep: Sweep, store: Store, adopted: Mapping[str, str], note: Say) -> Algorithms:
    """The algorithms of a sweep that is about to run: made of what it has ``adopted``, or else of what it should adopt now."""
    digests = dict(adopted)
    for part in parts_of(sweep.search):
        if part not in digests:
            card = prepared(store, part, [sweep.name], note, kind=sweep.task.kind)
            note(f"The meta-{part} knows {card.trials} trials of {card.tasks} tasks (theta {card.digest[:8]}).")
            digests[part] = card.digest
    return algorithms(sweep.search, store, digests)


def foreseen(search: Mapping[str, Any], store: Store | None, exclude: Collection[str] = (), kind: str = "") -> Algorithms:
    """The algorithms that a sweep over a task of that ``kind`` would begin with. Writes nothing."""
    parts = parts_of(search)
    built = {}
    for part in parts:
        archive = _known(store, part, exclude, kind)
        known = None if store is None else _card_of(store, part, archive)
        built[part] = _built(part, _learned(part, archive) if store is None or known is None else store.get_theta(known.digest))
    return _composed(search, built, {})


def learned_from(part: str, archive: Archive) -> Any:
    """A learned part that knows ``archive``. Nothing is kept."""
    return _built(part, _learned(part, archive))


def checked_part(part: str) -> str:
    """Raises UserError if there is no such learned part."""
    if part not in FORMATS:
        raise UserError(f'There is no learned part "{part}".{did_you_mean(part, (*FORMATS, "network"))}')
    return part


def _known(store: Store | None, part: str, exclude: Collection[str], kind: str) -> Archive:
    """What a part learns from, for a sweep over a task of that kind: the sweeps of the store, and what comes with the package."""
    own = Archive() if store is None else store.archive(exclude=exclude)
    return Archive((*own, *shipped.trials_of(kind))) if part == SELECTOR else own


def prepared(
    store: Store, part: str, exclude: Collection[str] = (), note: Say = lambda message: None, *, kind: str = shipped.KIND
) -> Card:
    """The card of the theta that knows all sweeps but those in ``exclude``, for tasks of that ``kind``: one of the store's, or
    learned and kept now.
    """
    archive = _known(store, part, exclude, kind)
    known = _card_of(store, part, archive)
    if known is not None:
        return known
    if len(archive):
        note(f"The meta-{part} learns from {archive.trials} trials of {len(archive)} tasks in {len(archive.sweeps)} sweeps.")
    began = time.perf_counter()
    theta = _learned(part, archive)
    card = Card(
        part=part,
        learned_from=fingerprint(archive),
        tasks=len(archive),
        trials=archive.trials,
        time=time.time(),
        seconds=time.perf_counter() - began,
        version=own_version(),
        format=FORMATS[part],
    )
    digest = store.put_theta(theta, card)
    return replace(card, digest=digest)


def refresh(store: Store, search: Mapping[str, Any], trouble: Say, kind: str = shipped.KIND) -> None:
    """Learns from the whole store once a sweep has ended, so that the next one begins at once, and deletes thetas that no sweep
    needs. Never fails: it tells ``trouble``. Does nothing in a store that nobody searched with a learned algorithm.
    """
    try:
        kept = {card.part for card in store.theta_cards()}
        for part in FORMATS:
            if part in parts_of(search) or part in kept:
                prepared(store, part, kind=kind)
        forget(store, time.time())
    except Exception as error:  # noqa: BLE001  the sweep has ended well, and nothing that comes after may spoil that
        trouble(f"Nothing could be learned from this sweep yet: {error}. Try again: metasearch meta learn --store {store.url}")


def forget(store: Store, now: float) -> list[str]:
    """Deletes thetas that no sweep has adopted and none will, and returns their digests. None while a log cannot be read, because
    nobody knows what it names.
    """
    try:
        return prune_thetas(store.files, lambda: set(_adopted(store)), now)
    except StoreUnavailable:
        raise
    except (UserError, LookupError, TypeError, ValueError, AssertionError):
        return []


def _adopted(store: Store) -> Iterator[str]:
    """The digests that logs name. A sweep adopts before its first trial, so that the beginning of each log is enough."""
    for name in store.sweeps():
        for fact in takewhile(lambda fact: not isinstance(fact, Proposed), store.facts(name)):
            if isinstance(fact, Adopted):
                yield fact.digest


def fingerprint(archive: Archive) -> dict[str, dict[str, int]]:
    """Per sweep the trials and steps that it had: with the same ones, the same would be learned."""
    found = {sweep: {"trials": 0, "steps": 0} for sweep in archive.sweeps}
    for trial in (trial for task in archive for trial in task.trials):
        found[trial.sweep]["trials"] += 1
        found[trial.sweep]["steps"] += trial.steps[-1]
    return found


def _card_of(store: Store, part: str, archive: Archive) -> Card | None:
    """The newest theta of today's format that was learned from exactly this archive and can be read."""
    asked = fingerprint(archive)
    same = (card for card in store.theta_cards(part) if card.learned_from == asked and card.format == FORMATS[part])
    return next((card for card in same if _readable(store, part, card.digest)), None)


def _readable(store: Store, part: str, digest: str) -> bool:
    try:
        _built(part, store.get_theta(digest))
    except StoreUnavailable:
        raise
    except UserError:
        return False
    return True


def _learned(part: str, archive: Archive) -> KeptTheta:
    """What the archive teaches. The same archive teaches the same, whoever asks."""
    import torch

    torch.set_num_threads(1)  # its matrices are small: more threads would only get into each other's way
    name = next((name for name, learns in catalog.LEARNED.items() if learns == part), part)  # as simulations call it
    return KeptTheta(part, *contestants.learned(catalog.load_part(part), name, archive, 0).pack())


def _built(part: str, kept: KeptTheta) -> Any:
    """Made of what was kept, never of what was just learned, so that every driver has the same to the last bit."""
    meta = catalog.load_part(part)
    try:
        theta = type(meta.init(derive(0, "init", part))).unpack(kept.arrays, kept.plain)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The theta {kept.digest} was kept by another version of metasearch than this one ({type(error).__name__}: {error}). "
            "Go on with that version, or launch the sweep under another name."
        ) from error
    return meta.build(theta)


def _composed(search: Mapping[str, Any], built: Mapping[str, Any], digests: Mapping[str, str]) -> Algorithms:
    """The algorithms of a sweep, of which the learned parts are ``built``."""
    name, asked = learned_by(search), search.get("controller")
    if name is None:
        searcher, scheduler = catalog.build_searcher(search["searcher"]), catalog.build_scheduler(search["scheduler"])
    else:
        both = built[catalog.LEARNED[name]]
        searcher, scheduler = cast(Searcher, both), cast(Scheduler, both)
    used = {part: digests[part] for part in built if part in digests}
    if asked is None:
        return Algorithms(searcher, scheduler, used)
    controller = replace(built[catalog.CONTROLLERS[asked]], plan=planned)
    return Algorithms(searcher, Controlled(scheduler, controller), used, controller)


def _unpaired(search: Mapping[str, Any]) -> list[str]:
    """Whatever is searcher and scheduler in one must be asked for in both places."""
    asked = (search["searcher"], search["scheduler"])
    names = [catalog.name_of(spec) for spec in asked]
    found = next((name for name in BOTH if name in names), None)
    if found is None:
        return []
    if asked[0] != asked[1]:
        return [f"search: {found} is searcher and scheduler in one: write the same in both, found {asked[0]} and {asked[1]}"]
    extra = set() if found in catalog.POPULATIONS or isinstance(asked[0], str) else asked[0].keys() - {"name"}
    return [f"search: {found} has no options, found {', '.join(sorted(extra))}"] if extra else []
