"""``corpora:NAME``: a folder with splits under the folder ``METASEARCH_CORPORA``, the same name on every machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metasearch.core.errors import did_you_mean
from metasearch.corpora import folder
from metasearch.corpora._splits import Splits

VARIABLE = "METASEARCH_CORPORA"


def describe() -> Mapping[str, str]:
    own = {f"corpora/{name}": f"folder {name} of {VARIABLE}" for name in _names()}
    return {"corpora:NAME": f"a folder with splits under the folder named by {VARIABLE}", **own}


def check(place: str, options: Mapping[str, Any]) -> list[str]:
    if not os.environ.get(VARIABLE):
        return [f"{VARIABLE} is not set; set it to the folder that holds {place}, or write folder:PATH"]
    if place not in _names():
        return [f'there is no folder "{place}" in {VARIABLE}={os.environ[VARIABLE]}.{did_you_mean(place, _names())}']
    return folder.check(_path(place), options)


def resolve(place: str) -> str:
    return place


def fingerprint(place: str, options: Mapping[str, Any]) -> str:
    return folder.fingerprint(_path(place), options)


def read(place: str, options: Mapping[str, Any]) -> Splits:
    return folder.read(_path(place), options)


def _path(name: str) -> str:
    return folder.resolve(str(Path(os.environ[VARIABLE]) / name))


def _names() -> list[str]:
    """The sub-folders that can be named; hidden ones are someone else's."""
    root = Path(os.environ.get(VARIABLE) or os.devnull).expanduser()
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
