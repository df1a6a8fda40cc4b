"""A study over trainings: its results, one line of JSON for each, so that it goes on where it was interrupted, and its table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(row: Row, path: Path) -> None:
    """Written and printed."""
    line = json.dumps(row)
    print(line, flush=True)
    with path.open("a") as file:
        file.write(f"{line}\n")


def run(
    description: str,
    name: str,
    tokens: int,
    texts: Sequence[str],
    study: Callable[[Path, int, Sequence[str]], None],
    table: Callable[[list[Row]], Iterable[str]],
) -> None:
    """The command line: ``study`` with a file, a length of training and texts, then ``table`` of all rows. One thread."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path(f"{name}.jsonl"))
    parser.add_argument("--tokens", type=int, default=tokens, help="of a training")
    parser.add_argument("--texts", nargs="+", default=texts)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    study(asked.out, asked.tokens, asked.texts)
    print("\n".join(table(rows(asked.out))))
