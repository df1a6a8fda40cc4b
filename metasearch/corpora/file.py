"""``file:PATH``: any UTF-8 text file, cut into contiguous 90/5/5 % at line ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metasearch.corpora import _text
from metasearch.corpora._kinds import unknown_options
from metasearch.corpora._splits import Splits


def describe() -> Mapping[str, str]:
    return {"file:PATH": "any UTF-8 text file, cut into 90/5/5 % at line ends"}


def check(place: str, options: Mapping[str, Any]) -> list[str]:
    return [*_text.file_faults(Path(resolve(place))), *unknown_options(options)]


def resolve(place: str) -> str:
    return str(Path(place).expanduser().absolute())


def fingerprint(place: str, options: Mapping[str, Any]) -> str:
    return _text.fingerprint([Path(place)])


def read(place: str, options: Mapping[str, Any]) -> Splits:
    return Splits.cut(_text.read_utf8(Path(place)))
