"""Commands for what a sweep found: export, generate, retrain, reproduce, confirm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasearch.cli.driving import drive
from metasearch.cli.options import (
    AddressOption,
    CpusOption,
    JsonOption,
    QuietOption,
    StoreOption,
    TrialArgument,
    answer,
    existing,
    named_trial,
)

if TYPE_CHECKING:
    from metasearch.core.history import History
    from metasearch.sweep.again import Reproduction

NameOption = Annotated[str | None, typer.Option("--name", help="Name of the new sweep.")]


def register(app: typer.Typer) -> None:
    """Puts the commands of this file among those of ``app``."""
    for command in (export, generate, predict, retrain, reproduce, confirm):
        app.command()(command)


def export(
    trial: TrialArgument,
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    store: StoreOption = "./store",
    as_json: JsonOption = False,
) -> None:
    """Hand a trial's model over: weights, config, tokenizer, model card and loader in one folder."""
    from metasearch.core.task import LANGUAGE_MODEL
    from metasearch.sweep import handover

    opened = existing(store)
    made = handover.export(opened, *named_trial(opened, trial), out)
    lines = [
        f"{made.folder}: {made.sweep}/{made.trial} with {made.metric} {made.value:.4f} at step {made.step:,}, {made.bytes:,} bytes",
        *([f"its best was {made.best_value:.4f} at step {made.best_step:,}, of which no checkpoint is left"] * made.lost),
        f"Try it: metasearch {'generate' if made.kind == LANGUAGE_MODEL else 'predict'} {made.folder}",
    ]
    answer(vars(made), lines, as_json)


def generate(
    folder: Annotated[Path, typer.Argument(help="A folder that `metasearch export` wrote.")],
    prompt: Annotated[str, typer.Option(help="What the model goes on from.")] = "",
    tokens: Annotated[int, typer.Option(help="How many tokens it writes.")] = 200,
    temperature: Annotated[float, typer.Option(help="Below 1: likelier text, above: more varied; 0: the likeliest token.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Only so many of the likeliest tokens; all if left out.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: JsonOption = False,
) -> None:
    """Text from an exported model."""
    from metasearch.sweep import handover

    text = handover.generate(folder, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed)
    answer({"prompt": prompt, "text": text}, [prompt + text], as_json)


def predict(
    folder: Annotated[Path, typer.Argument(help="A folder that `metasearch export` wrote, of a classifier or translator.")],
    texts: Annotated[list[str], typer.Argument(help="One or several texts.")],
    as_json: JsonOption = False,
) -> None:
    """What an exported classifier or translator says of a text."""
    from metasearch.sweep import handover

    found = handover.predict(folder, texts)
    lines = [
        one["translation"] if "translation" in one else f"{one['label']}  {max(one['probability'].values()):.3f}" for one in found
    ]
    answer(found, lines, as_json)


def retrain(
    trial: TrialArgument,
    tokens: Annotated[str, typer.Option(help="Training tokens, such as 5M.")],
    seeds: Annotated[int, typer.Option(help="So many trials, each with a seed of its own.")] = 1,
    name: NameOption = None,
    store: StoreOption = "./store",
    address: AddressOption = None,
    cpus: CpusOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a trial's config for longer, with the schedule that it really followed."""
    from metasearch.sweep.again import retraining
    from metasearch.sweep.quantities import count
    from metasearch.sweep.run import begin

    opened = existing(store)
    sweep = retraining(opened, *named_trial(opened, trial), horizon=count(tokens), seeds=seeds, name=name)
    drive(store, sweep.name, quiet, as_json, lambda **how: begin(sweep, address=address, cpus=cpus, **how))


def confirm(
    sweep: Annotated[str, typer.Argument(help="Name of the sweep whose leaders are in question.")],
    top: Annotated[int, typer.Option(help="So many of its best configs.")] = 5,
    seeds: Annotated[int, typer.Option(help="So many new seeds for each.")] = 3,
    name: NameOption = None,
    store: StoreOption = "./store",
    address: AddressOption = None,
    cpus: CpusOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the leaders of a sweep again with new seeds: which are better for sure, and which are tied? Goes on if it was begun."""
    from metasearch.sweep import again, run

    opened = existing(store)
    asked = again.confirmation(opened, sweep, top=top, seeds=seeds, name=name)
    begun = asked.name in opened.sweeps()

    def go(**how: Any) -> Any:
        ran_on = {"address": address, "cpus": cpus, **how}
        return run.resume(asked.name, **ran_on) if begun else run.begin(asked, **ran_on)

    drive(store, asked.name, quiet, as_json, go, _standings)


def _standings(history: History) -> tuple[dict[str, Any], list[str]]:
    from metasearch.sweep.replicates import standings

    found = standings(history)
    noise = found[0].noise if found else None
    lines = ["noise between seeds cannot be told yet" if noise is None else f"noise between seeds {noise:.4f}"]
    for place, one in enumerate(found, start=1):
        mean = "no loss" if one.value is None else f"{one.value:.4f}"
        mark = {None: "", True: "  tied with the best", False: "  worse"}[one.tied] if place > 1 else ""
        lost = f", {one.lost} without a loss" if one.lost else ""
        lines.append(f"{place}. {mean} over {len(one.trials) - one.lost} seeds{lost}  {one.strategy}  [{one.config_id}]{mark}")
    return {"standings": [vars(one) for one in found]}, lines


def reproduce(
    trial: TrialArgument,
    tolerance: Annotated[float, typer.Option(help="Largest relative difference of a loss that counts as the same.")] = 0.001,
    store: StoreOption = "./store",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one trial again from its record and compare every loss; exit code 1 if they differ."""
    from metasearch.sweep import again

    def show(point: again.Point) -> None:
        if not quiet:
            typer.echo(f"step {point.step:>12,}  recorded {point.recorded:.6f}  now {point.again:.6f}", err=True)

    opened = existing(store)
    found = again.reproduce(opened, *named_trial(opened, trial), on_point=show)
    largest = found.largest_difference
    told = {**vars(found), "points": [vars(point) for point in found.points], "largest_difference": largest}
    answer(told, _reproduction_lines(found, tolerance), as_json)
    raise typer.Exit(0 if largest <= tolerance and math.isfinite(largest) else 1)


def _reproduction_lines(found: Reproduction, tolerance: float) -> list[str]:
    largest, reports = found.largest_difference, len(found.points)
    name = f"{found.sweep}/{found.trial}"
    if largest == 0.0:
        verdict = f"{name}: all {reports} losses are the same to the last bit"
    elif largest <= tolerance:
        verdict = f"{name}: {reports} losses differ by at most {largest:.2g} of their size, within {tolerance:g}"
    else:
        verdict = f"{name}: losses differ by up to {largest:.2g} of their size, more than {tolerance:g}"
    return [verdict, *(f"  {what}: {before} there, {now} here" for what, (before, now) in found.changed.items())]
