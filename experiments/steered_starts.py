"""What the meta-optimizer is worth in real training: from learning rates that are far too low, right, or far too high.

    METASEARCH_CORPORA=FOLDER python experiments/steered_starts.py --store /tmp/steered

The controller knows what comes with metasearch, learned on CPython's texts, and nothing else; the texts here are others. On each,
with several seeds, a model (an LSTM, if no other is asked for) starts from every learning rate: on fixed schedules, steered on the
same schedules, with optimizers that set their own pace, and as populations (PBT and PB2) of four, which train four times as many
tokens. The standard is the best of a sweep over learning rates and fixed schedules, by the mean over seeds. Printed are bits per
byte at the end relative to that, in percent: mean ± standard error over texts and seeds; then how steered trials ended relative to
the same config and seed alone. Trials with which the controller experiments, in which it withheld its action or chose one at
random, are left out. Run again with the same store it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metasearch.catalog import POPULATIONS
from metasearch.core.history import History, Trial
from metasearch.meta.optimizer import COIN
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

TEXTS = ("corpora:pride_prejudice", "corpora:bible_swahili", "corpora:wikitext2_raw")
SCHEDULES = ("constant", "cosine", "warmup_stable_decay")
STARTS = {"30 x too low": 1 / 30, "10 x too low": 1 / 10, "right": 1.0, "10 x too high": 10.0}
TUNED = (1 / 4, 1 / 2, 2.0, 4.0)
OWN_PACE = {"hypergradient_adamw": 1.0, "schedule_free_adamw": 1.0, "prodigy": 50.0}
"""Their right learning rate over AdamW's: 50 makes it 1 for Prodigy, whose learning rate is a factor on what it finds."""

MEMBERS = 4
WORST = 8.0
"""Bits per byte that a trial without a finite loss counts as: knowing nothing."""


@dataclass
class Results:
    """``ends``: bits per byte at the end by text, start and method. ``tuned``: those of fixed schedules by text, learning rate and
    schedule. ``pairs``: ends of steered trials over those of the same config and seed alone, by start and schedule. ``withheld``:
    trials left out as experiments: controls, and those that were told something at random.
    """

    ends: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    tuned: dict[tuple[str, float, str], list[float]] = field(default_factory=dict)
    pairs: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    withheld: int = 0

    def add(self, text: str, start: str, method: str, trial: Trial) -> None:
        self.ends.setdefault((text, start, method), []).append(end_of(trial))

    def add_steered(self, text: str, start: str, trial: Trial, alone: Trial) -> None:
        told = [verdict.directive for verdict in trial.directed.values() if verdict.directive is not None]
        if any(not directive.changes or directive.propensity == COIN for directive in told):
            self.withheld += 1
            return
        schedule = str(trial.config["schedule"])
        self.add(text, start, f"{schedule}, steered", trial)
        assert (trial.seed, trial.config) == (alone.seed, alone.config), f"trials {trial.number} are no pair"
        self.pairs.setdefault((start, schedule), []).append(end_of(trial) / end_of(alone) - 1.0)

    def standard(self, text: str) -> float:
        """The best fixed learning rate and schedule on a text."""
        return min(statistics.mean(found) for (of, _, _), found in self.tuned.items() if of == text)


def end_of(trial: Trial) -> float:
    return trial.losses[-1] if trial.losses and math.isfinite(trial.losses[-1]) else WORST


def sweep_file(name: str, text: str, space: dict[str, Any], asked: Any, seed: int, **changes: Any) -> SweepFile:
    settings = {
        "task": {"corpus": text, "tokenizer": "byte"},
        "space": {"model": asked.model, "width": asked.width, "depth": asked.depth, "optimizer": asked.optimizer, **space},
        "unlisted": "default",
        "search": {"searcher": "grid", "scheduler": "fifo"},
        "budget": {"trials": 1000},
        "trial": {"tokens": asked.tokens, "reports": 20},
        "resources": {"cpu": 1},
    }
    return SweepFile(name=name, seed=seed, **{**settings, **changes})


def start_of(trial: Trial, right: float) -> str:
    share = float(trial.config["lr"]) / right
    return next(name for name, of in STARTS.items() if math.isclose(share, of, rel_tol=1e-6))


def run_text(text: str, seed: int, asked: Any, results: Results) -> None:
    """Every sweep of one text and seed, each in a store of its own, so that no controller learns from another sweep."""

    def ran(name: str, space: dict[str, Any], **changes: Any) -> History:
        place = asked.store / text.partition(":")[2].replace("/", "-") / f"{name}-{seed}"
        return launch_or_resume(sweep_file(name, text, space, asked, seed, **changes), Store(place), cpus=asked.cpus).history

    with_others = asked.others is None or seed < asked.others
    starts = {"lr": [asked.right * share for share in STARTS.values()], "schedule": list(SCHEDULES)}
    alone = ran("fixed", starts)
    for trial in (*alone, *ran("tuned", {**starts, "lr": [asked.right * share for share in TUNED]})):
        place = (text, float(trial.config["lr"]), str(trial.config["schedule"]))
        results.tuned.setdefault(place, []).append(end_of(trial))
    for trial in alone:
        results.add(text, start_of(trial, asked.right), str(trial.config["schedule"]), trial)
    steered = {"searcher": "grid", "scheduler": "fifo", "controller": "meta"}
    for trial in ran("steered", starts, search=steered):
        results.add_steered(text, start_of(trial, asked.right), trial, alone[trial.number])
    for optimizer, factor in OWN_PACE.items() if with_others else ():
        right = asked.right * factor
        space = {"optimizer": optimizer, "lr": [right * share for share in STARTS.values()], "schedule": "constant"}
        for trial in ran(optimizer, space):
            results.add(text, start_of(trial, right), optimizer, trial)
    for number, (start, share) in enumerate(STARTS.items() if with_others else ()):
        near = {"float": [asked.right * share / 3, asked.right * share * 3], "log": True}
        for name in POPULATIONS:
            population = {"name": name, "population": MEMBERS, "interval": 0.1}
            limits = {"budget": {"tokens": MEMBERS * asked.tokens}, "search": {"searcher": population, "scheduler": population}}
            best = ran(f"{name}-{number}", {"lr": near, "schedule": "constant"}, **limits).best
            if best is not None:
                results.add(text, start, f"{name} of {MEMBERS}", best)


def cell(shares: Iterable[float]) -> str:
    listed = [100.0 * share for share in shares]
    if not listed:
        return "–"
    error = f" ± {statistics.stdev(listed) / math.sqrt(len(listed)):.1f}" if len(listed) > 1 else ""
    return f"{statistics.mean(listed):+.1f}{error} ({len(listed)})"


def table(results: Results, texts: Iterable[str], value: Callable[[Iterable[float]], str] = cell) -> list[str]:
    methods = list(dict.fromkeys(method for _, _, method in results.ends))
    lines = [f"| start | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for start in STARTS:
        cells = []
        for method in methods:
            ends = [(text, end) for text in texts for end in results.ends.get((text, start, method), [])]
            cells.append(value(end / results.standard(text) - 1.0 for text, end in ends))
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return lines


def paired(results: Results) -> list[str]:
    lines = [f"| start | {' | '.join(SCHEDULES)} |", "|---" * (len(SCHEDULES) + 1) + "|"]
    for start in STARTS:
        cells = [cell(results.pairs.get((start, schedule), [])) for schedule in SCHEDULES]
        lines += [f"| {start} | {' | '.join(cells)} |"]
    return lines


def plot(results: Results, texts: Iterable[str], file: Path) -> None:
    from plotly import graph_objects

    figure = graph_objects.Figure()
    for method in dict.fromkeys(method for _, _, method in results.ends):
        heights = []
        for start in STARTS:
            ends = [e / results.standard(t) - 1.0 for t in texts for e in results.ends.get((t, start, method), [])]
            heights.append(100.0 * statistics.mean(ends) if ends else None)
        figure.add_bar(name=method, x=list(STARTS), y=heights)
    figure.update_layout(yaxis_title="bits per byte at the end over the best fixed schedule, %", barmode="group")
    figure.write_html(file)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trials that start with wrong learning rates, on fixed schedules and steered.")
    parser.add_argument("--store", type=Path, required=True, help="folder for all stores")
    parser.add_argument("--texts", nargs="+", default=list(TEXTS), help="corpora, as in a sweep file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200_000, help="of every trial")
    parser.add_argument("--model", default="lstm")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--optimizer", default="adamw", help="of fixed and steered trials")
    parser.add_argument("--right", type=float, default=2e-2, help="the learning rate that is right")
    parser.add_argument("--others", type=int, help="seeds with all methods, not fixed schedules and the controller alone; all")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="an HTML file to draw the table into")
    asked = parser.parse_args()
    results = Results()
    for seed in range(asked.seeds):
        for text in asked.texts:
            run_text(text, seed, asked, results)
            print(f"{text}, seed {seed}: done", flush=True)
        print("\n".join(table(results, asked.texts)), f"\n{results.withheld} experiments left out", flush=True)
        print("\n".join(["", "Steered over the same seed alone, in percent:", "", *paired(results)]), flush=True)
    for text in asked.texts:
        print(f"{text}: the best fixed schedule ends at {results.standard(text):.3f} bits per byte")
    if asked.plot is not None:
        plot(results, asked.texts, asked.plot)


if __name__ == "__main__":
    main()
