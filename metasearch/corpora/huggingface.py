"""``huggingface:NAME_OR_PATH``: a dataset of the Hugging Face hub or of this machine, through the package ``datasets``.

A path is a folder written by ``save_to_disk`` or a JSON (lines), Parquet or CSV file. Options: ``config`` (of the hub's dataset)
and ``column`` (the one with the text, ``text`` by default). Each row becomes one or more lines. Splits are used where they exist;
a missing validation or test split is cut off the end of train.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasearch.core.errors import UserError, did_you_mean
from metasearch.corpora import _text
from metasearch.corpora._kinds import unknown_options
from metasearch.corpora._splits import Splits, cut_end

if TYPE_CHECKING:
    from datasets import Dataset

OPTIONS = ("config", "column")
READERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
VALID_NAMES = ("validation", "valid", "val", "dev")
SAVED_MARKS = ("dataset_dict.json", "state.json")
"""One of these lies in every folder written by ``save_to_disk``."""


def describe() -> Mapping[str, str]:
    return {"huggingface:NAME_OR_PATH": "a Hugging Face dataset, of the hub or local; options: config, column"}


def check(place: str, options: Mapping[str, Any]) -> list[str]:
    faults = unknown_options(options, OPTIONS)
    faults += [f"{name} must be text, found {options[name]!r}" for name in OPTIONS if not isinstance(options.get(name, ""), str)]
    if importlib.util.find_spec("datasets") is None:
        faults.append('the package "datasets" is not installed; install it: pip install "metasearch[huggingface]"')
    path = Path(resolve(place))
    if path.is_file() and path.suffix not in READERS:
        faults.append(f"{path} has none of the endings {', '.join(READERS)}; for plain text write file:PATH")
    return faults


def resolve(place: str) -> str:
    path = Path(place).expanduser()
    return str(path.absolute()) if path.exists() else place


def fingerprint(place: str, options: Mapping[str, Any]) -> str:
    """The fingerprint that ``datasets`` keeps of each split's content and history."""
    splits = [(name, split._fingerprint) for name, split in sorted(_open(place, options).items())]
    return _text.digest(repr(("huggingface", splits, options.get("column"))).encode())


def read(place: str, options: Mapping[str, Any]) -> Splits:
    found = _open(place, options)
    column = options.get("column", "text")
    if len(found) == 1:
        return Splits.cut(_joined(next(iter(found.values())), column))
    valid_name = next((name for name in VALID_NAMES if name in found), None)
    if "train" not in found or (valid_name is None and "test" not in found):
        raise UserError(f'The dataset "{place}" has the splits {", ".join(found)}; expected train with validation or test, or one.')
    train = _joined(found["train"], column)
    valid = _joined(found[valid_name], column) if valid_name else None
    test = _joined(found["test"], column) if "test" in found else None
    if test is None:
        train, test = cut_end(train)
    if valid is None:
        train, valid = cut_end(train)
    return Splits(train, valid, test)


def _open(place: str, options: Mapping[str, Any]) -> Mapping[str, Dataset]:
    """The dataset's splits by name. Raises UserError if ``datasets`` cannot find or read them."""
    import datasets

    path = Path(place)
    try:
        if any((path / mark).exists() for mark in SAVED_MARKS):
            loaded = datasets.load_from_disk(place)
        elif path.is_file():
            loaded = datasets.load_dataset(READERS[path.suffix], data_files=place)
        else:
            loaded = datasets.load_dataset(place, options.get("config"))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f'The dataset "{place}" cannot be loaded: {error}') from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _joined(split: Dataset, column: str) -> str:
    if column not in split.column_names:
        raise UserError(f'The dataset has no column "{column}".{did_you_mean(column, split.column_names)}')
    return "".join(_lines(split.select_columns(column), column))


def _lines(split: Dataset, column: str) -> Iterator[str]:
    """Each row's text, ended by a line end; rows without text are left out."""
    for batch in split.iter(batch_size=1000):
        for text in batch[column]:
            if not isinstance(text, str | None):
                raise UserError(f'The column "{column}" must hold text, found {type(text).__name__}: {text!r:.60}')
            if text:
                yield text if text.endswith("\n") else f"{text}\n"
