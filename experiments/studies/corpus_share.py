"""Which cheap training tells most of a dear one: the same for a quarter of the tokens, or with a quarter of the text as well?

    METASEARCH_CORPORA=… python experiments/studies/corpus_share.py --out corpus_share.jsonl

Random configs are trained on the first 120 kB of each text, at the default 480,000 tokens four times over, and three more ways at a
quarter of the cost: the same training, seen at a quarter of its tokens (*begun*); a training of a quarter of the tokens with a
schedule of its own (*short*); and that on a quarter of the text, so that each byte is seen as often as in the dear training
(*share*). Printed is the rank correlation (Spearman's) with the loss at the end of the dear one, and by how much that of the config
that the cheap training likes best is above the lowest of all.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept_rows import Row, keep, rows, run
from scipy.stats import spearmanr

from metasearch import catalog
from metasearch.core.rng import derive
from metasearch.corpora import TokenizedCorpus, load
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget

TEXTS = ("pride_prejudice", "bible_swahili")
BYTES, SHARE, REPORTS, CONFIGS = 120_000, 4, 8, 24
SPACE = {"model": ["lstm", "gru", "transformer"], "width": [32, 64, 96], "depth": [1, 2], "context": 64, "batch_size": 16}
WAYS = ("begun", "short", "share")
CPU = torch.device("cpu")


def losses(config: Mapping[str, Any], corpus: TokenizedCorpus, tokens: int) -> list[float]:
    """The validation loss at each of ``REPORTS`` reports, infinite from a divergence on."""
    trainer, found = Trainer(config, corpus, TrialBudget(tokens, REPORTS), 0, CPU), []
    while not trainer.done:
        found.append(trainer.advance().val_loss)
    return [*(loss if math.isfinite(loss) else math.inf for loss in found), *[math.inf] * (REPORTS - len(found))]


def study(out: Path, tokens: int, texts: Sequence[str]) -> None:
    done = {(row["text"], row["config"]) for row in rows(out)}
    for text in texts:
        whole, part = (_beginning(text, count) for count in (BYTES, BYTES // SHARE))
        task = {"corpus": "cpython/docstrings"}
        asked = {"name": "share", "task": task, "space": SPACE, "budget": {"trials": CONFIGS}}
        space = resolve(SweepFile.model_validate(asked)).space
        for number in range(CONFIGS):
            if (text, number) in done:
                continue
            config = space.sample(derive(0, "corpus share", number))
            dear = losses(config, whole, tokens)
            short, share = (losses(config, corpus, tokens // SHARE)[-1] for corpus in (whole, part))
            row = {"text": text, "config": number, "strategy": config.strategy, "dear": dear[-1]}
            keep(row | {"begun": dear[REPORTS // SHARE - 1], "short": short, "share": share}, out)


def _beginning(text: str, count: int) -> TokenizedCorpus:
    content = (Path(os.environ["METASEARCH_CORPORA"]) / text / "train.txt").read_bytes()[:count]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{text}.txt"
        path.write_text(content.decode("utf-8", "ignore"))
        return load(str(path), "byte", kinds=catalog.corpus_kinds())


def table(found: list[Row]) -> Iterator[str]:
    yield "| text | " + " | ".join(f"{way}: rank correlation | its best config, above the best" for way in WAYS) + " |"
    yield "|---" * (1 + 2 * len(WAYS)) + "|"
    for text in dict.fromkeys(row["text"] for row in found):
        own = [row for row in found if row["text"] == text]
        dear = np.array([row["dear"] for row in own])
        cells = []
        for way in WAYS:
            cheap = np.array([row[way] for row in own])
            alike = float(spearmanr(_ranked(cheap), _ranked(dear)).statistic)
            cells.append(f"{alike:.2f} | {100 * (dear[int(np.argmin(cheap))] / dear.min() - 1):+.1f} %")
        yield f"| {text} ({len(own)} configs) | " + " | ".join(cells) + " |"


def _ranked(values: np.ndarray) -> np.ndarray:
    """Finite, so that all that diverged share the last rank."""
    return np.where(np.isfinite(values), values, 1e9)


if __name__ == "__main__":
    run("Which cheap training tells most of a dear one.", "corpus_share", 480_000, TEXTS, study, table)
