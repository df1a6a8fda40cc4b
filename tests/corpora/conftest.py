from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metasearch.core.rng import derive

SYLLABLES = ("ka", "lo", "mi", "tu", "ren", "so", "ya", "bel", "do", "fi")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder that every test has to itself."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("METASEARCH_CACHE", str(folder))
    monkeypatch.delenv("METASEARCH_CORPORA", raising=False)
    return folder


def prose(lines: int, seed: int = 0) -> str:
    """Lines of invented words, Zipf-distributed, with capitals, digits and full stops."""
    rng = derive(seed, "prose")
    words = ["".join(rng.choice(SYLLABLES, size=rng.integers(1, 4))) for _ in range(300)]
    weight = 1 / np.arange(1, len(words) + 1)
    rows = rng.choice(words, size=(lines, 9), p=weight / weight.sum())
    return "".join(f"{' '.join(row).capitalize()} {number}.\n" for number, row in enumerate(rows))


@pytest.fixture
def novel(tmp_path: Path) -> Path:
    path = tmp_path / "novel.txt"
    path.write_bytes(prose(400).encode())
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder that holds one corpus with its own splits."""
    folder = tmp_path / "library" / "tales"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "valid", "test")):
        (folder / f"{split}.txt").write_bytes(prose(60, seed).encode())
    return folder.parent
