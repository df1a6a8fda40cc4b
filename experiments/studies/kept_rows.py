"""Results of a study, one line of JSON for each, so that an interrupted study goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(row: Row, path: Path) -> None:
    """Written and printed."""
    line = json.dumps(row)
    print(line, flush=True)
    with path.open("a") as file:
        file.write(f"{line}\n")
