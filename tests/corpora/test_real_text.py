"""Every corpus under METASEARCH_CORPORA, if it is set.

METASEARCH_CORPORA=… pytest tests/corpora/test_real_text.py
"""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path

import pytest

from metasearch.corpora import load

ROOT = Path(os.environ.get("METASEARCH_CORPORA") or os.devnull)
FOLDERS = sorted(path.parent for path in ROOT.glob("*/train.txt"))


@pytest.mark.skipif(not FOLDERS, reason="METASEARCH_CORPORA is not set")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_real_text_loads_without_loss_and_with_a_finite_descriptor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METASEARCH_CORPORA", str(ROOT))
    corpus = load(f"corpora:{folder.name}")
    assert all(isfinite(value) for value in corpus.descriptor.values())
    assert 0.5 < corpus.descriptor["ngram_bits_per_byte"] < corpus.descriptor["unigram_entropy"] < 8
    assert corpus.test.tobytes() == (folder / "test.txt").read_bytes()
