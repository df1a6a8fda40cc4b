"""What the first sweep of a store finds, in real training with one worker: TPE with ASHA, and the meta-selector with what it ships.

    METASEARCH_CORPORA=… python experiments/studies/first_sweeps.py --out first.jsonl --methods tpe none shipped

``none``: the meta-selector that knows nothing; ``shipped``: with the trials of the package; any other method is a file of trials
that ``experiments/shipped_trials.py`` made. All sweeps of a text and seed have the same budget. Printed is the lowest loss so far,
over the lowest of any method on the same text and seed, in percent, after some shares of the budget. One thread and one worker, so
that a sweep is the same whenever it is made; what is there already in the file is not made again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from kept_rows import Row, keep, rows
from steering import CPU

sys.path.insert(0, str(Path(__file__).parents[1]))
from consecutive_sweeps import REPORTS, TRIAL_TOKENS, Trajectory, sweep_file, trajectory

from metasearch import catalog
from metasearch.backends.simulated import simulate
from metasearch.core.engine import Engine
from metasearch.core.event import TrialId
from metasearch.core.history import History, Trial
from metasearch.core.protocols import MemoryLog, Progress
from metasearch.corpora import load
from metasearch.meta.shipped import NONE, VARIABLE
from metasearch.sweep import learned
from metasearch.sweep.resolving import resolve
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget

TEXTS = tuple(
    f"corpora:{name}"
    for name in ("pride_prejudice", "wikitext2_raw", "shakespeare_plays", "bible_zulu", "state_of_union", "war_and_peace")
)
BASELINE = "tpe"
SHARES = (0.1, 0.25, 0.5, 1.0)
META, SHIPPED = "meta", "shipped"


class Trained:
    """Trials that are really trained; those that are paused are kept in memory."""

    def __init__(self, text: str) -> None:
        self.corpus = load(text, "byte", kinds=catalog.corpus_kinds())
        self.trainers: dict[TrialId, Trainer] = {}

    def advance(self, history: History, trial: Trial) -> Progress:
        if trial.number not in self.trainers:
            budget = TrialBudget(TRIAL_TOKENS, REPORTS)
            self.trainers[trial.number] = Trainer(trial.config, self.corpus, budget, trial.seed, CPU)
        trainer = self.trainers[trial.number]
        report = trainer.advance()
        if trainer.done:
            del self.trainers[trial.number]
        return Progress(report.step, report.val_bpb, 1.0, report.metrics, trainer.done)


def searched(text: str, search: str, trainings: int, seed: int) -> Trajectory:
    sweep = resolve(sweep_file(text, search, trainings, seed))
    used, log = learned.foreseen(sweep.search, None, kind=sweep.task.kind), MemoryLog()
    simulate(Engine.open(sweep, used.searcher, used.scheduler, log, 0.0), Trained(text), 1)
    return trajectory(log.read())


def study(out: Path, methods: list[str], texts: list[str], trainings: int, seeds: range) -> None:
    done = {(row["text"], row["seed"], row["method"]) for row in rows(out)}
    for seed, text, method in product(seeds, texts, methods):
        if (text, seed, method) not in done:
            os.environ[VARIABLE] = "" if method in (BASELINE, SHIPPED) else method
            points = searched(text, BASELINE if method == BASELINE else META, trainings, seed)
            keep({"text": text, "seed": seed, "method": method, "budget": trainings * TRIAL_TOKENS, "points": points}, out)


def table(found: list[Row]) -> Iterator[str]:
    lowest: dict[tuple[str, int], float] = {}
    for row in found:
        task = (row["text"], row["seed"])
        lowest[task] = min(lowest.get(task, math.inf), row["points"][-1][1])
    yield f"| method | {' | '.join(f'{share:.0%} of the budget' for share in SHARES)} | sweeps |"
    yield "|---" * (2 + len(SHARES)) + "|"
    for method in dict.fromkeys(row["method"] for row in found):
        own = [row for row in found if row["method"] == method]
        cells = []
        for share in SHARES:
            ends = [min((best for spent, best in row["points"] if spent <= share * row["budget"]), default=math.inf) for row in own]
            over = [100.0 * (end / lowest[row["text"], row["seed"]] - 1.0) for end, row in zip(ends, own, strict=True)]
            cells.append(f"{np.mean(over):+.1f} ± {np.std(over) / math.sqrt(len(over)):.1f}")
        yield f"| {Path(method).name} | {' | '.join(cells)} | {len(own)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="First sweeps, with what is shipped and without.")
    parser.add_argument("--out", type=Path, default=Path("first.jsonl"))
    parser.add_argument("--methods", nargs="+", default=[BASELINE, NONE, SHIPPED])
    parser.add_argument("--texts", nargs="+", default=TEXTS)
    parser.add_argument("--trainings", type=int, default=10, help="budget of a sweep, in full trainings")
    parser.add_argument("--seeds", default="0:1", help="FIRST:END")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    study(asked.out, asked.methods, asked.texts, asked.trainings, range(*map(int, asked.seeds.split(":"))))
    print("\n".join(table(rows(asked.out))))


if __name__ == "__main__":
    main()
