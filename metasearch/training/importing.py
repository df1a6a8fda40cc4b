"""A function or class by the place where it lies: ``FILE.py:NAME`` or ``MODULE:NAME``."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from metasearch import catalog
from metasearch.core.errors import UserError, did_you_mean


def load_callable(place: str) -> Callable[..., Any]:
    """Raises UserError if it is not there, cannot be imported or cannot be called.

    A file can import what lies beside it.
    """
    module_name, _, name = _split(absolute(place))
    if module_name.endswith(".py"):
        path = Path(module_name)
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        module = catalog.import_file(f"metasearch_own_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}", path)
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise UserError(f"The module {module_name} cannot be imported: {error}.") from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise UserError(f'There is no function or class "{name}" in {module_name}.{did_you_mean(name, known)}')
    return cast(Callable[..., Any], found)


def absolute(place: str) -> str:
    """The same place from every working directory."""
    module_name, colon, name = _split(place)
    return f"{Path(module_name).expanduser().absolute()}{colon}{name}" if module_name.endswith(".py") else place


def _split(place: str) -> tuple[str, str, str]:
    module_name, colon, name = place.rpartition(":")
    if not module_name or not name.isidentifier():
        raise UserError(f'A training function is named FILE.py:NAME or MODULE:NAME, found "{place}".')
    return module_name, colon, name
