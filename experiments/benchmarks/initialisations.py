"""What a start is worth: loss of an LSTM or GRU after some steps from several initialisations, on corpora no network learned from.

    METASEARCH_CORPORA=… python experiments/benchmarks/initialisations.py --folder starts [--seeds 1] [--last 100] [--sources 8]
    … --last 3000 --rates 0.003 0.01 [--bytes 150000]

Learns up to two networks over the same ``SOURCES``, if they are not in the folder yet: the meta-network, which brings along what
Reptile learned at about the same cost, and a pooled model (nothing is told of any text).
Every start is trained on every corpus of ``HELD_OUT`` at every rate; the rate for a corpus is the one that is best on the others
at the last mark, or by the lowest loss of all marks where corpora are cut short (``--bytes``) and may be learned by heart. Results
are appended to a file, so that an interrupted study goes on; table and plot (``.html``, beside it) are made from that file.

Validation text, nats per byte. "null" is the meta-network that is told nothing, "wrong" the one that is told of another held-out
text. One thread.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from plotly import colors, graph_objects
from plotly.subplots import make_subplots

from metasearch.corpora import TokenizedCorpus, load
from metasearch.meta.network import MetaNetwork, Recipe, Size, Structure
from metasearch.models import gru, lstm
from metasearch.models._language_model import LanguageModel
from metasearch.sweep.network import config_of, learn_network
from metasearch.training.corpus import Stream
from metasearch.training.evaluation import cross_entropy, validation_loss
from metasearch.training.inits._shared import set_unigram_bias, take, text_task

BIBLES = (
    "armenian",
    "ashaninka",
    "aukan",
    "chamorro",
    "dinka",
    "latvian",
    "romani",
    "swahili",
    "ukranian",
    "uma",
    "zulu",
    "quichua",
)
SOURCES = (
    *(f"corpora/bible_{language}" for language in BIBLES),
    *(f"corpora/{name}" for name in ("state_of_union", "war_and_peace", "shakespeare_plays")),
    *(f"cpython/{n}" for n in ("ast_dumps", "bytecode", "comments", "language_reference", "stdlib_code", "unicode_names")),
)
"""Of fewer than all, those at equal distances: some of every kind."""
HELD_OUT = {
    "corpora/inaugural": "near",
    "corpora/pride_prejudice": "near",
    "cpython/docstrings": "near",
    "corpora/bible_basque": "mid",
    "corpora/wikitext2_raw": "mid",
    "cpython/codec_tables": "mid",
    "corpora/bible_syriac": "far",
    "corpora/bible_cherokee": "far",
    "corpora/bible_coptic": "far",
}
"""near: language and kind of text are among the sources. mid: the script is. far: neither is."""

MARKS = (0, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000)
LAST = 300
RATES = (3e-3, 1e-2, 2e-2)
CELLS = ("lstm", "gru")
ROWS, LENGTH, MEASURED = 8, 64, 16_384
CPU = torch.device("cpu")

RECIPES = {
    "meta": Recipe(),
    "pooled": Recipe(withheld=1.0),
}

Start = Callable[[LanguageModel, TokenizedCorpus], None]


PLAIN: dict[str, Start] = {"default": lambda model, corpus: None, "unigram": set_unigram_bias}
LEARNED = {
    "pooled": ("pooled", "pooled"),
    "reptile": ("meta", "reptile"),
    "nearest": ("meta", "nearest"),
    "null": ("meta", "pooled"),
    "wrong": ("meta", "meta"),
    "meta": ("meta", "meta"),
}
"""The network of each start, and which of its weights."""


def start_of(name: str, folder: Path, structure: Structure, count: int) -> Start:
    """One of ``PLAIN`` or ``LEARNED``; its network is learned now if it is not in the folder."""
    if name in PLAIN:
        return PLAIN[name]
    recipe, start = LEARNED[name]
    path = folder / f"{recipe}-{count}.safetensors"
    if not path.exists():
        sources = [SOURCES[index * len(SOURCES) // count] for index in range(count)]
        learn_network(sources, path, Size(), RECIPES[recipe], 0, lambda line: print(recipe, line))
    network = MetaNetwork.load(path)

    def begin(model: LanguageModel, corpus: TokenizedCorpus) -> None:
        told = load(_another(corpus.name)) if name == "wrong" else corpus
        take(model, network.weights(text_task(told), structure, start))
        if told is not corpus:
            set_unigram_bias(model, corpus)

    return begin


def _another(name: str) -> str:
    """The next of the held-out texts."""
    held_out = list(HELD_OUT)
    return held_out[(held_out.index(name) + 1) % len(held_out)]


def curve(start: Start, structure: Structure, corpus: TokenizedCorpus, rate: float, seed: int, last: int) -> list[float]:
    """Validation losses at the marks up to ``last``; Adam, rows that begin at places shifted by the seed."""
    torch.manual_seed(seed)
    model = (lstm if structure.cell == CELLS[0] else gru).build({**config_of(structure), "dropout": 0.0}, corpus.vocab_size)
    start(model, corpus)
    optimizer, stream, state = torch.optim.Adam(model.parameters(), lr=rate), Stream(corpus.train, ROWS), model.initial_state(ROWS)
    losses = []
    for step in range(last + 1):
        if step in MARKS:
            losses.append(validation_loss(model, corpus.valid, context=128, most_tokens=MEASURED, device=CPU))
            model.train()
        inputs_BT, targets_BT = stream.read(seed * 9973 + step * LENGTH, LENGTH)
        logits_BTV, state = model(inputs_BT, state)
        state = tuple(tensor.detach() for tensor in state)
        optimizer.zero_grad()
        cross_entropy(logits_BTV, targets_BT).backward()
        optimizer.step()
    return losses


def short(corpus: TokenizedCorpus, most: int | None) -> TokenizedCorpus:
    """The same with the first ``most`` bytes of its training text alone."""
    return replace(corpus, train=corpus.train[:most])


def study(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Results that are not in the file yet, one at a time."""
    width, count, last = asked.width, asked.sources, asked.last
    structure = Structure(asked.cell, 1, width)
    runners = {name: start_of(name, asked.folder, structure, count) for name in asked.starts}
    known = {tuple(row[key] for key in KEYS) for row in results(results_file(asked))}
    for seed in range(asked.seeds):
        for source in HELD_OUT:
            corpus = short(load(source), asked.bytes)
            for name, start in runners.items():
                for rate in asked.rates:
                    if (width, count, seed, source, name, rate) not in known:
                        losses = curve(start, structure, corpus, rate, seed, last)
                        yield dict(zip(KEYS, (width, count, seed, source, name, rate), strict=True)) | {"losses": losses}


KEYS = ("width", "sources", "seed", "corpus", "start", "rate")


def results_file(asked: argparse.Namespace) -> Path:
    cell, cut = "" if asked.cell == CELLS[0] else f"-{asked.cell}", "" if asked.bytes is None else f"-{asked.bytes}-bytes"
    return Path(asked.folder / f"results-{asked.last}{cell}{cut}.jsonl")


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tuned(rows: list[dict[str, Any]], end: Callable[[list[float]], float]) -> dict[str, dict[str, list[float]]]:
    """Per start and corpus the losses at ``MARKS``, mean over seeds, at the rate whose ``end`` is best on the other corpora."""
    table: dict[str, dict[str, dict[float, list[float]]]] = {}
    for start, corpus, rate in dict.fromkeys((row["start"], row["corpus"], row["rate"]) for row in rows):
        same = [row["losses"] for row in rows if (row["start"], row["corpus"], row["rate"]) == (start, corpus, rate)]
        table.setdefault(start, {}).setdefault(corpus, {})[rate] = [mean(column) for column in zip(*same, strict=True)]
    found: dict[str, dict[str, list[float]]] = {}
    for start, corpora in table.items():
        for corpus, by_rate in corpora.items():
            others = [other for name, other in corpora.items() if name != corpus]
            rate = min(by_rate, key=lambda rate: mean(end(other[rate]) for other in others)) if others else min(by_rate)
            found.setdefault(start, {})[corpus] = by_rate[rate]
    return found


def lines(found: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    columns = len(next(iter(next(iter(found.values())).values())))
    yield "| start | stratum | " + " | ".join(f"step {mark}" for mark in MARKS[:columns]) + " | lowest |"
    yield "|---|---|" + "---|" * (columns + 1)
    for stratum in ("near", "mid", "far", "all"):
        for start, corpora in found.items():
            chosen = [losses for corpus, losses in corpora.items() if stratum in ("all", HELD_OUT[corpus])]
            if chosen:
                means = [*(mean(column) for column in zip(*chosen, strict=True)), mean(min(losses) for losses in chosen)]
                yield f"| {start} | {stratum} | " + " | ".join(f"{value:.3f}" for value in means) + " |"


def speed(found: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    """After how many steps each start is where another one is at the last mark; the mean curve over all corpora."""
    curves = {start: [mean(column) for column in zip(*corpora.values(), strict=True)] for start, corpora in found.items()}
    yield "| start | " + " | ".join(f"reaches the end of {other} after" for other in curves) + " |"
    yield "|---|" + "---|" * len(curves)
    for start, curve in curves.items():
        cells = (steps_to(curve, other[-1]) for other in curves.values())
        yield f"| {start} | " + " | ".join("–" if steps is None else f"{steps:.0f}" for steps in cells) + " |"


def steps_to(losses: list[float], wanted: float) -> float | None:
    """Steps after which a curve over ``MARKS`` is as low as ``wanted``, on straight lines between marks; None if it never is."""
    if losses[0] <= wanted:
        return 0.0
    for mark, (before, after) in enumerate(pairwise(losses)):
        if after <= wanted:
            share = (before - wanted) / (before - after)
            return MARKS[mark] + share * (MARKS[mark + 1] - MARKS[mark])
    return None


def write_plot(found: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Mean curves of all starts, a panel for each stratum; steps on a logarithmic scale that begins at 0."""
    strata = {one: [name for name, of in HELD_OUT.items() if one in ("all", of)] for one in ("near", "mid", "far", "all")}
    colours = dict(zip(found, colors.qualitative.Plotly, strict=False))
    figure = make_subplots(1, len(strata), subplot_titles=list(strata))
    for column, (stratum, names) in enumerate(strata.items(), start=1):
        for start, corpora in found.items():
            of_start = [corpora[name] for name in names if name in corpora]
            if of_start:
                loss = [mean(losses) for losses in zip(*of_start, strict=True)]
                steps = [math.log10(1 + mark) for mark in MARKS[: len(loss)]]
                line = graph_objects.Scatter(
                    x=steps, y=loss, name=start, legendgroup=start, showlegend=stratum == "all", line={"color": colours[start]}
                )
                figure.add_trace(line, 1, column)
    places = [0, 10, 30, 100, 300, 1000, 3000]
    figure.update_xaxes(
        title="steps", tickvals=[math.log10(1 + place) for place in places], ticktext=[str(place) for place in places]
    )
    figure.update_yaxes(title="validation nats per byte", col=1)
    figure.write_html(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cell", choices=CELLS, default=CELLS[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--last", type=int, choices=MARKS[1:], default=LAST, help="how many steps each start is trained")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="learning rates, of which one is chosen per start")
    parser.add_argument("--bytes", type=int, help="of each training text that are read and trained on; all, if not given")
    parser.add_argument("--starts", nargs="+", choices=[*PLAIN, *LEARNED], default=[*PLAIN, *LEARNED])
    parser.add_argument("--sources", type=int, choices=range(2, len(SOURCES) + 1), metavar="N", default=len(SOURCES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = results_file(asked)
    for row in study(asked):
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    rows = [row for row in results(path) if (row["width"], row["sources"]) == (asked.width, asked.sources)]
    found = tuned(rows, (lambda losses: losses[-1]) if asked.bytes is None else min)
    print("\n".join((*lines(found), "", *speed(found))))
    write_plot(found, path.with_suffix(".html"))


if __name__ == "__main__":
    main()
