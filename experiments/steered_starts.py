"""What the meta-optimizer is worth in real training: from learning rates that are far too low, right, or far too high.

    python experiments/steered_starts.py --store /tmp/steered

Two sweeps over two of CPython's texts teach the meta-optimizer how losses follow learning rates. On a text that it has not seen,
the same configs then run on fixed schedules and under the controller, from every start, with several seeds. Printed are the mean
bits per byte at the end, with the standard error over seeds, of every fixed schedule and of the controlled trials: of all, and of
those that were acted upon. Controls, a seventh, count among all. Run again with the same store it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metasearch.core.history import History, Trial
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

LEARNED_FROM, TARGET = ("cpython/docstrings", "cpython/language_reference"), "cpython/stdlib_code"
SCHEDULES = ("constant", "cosine", "warmup_stable_decay")
STEERED = ("constant", "cosine")
STARTS = {"30 x too low": 1 / 30, "10 x too low": 1 / 10, "right": 1.0, "10 x too high": 10.0}
WORST = 8.0
"""Bits per byte that a trial without a finite loss counts as: knowing nothing."""


def sweep_file(
    name: str, corpus: str, space: dict[str, Any], search: dict[str, Any], trials: int, asked: Any, seed: int
) -> SweepFile:
    return SweepFile(
        name=name,
        task={"corpus": corpus, "tokenizer": "byte"},
        space={"model": "lstm", "width": 64, **space},
        unlisted="default",
        search=search,
        budget={"trials": trials},
        trial={"tokens": asked.tokens, "reports": 20},
        resources={"cpu": 1},
        seed=seed,
    )


def teach(store: Store, asked: Any) -> None:
    space = {"lr": {"float": [3e-5, 1e-1], "log": True}, "schedule": list(SCHEDULES)}
    for corpus in LEARNED_FROM:
        name = "teach-" + corpus.partition("/")[2]
        search = {"searcher": "sobol", "scheduler": "fifo"}
        launch_or_resume(sweep_file(name, corpus, space, search, asked.taught, asked, 1), store, cpus=asked.cpus)


def trials_of(folder: Path, seed: int, asked: Any, *, steered: bool) -> History:
    """Every start with every schedule once. Controlled sweeps each get a store that holds what was taught and nothing else."""
    kind, schedules = ("steered", STEERED) if steered else ("fixed", SCHEDULES)
    place = folder / f"{kind}-{seed}"
    if steered and not place.exists():
        shutil.copytree(folder / "taught", place)
    space = {"lr": [asked.right * share for share in STARTS.values()], "schedule": list(schedules)}
    search = {"searcher": "grid", "scheduler": "fifo", **({"controller": "meta"} if steered else {})}
    file = sweep_file(kind, TARGET, space, search, len(STARTS) * len(schedules), asked, seed)
    return launch_or_resume(file, Store(place), cpus=asked.cpus).history


def acted_upon(trial: Trial) -> bool:
    return any(verdict.directive is not None and verdict.directive.changes for verdict in trial.directed.values())


def cell(trials: Iterable[Trial]) -> str:
    ends = [trial.losses[-1] if math.isfinite(trial.losses[-1]) else WORST for trial in trials]
    if not ends:
        return "–"
    error = f" ± {statistics.stdev(ends) / math.sqrt(len(ends)):.3f}" if len(ends) > 1 else ""
    return f"{statistics.mean(ends):.3f}{error} ({len(ends)})"


def table(fixed: list[Trial], steered: list[Trial], right: float) -> list[str]:
    heads = [*SCHEDULES, *(f"{name}, controlled" for name in STEERED), *(f"{name}, acted upon" for name in STEERED)]
    lines = [f"| start | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for start, share in STARTS.items():
        here = [
            [t for t in trials if math.isclose(float(t.config["lr"]), right * share, rel_tol=1e-6)] for trials in (fixed, steered)
        ]
        of = [[[t for t in trials if t.config["schedule"] == name] for name in SCHEDULES] for trials in here]
        controlled = [of[1][SCHEDULES.index(name)] for name in STEERED]
        groups = [*of[0], *controlled, *([t for t in trials if acted_upon(t)] for trials in controlled)]
        lines.append(f"| {start} | {' | '.join(map(cell, groups))} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Trials that start with wrong learning rates, on fixed schedules and controlled.")
    parser.add_argument("--store", type=Path, required=True, help="folder for all stores")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200_000, help="of every trial")
    parser.add_argument("--taught", type=int, default=24, help="trials per text that is learned from")
    parser.add_argument("--right", type=float, default=1e-2, help="the learning rate that is right")
    parser.add_argument("--cpus", type=int, default=1)
    asked = parser.parse_args()
    teach(Store(asked.store / "taught"), asked)
    histories = {
        steered: [trials_of(asked.store, seed, asked, steered=steered) for seed in range(asked.seeds)] for steered in (False, True)
    }
    fixed, steered = ([trial for history in histories[kind] for trial in history if trial.losses] for kind in (False, True))
    print("\n".join(table(fixed, steered, asked.right)))


if __name__ == "__main__":
    main()
