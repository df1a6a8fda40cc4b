"""``folder:PATH``: a folder with ``train.txt``, ``valid.txt`` and ``test.txt``, all UTF-8, used as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metasearch.corpora import _text
from metasearch.corpora._kinds import unknown_options
from metasearch.corpora._splits import SPLITS, Splits


def describe() -> Mapping[str, str]:
    return {"folder:PATH": "a folder with train.txt, valid.txt and test.txt"}


def check(place: str, options: Mapping[str, Any]) -> list[str]:
    folder = Path(resolve(place))
    if not folder.is_dir():
        return [f"{folder} is a file; write file:PATH" if folder.exists() else f"there is no folder {folder}"]
    missing = [path.name for path in _split_paths(folder) if not path.exists()]
    if missing:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        return [f"{folder} lacks {' and '.join(missing)} (found {found}). For one text without splits write file:PATH"]
    return [*(fault for path in _split_paths(folder) for fault in _text.file_faults(path)), *unknown_options(options)]


def resolve(place: str) -> str:
    return str(Path(place).expanduser().absolute())


def fingerprint(place: str, options: Mapping[str, Any]) -> str:
    return _text.fingerprint(_split_paths(Path(place)))


def read(place: str, options: Mapping[str, Any]) -> Splits:
    return Splits(*(_text.read_utf8(path) for path in _split_paths(Path(place))))


def _split_paths(folder: Path) -> list[Path]:
    return [folder / f"{split}.txt" for split in SPLITS]
