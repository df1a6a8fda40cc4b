"""Experience for the meta-optimizer: trials that are branched, and what was learned from them.

    python experiments/branched_trials.py --curves /tmp/branches.jsonl --out metasearch/meta/optimizer.safetensors

Small models of several kinds train on CPython's texts from all learning rates. At one or two moments the state of a trial is kept,
and from there it goes on once for each of several directives, which scale the learning rate, begin or put off the decay, or begin
anew with a lower one. Trial number n is a function of n alone. Curves are kept in ``--curves``, where a run that was cut short goes
on; what is learned from them is written with a card. About two hours on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metasearch import catalog
from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.event import Directive
from metasearch.core.rng import derive
from metasearch.corpora import TokenizedCorpus, as_task, load
from metasearch.corpora.cpython import BUILTINS
from metasearch.meta._experience_learning import anew
from metasearch.meta._twins import MEASURED
from metasearch.meta.experience import write
from metasearch.sweep.compose import language_model_space
from metasearch.training.loop import Trainer
from metasearch.training.report import Report, TrialBudget

REPORTS = 20
MODELS, WIDTHS = (
    {"lstm": 0.6, "gru": 0.25, "transformer": 0.15},
    {"lstm": (32, 48, 64), "gru": (32, 48, 64), "transformer": (32, 48)},
)
OPTIMIZERS = {"adamw": 0.6, "adam": 0.08, "nadam": 0.08, "lion": 0.08, "muon": 0.08, "sgd": 0.08}
SCHEDULES = {"constant": 0.5, "cosine": 0.25, "warmup_stable_decay": 0.15, "linear": 0.1}
TOKENS, LONG_TOKENS = {64_000: 0.7, 128_000: 0.3}, {64_000: 0.5, 128_000: 0.3, 256_000: 0.2}
LOWEST, SCALES = 1 / 60, (0.1, 1 / 3, 3.0, 10.0, 30.0)
RESTARTS = {1 / 30: 2.2, 0.1: 1.2, 1 / 3: 0.5}
"""Factors on the learning rate of a trial that begins anew, and the log of the excess from which on that is tried."""

EARLIEST_REPORTS = 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Stage:
    """A range of trials that are branched alike. ``highest``: factor on the middle learning rate. ``early``, ``late``: the reports
    among which one is chosen to branch after, and into how many. ``restarts``: weights of beginning anew; empty to scale alone.
    ``long``: lengths of LSTMs and their shares; ``others``: those of other models. ``decays``: only the decay is begun or put off.
    """

    numbers: range
    highest: float
    early: tuple[int, ...]
    late: tuple[int, ...]
    branches: tuple[int, int]
    restarts: tuple[float, ...]
    long: Mapping[int, float]
    others: Mapping[int, float] = field(default_factory=lambda: TOKENS)
    models: Mapping[str, float] = field(default_factory=lambda: MODELS)
    schedules: Mapping[str, float] = field(default_factory=lambda: SCHEDULES)
    lowest: float = LOWEST
    decays: bool = False


MIDDLE = {64_000: 0.4, 128_000: 0.6}
EVEN, LEVEL = {"lstm": 0.4, "gru": 0.3, "transformer": 0.3}, {"constant": 0.8, "warmup_stable_decay": 0.2}
LONGISH = {192_000: 0.5, 256_000: 0.5}
HALF, FALLING = {"lstm": 0.5, "gru": 0.25, "transformer": 0.25}, {**SCHEDULES, "constant": 0.3, "cosine": 0.45}
SHORTER, LONGER = {16_000: 0.5, 32_000: 0.5}, {512_000: 0.6, 1_024_000: 0.4}
STAGES = (
    Stage(range(20, 105), 20.0, (1, 2, 2, 3), (4, 7, 10, 14), (3, 2), (), LONG_TOKENS),
    Stage(range(1000, 1041), 20.0, (1, 2, 2, 3), (4, 7, 10, 14), (4, 3), (0.5, 0.7, 0.5), LONG_TOKENS),
    Stage(range(2000, 2060), 40.0, (1, 2, 3), (), (5, 5), (1.5, 2.0, 1.5), {64_000: 0.5, 128_000: 0.25, 256_000: 0.25}),
    Stage(range(3000, 3032), 20.0, (1, 2, 2, 3), (4, 7, 10, 14), (4, 3), (0.5, 0.7, 0.5), SHORTER, SHORTER),
    Stage(range(4000, 4014), 20.0, (1, 2, 2, 3), (4, 7, 10, 14), (4, 3), (0.5, 0.7, 0.5), LONGER, {512_000: 1.0}),
    Stage(range(5000, 5090), 12.0, (3, 4, 5, 6, 7), (8, 9, 10, 11, 12, 13), (2, 2), (), *2 * (MIDDLE,), EVEN, LEVEL, 1 / 12, True),
    Stage(range(6000, 6036), 40.0, (1, 1, 2, 3), (), (5, 5), (1.5, 2.0, 1.5), *2 * (MIDDLE,), HALF, FALLING, 3.0),
    Stage(range(7000, 7020), 40.0, (1, 1, 2), (), (4, 4), (1.5, 2.0, 1.5), *2 * (LONGISH,), HALF, FALLING, 8.0),
)


def trials_of(number: int, stage: Stage) -> Iterator[dict[str, Any]]:
    """The curves of one trial, left alone and branched."""
    rng, text = derive(number, "branch"), "cpython/" + sorted(BUILTINS)[number % len(BUILTINS)]
    model = _one(rng, stage.models)
    width, optimizer = int(rng.choice(WIDTHS[model])), _one(rng, OPTIMIZERS)
    schedule = _one(rng, stage.schedules)
    strategy = {"model": model, "width": width, "optimizer": optimizer, "schedule": schedule}
    config = dict(language_model_space(strategy, search_unlisted=False).complete({}))
    excess = float(rng.uniform(math.log(stage.lowest), math.log(stage.highest)))
    config["lr"] = float(2.0 * config["lr"] * np.exp(excess))
    lengths = stage.long if model == "lstm" else stage.others
    budget = TrialBudget(int(rng.choice(list(lengths), p=list(lengths.values()))), REPORTS)
    corpus = _corpus(text)
    moments = [int(rng.choice(reports)) for reports in (stage.early, stage.late) if reports]

    def fresh() -> Trainer:
        return Trainer(config, corpus, budget, number, CPU)

    alone, reports, kept = fresh(), [], {}
    while not alone.done:
        reports.append(alone.advance())
        if len(reports) in moments:
            kept[len(reports)] = alone.checkpoint()
    facts = {"number": number, "text": text, "horizon": budget.tokens, "config": config}
    yield facts | {"at": None, "directive": {}} | _curve(reports)
    for at, state in kept.items():
        for directive in _chosen(rng, stage, at, excess, schedule):
            branch = fresh()
            branch.restore(state)
            branch.obey(Directive(**directive))
            yield facts | {"at": at, "directive": directive} | _curve([*reports[:at], *_rest(branch)])


def _corpus(text: str) -> TokenizedCorpus:
    return load(text, "byte", kinds=catalog.corpus_kinds())


def _one(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _chosen(rng: np.random.Generator, stage: Stage, at: int, excess: float, schedule: str) -> list[dict[str, Any]]:
    """What is tried at a moment: changes towards the middle more often."""
    if stage.decays:
        return [{"begin_decay": True}, {"postpone_decay": float(rng.choice([0.6, 0.8, 0.9]))}]
    options: list[dict[str, Any]] = [{"lr_scale": scale} for scale in SCALES]
    weights = [math.exp(-0.12 * abs(excess + math.log(scale)) ** 1.5) + 0.08 for scale in SCALES]
    if stage.restarts:
        options += [{"begin_decay": True}, {"postpone_decay": 0.6 if at < 12 else 0.9}, {"postpone_decay": 0.8}]
        weights += [0.15 if schedule == "linear" else 0.7, *((0.1, 0.1) if schedule == "constant" else (0.4, 0.5))]
        if at <= EARLIEST_REPORTS:
            options += [{"lr_scale": scale, "restart": True} for scale in RESTARTS]
            weights += [weight * (excess > least) for weight, least in zip(stage.restarts, RESTARTS.values(), strict=True)]
    share = np.array(weights) + (1e-9 if stage.restarts else 0.0)
    count = stage.branches[0] if at <= EARLIEST_REPORTS else stage.branches[1]
    return [options[k] for k in rng.choice(len(options), size=count, replace=False, p=share / share.sum())]


def _rest(trainer: Trainer) -> Iterator[Report]:
    while not trainer.done:
        yield trainer.advance()


def _curve(reports: list[Report]) -> dict[str, list[float]]:
    losses = [math.inf if report.diverged else report.val_bpb for report in reports]
    return {"steps": [report.step for report in reports], "losses": losses, "lrs": [report.lr for report in reports]}


def archive_of(curves: Path, wanted: set[int]) -> Archive:
    """The kept curves, those of one text and length as one task."""
    tasks: dict[tuple[str, int], list[PastTrial]] = {}
    for row in map(json.loads, curves.read_text().splitlines()):
        if row["number"] in wanted:
            steps = tuple(row["steps"])
            told = {} if row["at"] is None else {steps[row["at"] - 1]: Directive(**row["directive"])}
            trial = PastTrial(
                Config(row["config"]),
                {},
                steps,
                tuple(row["losses"]),
                tuple(float(step) for step in steps),
                seed=row["number"],
                lrs=tuple(row["lrs"]),
                directed=told,
            )
            tasks.setdefault((row["text"], row["horizon"]), []).append(trial)
    descriptors = {text: as_task(_corpus(text)).descriptor for text, _ in tasks}
    named = ((f"{text}/{horizon}", text, horizon, tuple(trials), frozenset()) for (text, horizon), trials in tasks.items())
    return Archive(tuple(PastTask(*task, descriptors[task[1]], *MEASURED) for task in named))


def main() -> None:
    parser = argparse.ArgumentParser(description="Branches trials, and learns from them what changes of learning rates are worth.")
    parser.add_argument("--curves", type=Path, required=True, help="file for the curves, one JSON line for each")
    parser.add_argument("--out", type=Path, required=True, help="what was learned")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done = {json.loads(line)["number"] for line in asked.curves.read_text().splitlines()} if asked.curves.exists() else set()
    for stage in STAGES:
        for number in (number for number in stage.numbers if number not in done):
            rows = [json.dumps(row) for row in trials_of(number, stage)]
            with asked.curves.open("a") as file:
                file.write("".join(row + "\n" for row in rows))
            print(f"trial {number}: {len(rows)} curves", flush=True)
    archive = archive_of(asked.curves, {number for stage in STAGES for number in stage.numbers})
    learned = anew(archive)
    print(json.dumps(write(asked.out, learned, archive, platform.python_version()), indent=2))


if __name__ == "__main__":
    main()
