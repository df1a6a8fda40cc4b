"""Is the structure that earlier trials recommend a good one? Against 30 random structures at an equal number of tokens.

    METASEARCH_CORPORA=… python experiments/studies/structures.py --out structures.jsonl

On each text the first of ``metasearch meta structures`` is trained with the strategy that is recommended for it, and so are random
other structures, each with the strategy recommended for *it*: what differs is the structure alone. Known are the trials that come
with metasearch and nothing else. Trained too is the structure, of those, of which the meta-network's own weights have the
lowest loss.
Validation loss in nats per token. One thread; results are kept in a file, so that an interrupted study goes on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from kept_rows import Row, keep, rows, run

from metasearch import catalog
from metasearch.core.rng import derive
from metasearch.corpora import TokenizedCorpus, load
from metasearch.meta.network import shipped
from metasearch.meta.structures import Ranked
from metasearch.sweep.structures import ranked_structures
from metasearch.training.inits._shared import text_task
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget

TEXTS = (
    "corpora:pride_prejudice",
    "corpora:bible_zulu",
    "corpora:wikitext2_raw",
    "corpora:shakespeare_plays",
    "corpora:bible_syriac",
    "cpython/unicode_names",
)
WIDTHS = (32, 64, 128, 256)
RANDOM = 30
CPU = torch.device("cpu")


def trained(config: Mapping[str, Any], corpus: TokenizedCorpus, tokens: int) -> float:
    """The lowest validation loss."""
    trainer = Trainer(config, corpus, TrialBudget(tokens, 5), 0, CPU)
    losses = [math.inf]
    while not trainer.done:
        losses.append(trainer.advance().val_loss)
    return min(loss for loss in losses if not math.isnan(loss))


def chosen(text: str, corpus: TokenizedCorpus, tokens: int) -> Iterator[tuple[str, Ranked]]:
    """What is trained on a text, by its part in the study."""
    ranking = ranked_structures(corpus, tokens, widths=WIDTHS)
    yield "first", ranking[0]
    known = {(one.model, one.depth, one.width, one.tied): one for one in ranking}
    by_network = ((of.cell, of.depth, of.width, of.tied) for of, _ in shipped().structures(text_task(corpus), WIDTHS))
    yield "network", next(known[structure] for structure in by_network if structure in known)
    for number in derive(0, "random structures", text).permutation(len(ranking))[:RANDOM]:
        yield f"random {number}", ranking[number]


def study(out: Path, tokens: int, texts: Sequence[str]) -> None:
    done = {(row["text"], row["part"]) for row in rows(out)}
    for text in texts:
        corpus = load(text, kinds=catalog.corpus_kinds())
        for part, one in chosen(text, corpus, tokens):
            if (text, part) not in done:
                structure = f"{one.model} {one.depth} x {one.width} {'tied' if one.tied else 'untied'}"
                row = {"text": text, "part": part, "structure": structure, "score": one.score}
                row["loss"] = trained(one.config, corpus, tokens)
                keep(row, out)


def table(found: list[Row]) -> Iterator[str]:
    """By how much more loss the first proposal has than the best random structure, in percent, and what a random one has."""
    yield "| text | first proposal | its loss over the best of 30 random ones | the median one | the network's choice |"
    yield "|---|---|---|---|---|"
    columns: list[list[float]] = []
    for text in dict.fromkeys(row["text"] for row in found):
        of = {row["part"]: row for row in found if row["text"] == text}
        drawn = [row["loss"] for part, row in of.items() if part.startswith("random")]
        if not drawn or not {"first", "network"} <= of.keys():
            continue
        over = [100 * (loss / min(drawn) - 1) for loss in (of["first"]["loss"], statistics.median(drawn), of["network"]["loss"])]
        columns.append(over)
        yield f"| {text} | {of['first']['structure']} | " + " | ".join(f"{value:+.1f} %" for value in over) + " |"
    if columns:
        yield "| median | | " + " | ".join(f"{statistics.median(column):+.1f} %" for column in zip(*columns, strict=True)) + " |"


if __name__ == "__main__":
    run("Recommended structures against random ones.", "structures", 100_000, TEXTS, study, table)
