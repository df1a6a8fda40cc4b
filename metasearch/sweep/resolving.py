"""From a sweep file to the sweep that it asks for: its corpus loaded and described, its space composed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.core.sweep import Budget, Resources, Sweep
from metasearch.core.task import OWN, Task
from metasearch.corpora import LOSS, as_task, check_examples, check_source, load, load_examples
from metasearch.sweep import learned
from metasearch.sweep.file import AnySweep, OwnBudgetSection, OwnSweep, SweepFile
from metasearch.sweep.own_space import own_space

"""The kind of the task of somebody's own training."""

MOST_OWN_REPORTS = 10
"""One's own training reports as it likes. A scheduler that compares at even distances takes it for this many, or one per step."""


def resolve(file: AnySweep) -> Sweep:
    """The sweep a file asks for, its corpus loaded and described. Raises UserError with every fault that can be found."""
    faults: list[str] = []
    search = {name: spec for name, spec in file.search.model_dump().items() if spec is not None}
    with _collecting(faults):
        faults += learned.faults_of(search)
    shared = {"name": file.name, "search": search, "seed": file.seed, **amendable(file)}
    return _own(file, faults, shared) if isinstance(file, OwnSweep) else _language_model(file, faults, shared)


def _language_model(file: SweepFile, faults: list[str], shared: Mapping[str, Any]) -> Sweep:
    kinds, asked = catalog.corpus_kinds(), file.task
    examples = {"corpus": asked.corpus, "valid": asked.valid, "columns": asked.columns}
    if asked.kind is None:
        faults += [f"task: {fault}" for fault in check_source(asked.corpus, asked.tokenizer, kinds)]
    else:
        faults += [f"task: {fault}" for fault in check_examples(asked.kind, examples, asked.tokenizer)]
    space = None
    with _collecting(faults):
        from metasearch.sweep.compose import language_model_space

        space = language_model_space(file.space, search_unlisted=file.unlisted == "search", kind=asked.kind or "")
    if faults or space is None:
        raise UserError(f"The sweep {file.name} does not hold together:", faults)
    if asked.kind is None:
        task = as_task(load(asked.corpus, asked.tokenizer, kinds=kinds))
    else:
        task = load_examples(asked.kind, examples, asked.tokenizer).task(asked.metric or LOSS)
    return Sweep(
        task=task, space=space, horizon=file.trial.tokens, reports=file.trial.reports, settings=settings_of(file), **shared
    )


def _own(file: OwnSweep, faults: list[str], shared: Mapping[str, Any]) -> Sweep:
    """A sweep over one's own training, whose function must be there if the file names one."""
    space = None
    with _collecting(faults):
        space = own_space(file.space)
    if file.train is not None:
        from metasearch.training.importing import load_callable

        with _collecting(faults):
            load_callable(file.train)
    if faults or space is None:
        raise UserError(f"The sweep {file.name} does not hold together:", faults)
    asked = file.task
    source = {"name": asked.name, "mode": asked.mode}
    task = Task(asked.name, OWN, asked.metric, asked.unit, source, descriptor=asked.descriptor or {})
    reports = min(file.trial.steps, MOST_OWN_REPORTS)
    return Sweep(task=task, space=space, horizon=file.trial.steps, reports=reports, settings=settings_of(file), **shared)


def settings_of(file: AnySweep) -> dict[str, Any]:
    """What the backend needs to run the trials of ``file``."""
    written = {"file": file.model_dump(mode="json")}
    if isinstance(file, OwnSweep) and file.train is not None:
        from metasearch.training.importing import absolute

        return {**written, "train": absolute(file.train)}
    return written


def amendable(file: AnySweep) -> dict[str, Any]:
    limits, needs = file.budget, file.resources
    steps = limits.steps if isinstance(limits, OwnBudgetSection) else limits.tokens
    return {
        "budget": Budget(limits.trials, steps, limits.wall, limits.cpu_hours, limits.gpu_hours),
        "resources": Resources(needs.cpu, needs.gpu, needs.memory, needs.gpu_memory),
        "max_failures": file.trial.max_failures,
    }


@contextmanager
def _collecting(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        faults += error.faults or [error.message]
