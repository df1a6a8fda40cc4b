"""Makes what structures are ranked by, besides all else that is known: the best of the shipped trials once more.

    python experiments/crossed_trials.py --store /tmp/crossed

Those of each text on the others, which tells what is good anywhere from what was good once, and the best one of each model on each
text in other depths and widths. They become ``metasearch/meta/crossed_trials.json.gz``, which is part of the package. About half an
hour on one core; with the same store it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "studies"))
from kept_rows import keep, rows

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.rng import derive_seed
from metasearch.core.space import Space
from metasearch.corpora import load
from metasearch.meta.shipped import CROSSED, PATH, read, write
from metasearch.sweep.compose import language_model_space
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget

TOKENS, REPORTS, BEST = 80_000, 10, 3
"""Of a trial that is made once more its tokens and reports; and how many of each model on each text."""

MODELS = ("lstm", "gru", "transformer")
STRUCTURES = ((1, 64), (1, 128), (1, 256), (2, 128), (2, 256), (3, 128))
"""Depths and widths in which the best one of each model on each text is made."""

CURVE = ("steps", "losses", "costs")
CPU = torch.device("cpu")


def crossed_trials(known: Archive, kept: Path) -> Archive:
    """The best of each text on the other texts, and in other structures."""
    space = language_model_space({}, search_unlisted=True)
    tasks = [task for task in known if task.horizon == TOKENS]
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
    trainer = Trainer(config, load(source), TrialBudget(TOKENS, REPORTS), derive_seed(0, "crossed", source, config.id), CPU)
    reports = []
    while not trainer.done:
        reports.append(trainer.advance())
    return dict(zip(CURVE, ([r.step for r in reports], [r.val_bpb for r in reports], [r.seconds for r in reports]), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the trials by which structures are ranked.")
    parser.add_argument("--store", type=Path, required=True, help="folder for what was trained")
    parser.add_argument("--out", type=Path, default=CROSSED, help="the file to write")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.store.mkdir(parents=True, exist_ok=True)
    write(crossed_trials(read(str(PATH)), asked.store / "crossed.jsonl"), asked.out)


if __name__ == "__main__":
    main()
