"""What learning from other tasks is worth: simulated searches over published curves, one task left out at a time.

    METASEARCH_CURVES=… python experiments/benchmarks/selector.py --methods asha,tpe,portfolio,rgpe --seeds 0:10

A method is a searcher, with ``+SCHEDULER`` if it is not to get the one that fits it (``tpe+hyperband``). The searchers of others,
in ``experiments/peers``, count if their packages are installed. Every method searches every task of every table, with 30 random
trials of each other task of that table known beforehand (none for ``<method>-empty``). Tasks with fewer than 20 configs are sources
only. Each run is one line of the results file; a run that is there already is not made again. Printed is the normalised regret of
the best loss found at 1, 3, 5, 10 and 20 full trainings: its mean over tasks and seeds, and a 90 % interval from resampling tasks.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.store.tables import read_curve_table, table_tasks
from metasearch.sweep.contestants import Entry
from metasearch.sweep.pairing import WITH_RANDOM
from metasearch.sweep.simulation import Replay, normalised_regret, replay
from metasearch.sweep.sources import read_target

BUDGETS = (1, 3, 5, 10, 20)
GRID = (0.25, 0.5, 0.75, *range(1, 21))
"""Where regrets are kept, for the plots."""

METHODS = "asha,hyperband,tpe,portfolio,portfolio-empty,rgpe,rgpe-empty,random"
LEAST_CONFIGS, SOURCE_TRIALS = 20, 30
RESAMPLED, INTERVAL = 2000, (5, 95)
PEERS = Path(__file__).resolve().parents[1] / "peers"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COLOURS = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00", "#b82e2e", "#316395")


@dataclass(frozen=True)
class Job:
    """One run. ``sources``: whether it knows the other tasks of its table, as the last three of the others leave them."""

    table: str
    task: str
    method: str
    seed: int
    workers: int
    corrupt: str
    sources: bool
    lacking: float = 0.0
    shifted: bool = False
    described: bool = True

    @property
    def key(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def main() -> None:
    options = _options()
    own = os.environ.get("METASEARCH_PLUGINS", "")
    os.environ["METASEARCH_PLUGINS"] = os.pathsep.join([str(PEERS), *([own] if own else [])])
    for method in options.methods.split(","):
        Entry.of(*algorithms(method))
    folder = Path(options.curves)
    tables = options.tables.split(",") if options.tables else sorted(path.stem for path in folder.glob("*.parquet"))
    jobs = [job for table in tables for job in jobs_of(folder, table, options)]
    if not jobs:
        raise UserError(
            f"{folder} holds no table with a task of at least {LEAST_CONFIGS} configs. Set METASEARCH_CURVES or --curves."
        )
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    run_missing(jobs, out, folder, options.processes)
    found = results(out)
    wanted = [(job, found[job.key]) for job in jobs if job.key in found]
    for table in tables:
        rows = [(job, record) for job, record in wanted if job.table == table]
        print("\n".join(markdown(_title(table, options), rows, options.methods.split(","))))
    titles = {table: _title(table, options) for table in tables}
    write_plots(wanted, titles, options.methods.split(","), out.with_suffix(".html"))


def jobs_of(folder: Path, table: str, options: argparse.Namespace) -> Iterator[Job]:
    """Seeds outside, so that every method has some runs early."""
    path = folder / f"{table}.parquet"
    tasks = table_tasks(path)
    targets = [task for task in tasks if _is_target(path, task)][: options.tasks]
    never_learn = (*catalog.searchers(), *WITH_RANDOM)
    for seed in _numbers(options.seeds):
        for task in targets:
            for method in options.methods.split(","):
                job = Job(table, task, method, seed, options.workers, corrupt="none", sources=False)
                learns = len(tasks) > 1 and not method.endswith("-empty") and algorithms(method)[0] not in never_learn
                faults = {"corrupt": options.corrupt, "lacking": options.lacking}
                known = {"shifted": options.shifted, "described": not options.undescribed}
                yield replace(job, sources=True, **faults, **known) if learns else job


def algorithms(method: str) -> tuple[str, str | None]:
    """The searcher of a method, and the scheduler if it names one."""
    searcher, _, scheduler = method.removesuffix("-empty").partition("+")
    return searcher, scheduler or None


def run_missing(jobs: Sequence[Job], out: Path, folder: Path, processes: int) -> None:
    """Appends a line to ``out`` for every job that has none. What fails is shown and tried again the next time."""
    known = results(out)
    missing = [(job, str(folder)) for job in jobs if job.key not in known]
    print(f"{len(jobs) - len(missing)} runs are there, {len(missing)} to go", file=sys.stderr)
    began = time.time()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # which every new process reads before it loads numpy
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        out.write_text(out.read_text() + "\n")  # the last line was cut off
    with out.open("a") as file, multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
        for done, (job, answer) in enumerate(pool.imap_unordered(run, missing), start=1):
            if isinstance(answer, str):
                print(f"{job.table} {job.task} {job.method} seed {job.seed}: {answer}", file=sys.stderr)
                continue
            file.write(json.dumps({"job": asdict(job), **answer}) + "\n")
            file.flush()
            if done % 25 == 0 or done == len(missing):
                left = (time.time() - began) / done * (len(missing) - done)
                print(f"{done} of {len(missing)}, about {left / 60:.0f} min left", file=sys.stderr)


def run(given: tuple[Job, str]) -> tuple[Job, dict[str, Any] | str]:
    """A run's regrets and times, or why it failed."""
    job, folder = given
    path = f"{folder}/{job.table}.parquet"
    searcher, scheduler = algorithms(job.method)
    try:
        found = replay(
            f"{path}:{job.task}",
            searcher=searcher,
            scheduler=scheduler,
            workers=job.workers,
            budget=max(BUDGETS),
            seed=job.seed,
            sources=[f"{path}:*"] if job.sources else [],
            source_trials=SOURCE_TRIALS,
            corrupt=job.corrupt,
            lacking=job.lacking,
            shifted=job.shifted,
            descriptors=job.described,
        )
    except Exception as error:  # noqa: BLE001, one fault must not end hours of runs
        return job, f"{type(error).__name__}: {error}"
    times = {"seconds_learning": found.seconds_learning, "seconds_deciding": sum(found.seconds_deciding)}
    return job, {"regret": regrets(found, GRID), "trials": found.trials, "decisions": found.decisions, **times}


def regrets(found: Replay, budgets: Sequence[float]) -> list[float]:
    """Of the best loss reported by the time that each budget was spent; 1 before the first report."""
    table = read_target(found.target)
    bests = (min((best for spent, best in found.trajectory if spent <= budget + 1e-9), default=math.inf) for budget in budgets)
    return [normalised_regret(table, best) for best in bests]


def results(out: Path) -> dict[str, dict[str, Any]]:
    """Every run of the file by its job. A last line that was cut off counts as not there."""
    found = {}
    for line in out.read_text().splitlines() if out.exists() else ():
        try:
            record = json.loads(line)
            found[Job(**record["job"]).key] = record
        except (ValueError, TypeError, KeyError):
            continue
    return found


def markdown(title: str, rows: Sequence[tuple[Job, dict[str, Any]]], methods: Sequence[str]) -> list[str]:
    """Mean regret with its interval for every method; seconds are those of learning and of all decisions of one run."""
    lines = [
        f"\n### {title}\n",
        f"| method | {' | '.join(f'{b} FTE' for b in BUDGETS)} | tasks × seeds | seconds |",
        "|---" * 8 + "|",
    ]
    for method in methods:
        of_method = [(job, record) for job, record in rows if job.method == method]
        if not of_method:
            continue
        mean_B, low_B, high_B = summary(of_method)
        cells = [f"{mean_B[i]:.3f} [{low_B[i]:.3f}, {high_B[i]:.3f}]" for i in map(GRID.index, BUDGETS)]
        counts = f"{len({job.task for job, _ in of_method})} × {len({job.seed for job, _ in of_method})}"
        seconds = statistics.fmean(record["seconds_learning"] + record["seconds_deciding"] for _, record in of_method)
        lines.append(f"| {method} | {' | '.join(cells)} | {counts} | {seconds:.2f} |")
    return lines


def summary(rows: Sequence[tuple[Job, dict[str, Any]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over tasks and the ends of its interval, at every budget of the grid. Tasks count alike, however many their seeds."""
    by_task: dict[str, list[list[float]]] = {}
    for job, record in rows:
        by_task.setdefault(f"{job.table} {job.task}", []).append(record["regret"])
    mean_TB = np.array([np.mean(regret, axis=0) for _, regret in sorted(by_task.items())])
    drawn_RT = derive(0, "bootstrap").integers(len(mean_TB), size=(RESAMPLED, len(mean_TB)))
    low_B, high_B = np.percentile(mean_TB[drawn_RT].mean(axis=1), INTERVAL, axis=0)
    return mean_TB.mean(axis=0), low_B, high_B


def write_plots(rows: Sequence[tuple[Job, dict[str, Any]]], titles: Mapping[str, str], methods: Sequence[str], path: Path) -> None:
    """One plot for each table: mean regret by full trainings, with the interval behind it. ``titles``: by table."""
    try:
        from plotly import graph_objects as go
    except ImportError:
        print(f"plotly is not installed, so {path} was not written (pip install plotly)", file=sys.stderr)
        return
    parts = []
    for table in dict.fromkeys(job.table for job, _ in rows):
        figure = go.Figure(layout={"title": titles[table], "xaxis_title": "full trainings", "yaxis_title": "normalised regret"})
        for colour, method in zip(COLOURS * len(methods), methods, strict=False):
            of_method = [(job, record) for job, record in rows if (job.table, job.method) == (table, method)]
            if not of_method:
                continue
            mean_B, low_B, high_B = summary(of_method)
            around = {"x": [*GRID, *reversed(GRID)], "y": [*high_B, *reversed(low_B)], "fill": "toself", "fillcolor": colour}
            figure.add_scatter(**around, opacity=0.12, line_width=0, legendgroup=method, showlegend=False, hoverinfo="skip")
            figure.add_scatter(x=list(GRID), y=list(mean_B), name=method, legendgroup=method, line_color=colour)
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
    path.write_text(f"<!doctype html><meta charset='utf-8'><title>Selector benchmark</title>{''.join(parts)}", encoding="utf-8")
    print(f"plots: {path}", file=sys.stderr)


def _title(table: str, options: argparse.Namespace) -> str:
    """The table with the conditions that are not the usual ones."""
    unusual = {
        f"{options.workers} workers": options.workers != 1,
        f"sources: {options.corrupt}": options.corrupt != "none",
        f"sources lack {options.lacking:.0%} of the parameters": options.lacking > 0,
        "sources a decade off": options.shifted,
        "tasks not described": options.undescribed,
    }
    return ", ".join([table, *(condition for condition, holds in unusual.items() if holds)])


def _is_target(path: Path, task: str) -> bool:
    try:
        return len(read_curve_table(path, task).recordings) >= LEAST_CONFIGS and bool(read_target(f"{path}:{task}"))
    except UserError:
        return False  # nothing in it ever had a finite loss


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _numbers(text: str) -> list[int]:
    """``0:10`` is ten seeds from 0 on; ``0,3`` is two."""
    first, colon, end = text.partition(":")
    return list(range(int(first or 0), int(end))) if colon else [int(part) for part in text.split(",")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learning from other tasks against searching alone, over published curves.")
    parser.add_argument("--curves", default=os.environ.get("METASEARCH_CURVES", "."), help="folder of tables; METASEARCH_CURVES")
    parser.add_argument("--tables", default="", help="names without .parquet, with commas between; all if left out")
    parser.add_argument("--methods", default=METHODS, help=f"with commas between; {METHODS} if left out")
    parser.add_argument("--seeds", default="0:10", help="FIRST:END or a list")
    parser.add_argument("--workers", type=int, default=1, help="virtual workers of a simulation")
    parser.add_argument("--corrupt", default="none", help="what happens to sources: none, permute, reverse, mixed")
    parser.add_argument("--lacking", type=float, default=0.0, help="share of the target's parameters unknown to each source")
    parser.add_argument(
        "--shifted", action="store_true", help="sources hold trials a decade or more from the best learning rate only"
    )
    parser.add_argument("--undescribed", action="store_true", help="the numbers that describe the tasks are not known")
    parser.add_argument("--tasks", type=int, default=None, help="only the first N tasks of each table")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", default="build/selector.jsonl", help="results; the plots go beside it")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"selector: {error}")
