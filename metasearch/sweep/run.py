"""Launching and resuming: the only room that knows everything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from metasearch import catalog
from metasearch.core.budget import exhausted
from metasearch.core.engine import Engine
from metasearch.core.errors import UserError
from metasearch.core.event import Opened
from metasearch.core.history import History
from metasearch.core.protocols import RunnerFactory
from metasearch.core.sweep import Budget, Resources, Sweep
from metasearch.corpora import as_task, check_source, load
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable
from metasearch.store.log import SegmentLog
from metasearch.store.patience import PatientLog
from metasearch.sweep import environment, learned
from metasearch.sweep.file import SweepFile

AMENDABLE = ("budget", "resources", "trial.max_failures", "trial.silence", "trial.keep")
"""Parts of a sweep file that may change between launch and resume; anything else would make its trials incomparable."""

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


def resolve(file: SweepFile) -> Sweep:
    """The sweep a file asks for, its corpus loaded and described. Raises UserError with every fault that can be found."""
    faults: list[str] = []
    search = {name: spec for name, spec in file.search.model_dump().items() if spec is not None}
    with _collecting(faults):
        faults += learned.faults_of(search)
    kinds = catalog.corpus_kinds()
    faults += [f"task: {fault}" for fault in check_source(file.task.corpus, file.task.tokenizer, kinds)]
    space = None
    with _collecting(faults):
        from metasearch.sweep.compose import language_model_space

        space = language_model_space(file.space, search_unlisted=file.unlisted == "search")
    if faults or space is None:
        raise UserError(f"The sweep {file.name} does not hold together:", faults)
    return Sweep(
        name=file.name,
        task=as_task(load(file.task.corpus, file.task.tokenizer, kinds=kinds)),
        space=space,
        horizon=file.trial.tokens,
        reports=file.trial.reports,
        search=search,
        settings={"file": file.model_dump(mode="json")},
        seed=file.seed,
        **_amendable(file),
    )


def _amendable(file: SweepFile) -> dict[str, Any]:
    limits, needs = file.budget, file.resources
    return {
        "budget": Budget(limits.trials, limits.tokens, limits.wall, limits.cpu_hours, limits.gpu_hours),
        "resources": Resources(needs.cpu, needs.gpu, needs.memory),
        "max_failures": file.trial.max_failures,
    }


@contextmanager
def _collecting(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        faults += error.faults or [error.message]


def launch(
    file: SweepFile,
    store: str | Store = "./store",
    *,
    address: str | None = None,
    cpus: int | None = None,
    observer: Observer | None = None,
    make_runner: RunnerFactory | None = None,
) -> Outcome:
    """Runs a new sweep to its end. Raises UserError if the store has a sweep of that name already."""
    store = store if isinstance(store, Store) else Store(store)
    sweep = resolve(file)
    with _writing(store, file.name, observer or Quiet()) as log:
        if any(True for _ in log.read()):
            raise UserError(
                f"The store {store.url} already has a sweep {file.name}. "
                f"Go on with it: metasearch resume {file.name} --store {store.url}; or give this one another name: -o name=…"
            )
        outcome = _run(sweep, store, log, observer or Quiet(), address, cpus, make_runner)
    return _learned_from(outcome, store, observer or Quiet())


def launch_or_resume(file: SweepFile, store: str | Store = "./store", **how: Any) -> Outcome:
    """Launches the sweep, or goes on with it if the store has it already; keywords as for ``launch``."""
    store = store if isinstance(store, Store) else Store(store)
    if file.name in store.sweeps():
        return resume(file.name, store, file=file, **how)
    return launch(file, store, **how)


def resume(
    name: str,
    store: str | Store = "./store",
    *,
    file: SweepFile | None = None,
    trials: str | None = None,
    address: str | None = None,
    cpus: int | None = None,
    observer: Observer | None = None,
    make_runner: RunnerFactory | None = None,
) -> Outcome:
    """Goes on with a sweep. ``trials``: a new limit, or ``+20`` more. ``file``: the sweep file, if its budget or resources changed.

    Raises UserError if there is no such sweep, or if the file asks another question than the sweep was launched with.
    """
    store = store if isinstance(store, Store) else Store(store)
    with _writing(store, name, observer or Quiet()) as log:
        opened = next(iter(log.read()), None)
        if not isinstance(opened, Opened):
            known = ", ".join(store.sweeps()) or "none"
            raise UserError(f"The store {store.url} has no sweep {name}. Sweeps there: {known}.")
        before = History.fold(log.read())
        after = _amended(before.sweep, file, trials)
        outcome = _run(after, store, log, observer or Quiet(), address, cpus, make_runner, before)
    return _learned_from(outcome, store, observer or Quiet())


def _learned_from(outcome: Outcome, store: Store, observer: Observer) -> Outcome:
    """The outcome, once the store knows what it teaches. Whoever interrupted a sweep does not want to wait for that."""
    if not outcome.reason.startswith("interrupted"):
        learned.refresh(store, outcome.history.sweep.search, observer.trouble)
    return outcome


def _amended(before: Sweep, file: SweepFile | None, trials: str | None) -> Sweep:
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
        after = replace(before, settings={**before.settings, "file": file.model_dump(mode="json")}, **_amendable(file))
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
    with store.open_log(name) as log:
        for message in log.set_aside:
            observer.trouble(message)
        store.clear_stop(name)
        yield log


def _run(
    sweep: Sweep,
    store: Store,
    log: SegmentLog,
    observer: Observer,
    address: str | None,
    cpus: int | None,
    make_runner: RunnerFactory | None,
    before: History | None = None,
) -> Outcome:
    """Runs ``sweep`` on a cluster; ``before`` is how it stood, if it is resumed."""
    if before is not None and before.sweep == sweep and before.closed is not None and not _resumable(before):
        return Outcome(f"nothing left to do ({before.closed})", before)
    import torch

    from metasearch.backends import tune
    from metasearch.training.runner import LanguageModelRunner

    torch.set_num_threads(1)  # a searcher that spins on every CPU would take them from the trials
    chosen = learned.begun(sweep, store, {} if before is None else before.adopted, observer.note)
    with tune.cluster(address, cpus):
        ran_under = environment.describe() | {"cluster": tune.describe_cluster()["resources"]}
        patient = PatientLog(log, observer.trouble)
        engine = Engine.open(sweep, chosen.searcher, chosen.scheduler, patient, time.time(), ran_under)
        for part, digest in chosen.digests.items():
            if part not in engine.history.adopted:
                engine.adopt(part, digest, time.time())
        if before is not None:
            engine.resume(time.time(), ran_under)
        if before is not None and before.sweep != sweep:
            engine.amend(sweep, differences(before.sweep.record(), sweep.record()), time.time())
        settings = sweep.settings.get("file", {})
        reason = tune.run(
            engine,
            store.url,
            make_runner or LanguageModelRunner,
            _Keeper(observer, log),
            concurrency=settings.get("resources", {}).get("concurrency"),
            silence_limit=settings.get("trial", {}).get("silence"),
            keep=settings.get("trial", {}).get("keep"),
        )
    return Outcome(reason, engine.history)


def _resumable(history: History) -> bool:
    """Was it ended from outside, before its budget?"""
    return bool(history.running or history.interrupted) or exhausted(history, history.time) is None
