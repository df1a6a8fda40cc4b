"""Launching and resuming: the only room that knows everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from metasearch.core.budget import exhausted
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Opened
from metasearch.core.history import History
from metasearch.core.protocols import Log, RunnerFactory
from metasearch.core.sweep import Sweep
from metasearch.core.task import OWN
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable
from metasearch.store.log import SegmentLog
from metasearch.store.patience import PatientLog, patiently
from metasearch.sweep import environment, learned
from metasearch.sweep.file import AnySweep
from metasearch.sweep.resolving import amendable, resolve, settings_of

AMENDABLE = ("budget", "resources", "trial.max_failures", "trial.silence", "trial.keep", "train")
"""Parts of a sweep file that may change between launch and resume; anything else would make its trials incomparable. Where a
training function lies may change, because files are moved and mended; what it learns is not known here.
"""

Train = Callable[..., Any]
"""``train(config, trial)``, or a class; see ``metasearch.training.own``."""

KEEP_SECONDS = 5.0
"""How often the right to write is renewed while nothing is written."""


class Observer(Protocol):
    """Watches a sweep from its driver."""

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        """Called several times a second; may answer with a reason to end the sweep now."""
        ...

    def note(self, message: str) -> None:
        """What the sweep does before its first trial, if that takes a while."""
        ...

    def trouble(self, message: str) -> None:
        """The store does not answer, answers again, or held something that had to be set aside."""
        ...


class Quiet:
    """An observer that shows nothing."""

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return None

    def note(self, message: str) -> None:
        return None

    def trouble(self, message: str) -> None:
        return None


@dataclass
class _Keeper:
    """An observer that also keeps the right to write alive while trials have nothing to report."""

    observer: Observer
    log: SegmentLog
    kept_at: float = 0.0

    def tick(self, history: History, busy: int, slots: int) -> str | None:
        now = time.monotonic()
        if now - self.kept_at > KEEP_SECONDS:
            self.kept_at = now
            with suppress(StoreUnavailable):  # the next append waits until the store is back
                self.log.keep()
        return self.observer.tick(history, busy, slots)


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: why, and its state."""

    reason: str
    history: History

    @property
    def best(self) -> dict[str, Any] | None:
        """The winner: trial, loss, step, config; None if no trial reported a finite loss."""
        trial = self.history.best
        if trial is None:
            return None
        return {
            "trial": trial.number,
            "loss": self.history.best_loss,
            "strategy": trial.config.strategy,
            "config": dict(trial.config),
        }


def launch(
    file: AnySweep,
    store: str | Store = "./store",
    *,
    address: str | None = None,
    cpus: int | None = None,
    observer: Observer | None = None,
    train: Train | None = None,
) -> Outcome:
    """Runs a new sweep to its end. ``train``: what an ``OwnSweep`` trains, a function ``train(config, trial)`` or a class.

    Raises UserError if the store has a sweep of that name already.
    """
    store = store if isinstance(store, Store) else Store(store)
    return begin(resolve(file), store, address=address, cpus=cpus, observer=observer, train=train)


def begin(
    sweep: Sweep,
    store: Store,
    *,
    address: str | None = None,
    cpus: int | None = None,
    observer: Observer | None = None,
    train: Train | None = None,
) -> Outcome:
    """As ``launch``, for a sweep that is resolved already."""
    _runners(sweep, train)  # raises before anything is written
    with _writing(store, sweep.name, observer or Quiet()) as log:
        if any(True for _ in log.read()):
            raise already_there(store, sweep.name)
        outcome = _run(sweep, store, log, observer or Quiet(), address, cpus, train)
    return _learned_from(outcome, store, observer or Quiet())


def already_there(store: Store, name: str) -> UserError:
    return UserError(
        f"The store {store.url} already has a sweep {name}. Go on with it: metasearch resume {name} "
        f"--store {store.url}; or give this one another name (-o name=…, or --name where a command offers it)."
    )


def launch_or_resume(file: AnySweep, store: str | Store = "./store", **how: Any) -> Outcome:
    """Launches the sweep, or goes on with it if the store has it already; keywords as for ``launch``."""
    store = store if isinstance(store, Store) else Store(store)
    if file.name in patiently(store.sweeps, (how.get("observer") or Quiet()).trouble):
        return resume(file.name, store, file=file, **how)
    return launch(file, store, **how)


def resume(
    name: str,
    store: str | Store = "./store",
    *,
    file: AnySweep | None = None,
    trials: str | None = None,
    address: str | None = None,
    cpus: int | None = None,
    observer: Observer | None = None,
    train: Train | None = None,
) -> Outcome:
    """Goes on with a sweep. ``trials``: a new limit, or ``+20`` more. ``file``: the sweep file, if its budget or resources changed.
    ``train`` as for ``launch``.

    Raises UserError if there is no such sweep, or if the file asks another question than the sweep was launched with.
    """
    store = store if isinstance(store, Store) else Store(store)
    with _writing(store, name, observer or Quiet()) as log:
        opened = next(iter(log.read()), None)
        if not isinstance(opened, Opened):
            known = ", ".join(store.sweeps()) or "none"
            raise UserError(f"The store {store.url} has no sweep {name}. Sweeps there: {known}.")
        before = History.fold(log.read())
        after = amended(before.sweep, file, trials)
        outcome = _run(after, store, log, observer or Quiet(), address, cpus, train, before)
    return _learned_from(outcome, store, observer or Quiet())


def _learned_from(outcome: Outcome, store: Store, observer: Observer) -> Outcome:
    """The outcome, once the store knows what it teaches. Whoever interrupted a sweep does not want to wait for that."""
    if not outcome.reason.startswith("interrupted"):
        learned.refresh(store, outcome.history.sweep.search, observer.trouble, outcome.history.sweep.task.kind)
    return outcome


def amended(before: Sweep, file: AnySweep | None, trials: str | None) -> Sweep:
    """The sweep with what may change changed. Raises UserError if ``file`` asks another question, or ``trials`` is no number."""
    after = before
    if file is not None:
        changes = differences(before.settings["file"], file.model_dump(mode="json"))
        barred = {key: change for key, change in changes.items() if not key.startswith(AMENDABLE)}
        if barred:
            listed = [f"{key}: launched with {old!r}, now {new!r}" for key, (old, new) in barred.items()]
            raise UserError(
                f"The sweep file asks another question than sweep {before.name} was launched with. "
                "Launch it under another name, or undo these changes:",
                listed,
            )
        after = replace(before, settings={**before.settings, **settings_of(file)}, **amendable(file))
    if trials is not None:
        after = replace(after, budget=replace(after.budget, trials=_new_limit(after.budget.trials, trials)))
    return after


def _new_limit(before: int | None, trials: str) -> int:
    try:
        number = int(trials)
    except ValueError:
        raise UserError(f'--trials expects a number such as 60, or +20 for 20 more; found "{trials}".') from None
    if trials.startswith("+"):
        number += before or 0
    if number < 1:
        raise UserError(f"--trials must leave at least one trial, found {number}.")
    return number


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Every dotted name at which two nested mappings differ, with both values."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found[f"{prefix}{key}"] = (old, new)
    return found


@contextmanager
def _writing(store: Store, name: str, observer: Observer) -> Iterator[SegmentLog]:
    with patiently(lambda: store.open_log(name), observer.trouble) as log:
        for message in log.set_aside:
            observer.trouble(message)
        patiently(lambda: store.clear_stop(name), observer.trouble)
        yield log


def _run(
    sweep: Sweep,
    store: Store,
    log: SegmentLog,
    observer: Observer,
    address: str | None,
    cpus: int | None,
    train: Train | None,
    before: History | None = None,
) -> Outcome:
    """Runs ``sweep`` on a cluster; ``before`` is how it stood, if it is resumed."""
    if before is not None and before.sweep == sweep and before.closed is not None and not _resumable(before):
        return Outcome(f"nothing left to do ({before.closed})", before)
    if (address or "").startswith("ray://"):
        raise UserError(
            f"A driver must run on a machine of its cluster, which {address} only reaches from outside. "
            f"Start one on the cluster's head: metasearch launch FILE --or-resume --address {address} --store {store.url}"
        )
    import torch

    from metasearch.backends import tune

    make_runner = _runners(sweep, train)
    torch.set_num_threads(1)  # a searcher that spins on every CPU would take them from the trials
    chosen = learned.begun(sweep, store, {} if before is None else before.adopted, observer.note)
    with tune.cluster(address, cpus):
        ran_under = environment.describe() | {"cluster": tune.describe_cluster()["resources"]}
        engine = opened(sweep, chosen, PatientLog(log, observer.trouble), ran_under)
        if before is not None:
            engine.resume(time.time(), ran_under)
        if before is not None and before.sweep != sweep:
            engine.amend(sweep, differences(before.sweep.record(), sweep.record()), time.time())
        settings = sweep.settings.get("file", {})
        reason = tune.run(
            engine,
            store.url,
            make_runner,
            _Keeper(observer, log),
            concurrency=settings.get("resources", {}).get("concurrency"),
            silence_limit=settings.get("trial", {}).get("silence"),
            keep=settings.get("trial", {}).get("keep"),
        )
    return Outcome(reason, engine.history)


def opened(sweep: Sweep, chosen: learned.Algorithms, log: Log, ran_under: Mapping[str, Any]) -> Engine:
    """The engine over ``log``, which has adopted what its algorithms learned."""
    engine = Engine.open(sweep, chosen.searcher, chosen.scheduler, log, time.time(), ran_under)
    for part, digest in chosen.digests.items():
        if part not in engine.history.adopted:
            engine.adopt(part, digest, time.time())
    return engine


def _runners(sweep: Sweep, train: Train | None) -> RunnerFactory:
    """What trains: the function given, else the one that the sweep names, else our language models."""
    own = train if train is not None else sweep.settings.get("train")
    if sweep.task.kind != OWN:
        if own is not None:
            raise UserError(
                f"The sweep {sweep.name} trains language models on a corpus. For your own training: metasearch.OwnSweep(…)"
            )
        from metasearch.training.runner import CorpusRunner

        return CorpusRunner
    if own is None:
        raise UserError(
            f"The sweep {sweep.name} names no training function. Write train: FILE.py:NAME into its file, or give it in Python: "
            f"metasearch.launch(sweep, train=…), metasearch.resume({sweep.name!r}, train=…). "
            "To run its trials yourself, see: metasearch ask --help"
        )
    from metasearch.training.own import OwnTraining

    return OwnTraining(own)


def _resumable(history: History) -> bool:
    """Was it ended from outside, before its budget?"""
    return bool(history.running or history.interrupted) or exhausted(history, history.time) is None
