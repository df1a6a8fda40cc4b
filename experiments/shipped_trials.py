"""Makes what a meta-selector knows before anybody's first sweep: trials on the texts that Python brings along.

    python experiments/shipped_trials.py --store /tmp/shipped

Random ones over the whole space, of three lengths, and sweeps of TPE with ASHA over the part of it that most people search, with
defaults for all else. Then the best of them once more: those of each text on the others, which tells what is good anywhere from
what was good once, and in other depths and widths. They become ``metasearch/meta/shipped_trials.json.gz``, which is part of the
package. With the same store it goes on where it stopped. With ``--known FILE`` the trials of sweeps are those of an earlier result.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent / "studies"))
from kept_rows import keep, rows

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.rng import derive_seed
from metasearch.core.space import Space
from metasearch.corpora import load
from metasearch.meta.shipped import PATH, read, write
from metasearch.store.archive import Store
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget

CORPORA = ("comments", "ast_dumps", "language_reference", "stdlib_code")

TRIALS = {20_000: 20, 80_000: 24, 320_000: 10}
"""By the tokens of a trial, how many there are on each corpus."""

SEARCHED = {80_000: 20}
"""By the tokens of a trial, how many full trainings TPE with ASHA gets on each corpus."""

CROSSED, BEST = 80_000, 3
"""The tokens of trials that are made once more, and how many of each model on each text."""

STRUCTURES = ((1, 64), (1, 128), (1, 256), (2, 128), (2, 256), (3, 128))
"""Depths and widths in which the best one of each model on each text is made."""

RANDOM, TPE = {"searcher": "random", "scheduler": "fifo"}, {"searcher": "tpe", "scheduler": "asha"}
AT_RANDOM, SEARCHING = "shipped", "usual"
REPORTS = 10
CURVE = ("steps", "losses", "costs")
CPU = torch.device("cpu")
SIZES = {
    "width": {"int": [32, 256], "log": True},
    "depth": {"int": [1, 3]},
    "batch_size": {"int": [4, 16], "log": True},
}
WHOLE = {**SIZES, "init": "default"}
MODELS = ["lstm", "gru", "transformer"]
USUAL = {
    "model": MODELS,
    "optimizer": ["adamw", "adam", "lion", "sgd", "muon"],
    "schedule": ["constant", "cosine", "linear", "warmup_stable_decay"],
    "clipping": ["none", "norm"],
    **SIZES,
    "lr": "search",
    "weight_decay": "search",
    "dropout": {"float": [0.0, 0.3]},
}


@dataclass(frozen=True)
class Made:
    """How trials are made. ``unlisted``: what becomes of parameters that ``space`` does not name."""

    name: str
    space: Mapping[str, Any]
    unlisted: str
    search: Mapping[str, str]


def sweep_file(made: Made, corpus: str, tokens: int, budget: Mapping[str, Any], seed: int) -> SweepFile:
    return SweepFile(
        name=f"{made.name}-{corpus.replace('_', '-')}-{tokens // 1000}k",
        task={"corpus": f"cpython/{corpus}", "tokenizer": "byte"},
        space=made.space,
        unlisted=made.unlisted,
        search=made.search,
        budget=budget,
        trial={"tokens": tokens, "reports": REPORTS},
        resources={"cpu": 1},
        seed=seed,
    )


def random_trials(store: Store) -> Archive:
    made = Made(AT_RANDOM, WHOLE, "search", RANDOM)
    for seed, (tokens, corpus) in enumerate((tokens, corpus) for tokens in TRIALS for corpus in CORPORA):
        launch_or_resume(sweep_file(made, corpus, tokens, {"trials": TRIALS[tokens]}, seed), store)
    return store.archive()


def searched_trials(store: Store) -> Archive:
    made = Made(SEARCHING, USUAL, "default", TPE)
    for seed, (tokens, corpus) in enumerate((tokens, corpus) for tokens in SEARCHED for corpus in CORPORA):
        launch_or_resume(sweep_file(made, corpus, tokens, {"tokens": SEARCHED[tokens] * tokens}, seed), store)
    return store.archive()


def crossed_trials(known: Archive, kept: Path) -> Archive:
    """The best of each text on the other texts, and in other structures; made here, one after another, not by a sweep."""
    space = language_model_space({}, search_unlisted=True)
    tasks = [task for task in known if task.horizon == CROSSED]
    done = {(row["task"], Config(row["config"]).id): row for row in rows(kept)}
    made: dict[str, list[PastTrial]] = {task.name: [] for task in tasks}
    for task, config in asked_again(tasks, space):
        row = done.get((task.name, config.id))
        if row is None:
            row = {"task": task.name, "config": dict(config), **trained(task.name, config)}
            keep(row, kept)
        trial = PastTrial(config, space.encode(config), **{part: tuple(row[part]) for part in CURVE}, sweep=f"crossed-{task.name}")
        made[task.name].append(trial)
    return Archive(tuple(replace(task, trials=tuple(made[task.name])) for task in tasks))


def asked_again(tasks: Sequence[PastTask], space: Space) -> Iterator[tuple[PastTask, Config]]:
    """By text, each config once."""
    best = {task.name: [best_of(task, model) for model in MODELS] for task in tasks}
    for task in tasks:
        others = [config for name, models in best.items() if name != task.name for model in models for config in model]
        shaped = [
            {**configs[0], "depth": depth, "width": width} for configs in best[task.name] for depth, width in STRUCTURES if configs
        ]
        wanted = [space.complete({**config, "init": "default"}) for config in (*others, *shaped)]
        for config in {config.id: config for config in wanted}.values():
            yield task, config


def best_of(task: PastTask, model: str) -> list[Config]:
    same = [trial for trial in task.trials if trial.config["model"] == model and math.isfinite(trial.lowest)]
    return [trial.config for trial in sorted(same, key=lambda trial: trial.lowest)[:BEST]]


def trained(source: str, config: Config) -> dict[str, list[float]]:
    """The curve of a training: tokens, bits per byte, seconds."""
    trainer = Trainer(config, load(source), TrialBudget(CROSSED, REPORTS), derive_seed(0, "crossed", source, config.id), CPU)
    reports = []
    while not trainer.done:
        reports.append(trainer.advance())
    return dict(zip(CURVE, ([r.step for r in reports], [r.val_bpb for r in reports], [r.seconds for r in reports]), strict=True))


def those_of(archive: Archive, prefixes: tuple[str, ...]) -> Archive:
    """Of sweeps whose names begin so."""
    return Archive(tuple(replace(task, trials=tuple(t for t in task.trials if t.sweep.startswith(prefixes))) for task in archive))


def together(tasks: Iterable[PastTask]) -> Archive:
    """One task for all trials of the same text and length."""
    found: dict[tuple[str, int], PastTask] = {}
    for task in tasks:
        known = found.get((task.id, task.horizon))
        found[task.id, task.horizon] = task if known is None else replace(known, trials=known.trials + task.trials)
    return Archive(tuple(found.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the trials that the package knows from the start.")
    parser.add_argument("--store", type=Path, required=True, help="folder for the store of the trials")
    parser.add_argument("--out", type=Path, default=PATH, help="the file to write")
    parser.add_argument("--known", type=Path, help="a file with the trials of sweeps, so that they are not made again")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.store.mkdir(parents=True, exist_ok=True)
    if asked.known:
        known = those_of(read(str(asked.known)), (AT_RANDOM, SEARCHING))
    else:
        made = [*random_trials(Store(asked.store / "random")), *searched_trials(Store(asked.store / "searched"))]
        known = together(made)
    write(together([*known, *crossed_trials(known, asked.store / "crossed.jsonl")]), asked.out)


if __name__ == "__main__":
    main()
