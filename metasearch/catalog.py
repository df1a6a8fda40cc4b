"""File name = plug-in name. A file put beside the others is a model, an optimizer, a searcher … of that name.

Own plug-ins live in any folder named in ``METASEARCH_PLUGINS`` (several are separated as in PATH), under the same sub-folders:
``models/ optimizers/ schedules/ clipping/ inits/ search/ meta/ corpora/``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from metasearch.core.archive import Archive
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.protocols import Meta, Scheduler, Searcher

ROOMS = {
    "models": "metasearch.models",
    "optimizers": "metasearch.training.optimizers",
    "schedules": "metasearch.training.schedules",
    "clipping": "metasearch.training.clipping",
    "inits": "metasearch.training.inits",
    "search": "metasearch.search",
    "meta": "metasearch.meta",
    "corpora": "metasearch.corpora",
}

STRATEGY_ROOMS = {"model": "models", "optimizer": "optimizers", "schedule": "schedules", "clipping": "clipping", "init": "inits"}
"""Which room holds the options of each part of a strategy."""

LEARNED = {"meta": "selector"}
"""Learned algorithms that a sweep file may ask for, as searcher and scheduler in one, and the part whose theta they need."""

POPULATIONS = ("pbt", "pb2")
"""Algorithms that are searcher and scheduler in one and hand weights from trial to trial."""

CONTROLLERS = {"meta": "optimizer"}
"""Learned algorithms that a sweep file may ask for as controller, and the part whose theta they need."""


def names(room: str) -> list[str]:
    """Every plug-in of a room, sorted. Files that start with an underscore are not plug-ins."""
    return sorted(_built_in(room) | _own(room).keys())


def load(room: str, name: str) -> ModuleType:
    """The module of one plug-in. Raises UserError for an unknown name or an own plug-in that cannot be imported."""
    if name in _built_in(room):
        return importlib.import_module(f"{ROOMS[room]}.{name}")
    path = _own(room).get(name)
    if path is None:
        raise UserError(f'There is no "{name}" among the {room}.{did_you_mean(name, names(room))}')
    return import_file(f"metasearch_plugins.{room}.{name}", path)


def searchers() -> list[str]:
    return [name for name in names("search") if hasattr(load("search", name), "SEARCHER")]


def schedulers() -> list[str]:
    return [name for name in names("search") if hasattr(load("search", name), "SCHEDULER")]


def build_searcher(spec: str | Mapping[str, Any]) -> Searcher:
    """A searcher from ``"tpe"`` or ``{"name": "tpe", option: value}``. Raises UserError with every fault of the options."""
    return cast(Searcher, _build("SEARCHER", "searcher", searchers(), spec))


def build_scheduler(spec: str | Mapping[str, Any]) -> Scheduler:
    return cast(Scheduler, _build("SCHEDULER", "scheduler", schedulers(), spec))


def metas() -> list[str]:
    """Every learned algorithm, sorted. Loads all of them, and with them what they compute with."""
    return sorted(_metas())


def is_meta(name: str) -> bool:
    """Is there a learned algorithm of that name?"""
    return _meta_file(name) is not None


def load_meta(name: str) -> Meta[Any, Archive, Any]:
    """The learned algorithm of that name. Raises UserError for an unknown one.

    A module's ``META`` goes by the name of its file, unless the module says otherwise in ``NAME``.
    """
    file = _meta_file(name)
    if file is None:
        raise UserError(f'There is no learned algorithm "{name}".{did_you_mean(name, metas())}')
    return cast(Meta[Any, Archive, Any], load("meta", file).META)


def load_part(part: str) -> Meta[Any, Archive, Any]:
    """The learned part of that name, such as ``selector`` or ``optimizer``: what its thetas are learned with and made into."""
    module = load("meta", part)
    return cast(Meta[Any, Archive, Any], module.CONTROLLER if part in CONTROLLERS.values() else module.META)


def name_of(spec: str | Mapping[str, Any]) -> str:
    """The name in ``"tpe"`` or ``{"name": "tpe", option: value}``; empty if there is none."""
    return spec if isinstance(spec, str) else str(spec.get("name", ""))


def corpus_kinds() -> dict[str, Any]:
    """Every kind of corpus by its scheme, own ones included, as ``metasearch.corpora.load`` wants them."""
    return {name: load("corpora", name) for name in names("corpora")}


def _metas() -> dict[str, str]:
    """The file of every learned algorithm by its public name. Other files of the room are what these are made of."""
    return {public: file for file in names("meta") if (public := _public_name(file)) is not None}


def _meta_file(name: str) -> str | None:
    """Looks into the file of that name first: the others may take long to load."""
    return name if name in names("meta") and _public_name(name) == name else _metas().get(name)


def _public_name(file: str) -> str | None:
    module = load("meta", file)
    return str(getattr(module, "NAME", file)) if hasattr(module, "META") else None


def _build(attribute: str, noun: str, known: list[str], spec: str | Mapping[str, Any]) -> Any:
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", ""))
    if name in LEARNED:
        raise UserError(
            f"{name} needs what it learned from the sweeps of a store, and here there is no store to learn from. "
            f"Ask for it in a sweep file (searcher: {name}, scheduler: {name}), or in metasearch simulate with --sources."
        )
    if name not in known:
        raise UserError(f'There is no {noun} "{name}".{did_you_mean(name, [*known, *LEARNED])}')
    algorithm = getattr(load("search", name), attribute)
    faults = [
        f'it has no option "{key}".{did_you_mean(key, algorithm.__dataclass_fields__)}' for key in _unknown(algorithm, options)
    ]
    try:
        built = TypeAdapter(algorithm).validate_python({k: v for k, v in options.items() if k in algorithm.__dataclass_fields__})
    except ValidationError as error:
        faults += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in error.errors()]
    if faults:
        raise UserError(f"The {noun} {name} cannot be set up so:", faults)
    return built


def _unknown(algorithm: Any, options: Mapping[str, Any]) -> list[str]:
    return sorted(options.keys() - algorithm.__dataclass_fields__.keys())


@cache
def _built_in(room: str) -> frozenset[str]:
    package = importlib.import_module(ROOMS[room])
    return frozenset(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg)


def _own(room: str) -> dict[str, Path]:
    folders = [Path(part) / room for part in os.environ.get("METASEARCH_PLUGINS", "").split(os.pathsep) if part]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return {path.stem: path for path in files if not path.name.startswith("_")}


def import_file(module_name: str, path: Path) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is a fault of that file
        del sys.modules[module_name]
        raise UserError(f"The file {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
