"""Hyperparameter and strategy search for language models that learns from every earlier sweep.

    import metasearch
    outcome = metasearch.launch(metasearch.Sweep(name="first", task={"corpus": "cpython/docstrings"}, budget={"trials": 20}))
    metasearch.Store("./store").best(by="strategy").to_pandas()

Importing this package loads neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metasearch.core.errors import UserError
    from metasearch.store.archive import Store
    from metasearch.store.imports.source import import_results
    from metasearch.sweep.asking import AskTell
    from metasearch.sweep.file import OwnSweep
    from metasearch.sweep.file import SweepFile as Sweep
    from metasearch.sweep.run import Outcome, launch, resume
    from metasearch.training.own import RunningTrial

__all__ = ["AskTell", "Outcome", "OwnSweep", "RunningTrial", "Store", "Sweep", "UserError", "import_results", "launch", "resume"]

_PLACES = {
    "AskTell": ("metasearch.sweep.asking", "AskTell"),
    "Outcome": ("metasearch.sweep.run", "Outcome"),
    "OwnSweep": ("metasearch.sweep.file", "OwnSweep"),
    "RunningTrial": ("metasearch.training.own", "RunningTrial"),
    "Store": ("metasearch.store.archive", "Store"),
    "Sweep": ("metasearch.sweep.file", "SweepFile"),
    "UserError": ("metasearch.core.errors", "UserError"),
    "import_results": ("metasearch.store.imports.source", "import_results"),
    "launch": ("metasearch.sweep.run", "launch"),
    "resume": ("metasearch.sweep.run", "resume"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
