"""Processes forked from one that has imported everything, which takes longer than what most of them do."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess

IMPORTED = [
    *("metasearch.backends.tune", "metasearch.cli.main", "metasearch.sweep.run", "metasearch.sweep.compose"),
    *("metasearch.training.loop", "metasearch.meta.selector", "metasearch.meta.optimizer", "metasearch.store"),
    *("torch._dynamo", "optuna", "duckdb", "tests.backends.drive"),
]


def forked(target: Callable[..., None], *arguments: object, environment: Mapping[str, str] | None = None) -> ForkServerProcess:
    """``environment``: its variables; this process's own ones if None."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED)
    process = forks.Process(target=_begin, args=(dict(environment or os.environ), target, *arguments))
    process.start()
    return process


def _begin(environment: Mapping[str, str], target: Callable[..., None], *arguments: object) -> None:
    from ray._raylet import Config

    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    Config.initialize("")  # Ray has read the environment when it was imported
    target(*arguments)
