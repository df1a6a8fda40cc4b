"""``metasearch meta``: what is learned from all sweeps of a store, and what it is worth there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metasearch import catalog
from metasearch.cli.options import JsonOption, StoreOption, answer, existing
from metasearch.core.errors import UserError

SELECTOR, NETWORK = "selector", "network"

app = typer.Typer(no_args_is_help=True, help="What is learned from all sweeps of a store, and what it is worth there.")


@app.command()
def learn(
    part: Annotated[
        str, typer.Argument(help="selector or optimizer, which learn from sweeps, or network, which learns from corpora.")
    ] = SELECTOR,
    store: StoreOption = "./store",
    corpora: Annotated[list[str] | None, typer.Option(help="For network: a corpus to learn from; name several times.")] = None,
    out: Annotated[Path, typer.Option(help="For network: the file to write.")] = Path("network.safetensors"),
    width: Annotated[int, typer.Option(min=32, max=512, help="For network: units of the shared base.")] = 64,
    experts: Annotated[int, typer.Option(min=0, max=64, help="For network: recurrent weights to mix for a text.")] = 12,
    steps: Annotated[int, typer.Option(min=1, help="For network: steps of learning.")] = 4000,
    withheld: Annotated[float, typer.Option(min=0, max=1, help="For network: share of tasks of which nothing is told.")] = 0.15,
    ahead: Annotated[float, typer.Option(min=0, max=1, help="For network: share of steps that look some steps ahead.")] = 0.02,
    transliterated: Annotated[
        float, typer.Option(min=0, max=1, help="For network: share of texts in Latin letters learned from in other alphabets.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="For network.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Learn from all sweeps of the store for the next sweep with `meta`; or the meta-network, from corpora."""
    if part == NETWORK:
        from metasearch.meta.network import Recipe, Size
        from metasearch.sweep.network import BUILT_IN, learn_network

        recipe = Recipe(steps=steps, withheld=withheld, few_step_share=ahead, transliterated=transliterated)
        learned = learn_network(corpora or BUILT_IN, out, Size(width=width, experts=experts), recipe, seed, _to_stderr)
        answer(learned, [f"{out}: learned from {len(learned['sources'])} corpora, {learned['bytes']:,} bytes"], as_json)
        return
    from metasearch.cli.learned import card_of, learned_lines
    from metasearch.sweep.learned import checked_part, prepared

    asked = checked_part(part)
    card = prepared(existing(store), asked)
    answer(card_of(card), learned_lines(card), as_json)


@app.command()
def apply(
    corpus: Annotated[str, typer.Option(help="A corpus, as in a sweep file.")],
    out: Annotated[Path, typer.Option(help="Folder for the model and its description.")],
    network: Annotated[Path | None, typer.Option(help="A learned network; the one that comes with metasearch if left out.")] = None,
    tokenizer: Annotated[str, typer.Option(help="byte, char, word or bpe.")] = "byte",
    cell: Annotated[str | None, typer.Option(help="lstm or gru; the network chooses if left out.")] = None,
    depth: Annotated[int | None, typer.Option(help="1 to 4; the network chooses if left out.")] = None,
    width: Annotated[int, typer.Option(help="32 to 512.")] = 128,
    tied: Annotated[bool | None, typer.Option("--tied/--untied", help="The network chooses if left out.")] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Length of the training to come, such as 10M: what you leave open is then what earlier trials recommend."
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="With --tokens: a store whose sweeps count too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """A model for a corpus that nobody trained: the meta-network's structure and weights, and their loss."""
    from metasearch.sweep.network import applied_lines, apply_network
    from metasearch.sweep.quantities import count

    chosen = {"cell": cell, "depth": depth, "tied": tied}
    asked = {name: value for name, value in chosen.items() if value is not None}
    if store is not None and tokens is None:
        raise UserError(
            "--store tells which structures did well, which depends on the length of the training: add --tokens, such as 10M."
        )
    length, known = None if tokens is None else count(tokens), None if store is None else existing(store)
    found = apply_network(corpus, tokenizer, out, width, asked, network, length, known)
    answer(found, applied_lines(found, out), as_json)


@app.command()
def structures(
    corpus: Annotated[str, typer.Option(help="A corpus, as in a sweep file.")],
    tokens: Annotated[str, typer.Option(help="Length of the training, such as 300k or 10M.")],
    store: Annotated[str | None, typer.Option(help="A store whose sweeps count too, besides what comes with metasearch.")] = None,
    tokenizer: Annotated[str, typer.Option(help="byte, char, word or bpe.")] = "byte",
    top: Annotated[int, typer.Option(min=1, help="So many are listed.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Which structures suit a corpus and a length of training, and with which strategy, by earlier trials."""
    from metasearch.corpora import load
    from metasearch.sweep.quantities import count
    from metasearch.sweep.structures import ranked_structures, ranking_lines, ranking_records

    known = None if store is None else existing(store)
    found = ranked_structures(load(corpus, tokenizer, kinds=catalog.corpus_kinds()), count(tokens), known)
    answer(ranking_records(found[:top]), ranking_lines(found, top), as_json)


@app.command()
def card(
    digest: Annotated[str | None, typer.Argument(help="Which theta, by its first digits; the newest if left out.")] = None,
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """What a theta was learned from, and how it did on tasks that it had not seen."""
    from metasearch.cli.learned import card_lines, card_of, chosen_card

    found = chosen_card(existing(store), digest)
    answer(card_of(found), card_lines(found), as_json)


@app.command("eval")
def evaluate(
    store: StoreOption = "./store",
    tasks: Annotated[int | None, typer.Option(min=1, help="At most so many tasks; all if left out.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches per task and algorithm.")] = 3,
    budget: Annotated[float, typer.Option(help="In full trainings: the median length of a task's trials.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Would it have paid off? Every task of the store is searched again in virtual time, knowing only the other tasks."""
    from metasearch.cli.learned import evaluation_lines
    from metasearch.sweep.evaluation import evaluate as held_out

    found = held_out(existing(store), tasks=tasks, seeds=seeds, budget=budget, note=_to_stderr)
    answer(found.record(), evaluation_lines(found), as_json)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
