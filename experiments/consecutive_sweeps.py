"""What remembering is worth in real training: sweeps over one corpus after another, each knowing all before it.

    python experiments/consecutive_sweeps.py --store /tmp/consecutive

On every corpus sweeps of equal budget run on Ray Tune: TPE with ASHA, and other methods, each in a store of its own that fills up:
the meta-selector unless told otherwise; ``steered`` is TPE with ASHA beside the meta-optimizer, ``both`` the two learned ones,
``random`` random search with ASHA and ``random-steered`` that beside the meta-optimizer: both train the same configs,
``started`` TPE with ASHA and where training starts in the space: name the file of a meta-network that learned from other corpora in
``METASEARCH_NETWORK``.
Printed is, for every corpus, what all found, and the shares of TPE + ASHA's tokens and of its training time after which a method
was as good as TPE + ASHA at its end, or as another ``--baseline``. Run again with the same store it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from metasearch.core.event import Fact, Reported
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

CORPORA = "comments,ast_dumps,language_reference,bytecode,stdlib_code,docstrings"
SPACE = {
    "model": ["lstm", "gru", "transformer"],
    "optimizer": ["adamw", "lion", "sgd"],
    "schedule": ["constant", "cosine", "warmup_stable_decay"],
    "clipping": ["none", "norm"],
    "width": {"int": [32, 128], "log": True},
    "depth": {"int": [1, 2]},
    "batch_size": {"int": [4, 16], "log": True},
    "lr": "search",
    "weight_decay": "search",
    "dropout": {"float": [0.0, 0.2]},
}
TPE, META = {"searcher": "tpe", "scheduler": "asha"}, {"searcher": "meta", "scheduler": "meta"}
RANDOM = {"searcher": "random", "scheduler": "asha"}
STARTED = "started"
METHODS = {
    "tpe": TPE,
    "random": RANDOM,
    "random-steered": {**RANDOM, "controller": "meta"},
    "meta": META,
    "steered": {**TPE, "controller": "meta"},
    "both": {**META, "controller": "meta"},
    STARTED: TPE,
}
STARTS = {"init": ["default", "unigram", "meta"]}
TRIAL_TOKENS, REPORTS = 120_000, 8

Trajectory = list[tuple[float, float]]
"""What the whole sweep has spent, and the lowest bits per byte so far."""

TOKENS, SECONDS = "step", "seconds"
"""What of a report tells what its trial has spent so far."""


def sweep_file(corpus: str, method: str, trainings: int, seed: int) -> SweepFile:
    return SweepFile(
        name=f"{method}-{corpus.replace('/', '-').replace(':', '-')}",
        task={"corpus": corpus, "tokenizer": "byte"},
        space=SPACE | STARTS if method == STARTED else SPACE,
        unlisted="default",
        search=METHODS[method],
        budget={"tokens": trainings * TRIAL_TOKENS},
        trial={"tokens": TRIAL_TOKENS, "reports": REPORTS},
        resources={"cpu": 1},
        seed=seed,
    )


def trajectory(facts: Iterable[Fact], unit: str = TOKENS) -> Trajectory:
    spent, best, of, points = 0.0, math.inf, {}, []
    for fact in facts:
        if isinstance(fact, Reported) and getattr(fact, unit) > of.get(fact.trial, 0):
            spent += getattr(fact, unit) - of.get(fact.trial, 0)
            of[fact.trial] = getattr(fact, unit)
            best = min(best, fact.loss) if math.isfinite(fact.loss) else best
            points.append((spent, best))
    return points


def share_needed(ours: Trajectory, theirs: Trajectory) -> float:
    """Of what they spent, what we needed to be as good as they were at their end; infinite if we never were."""
    spent, goal = theirs[-1]
    return next((own / spent for own, best in ours if best <= goal), math.inf)


def run(corpora: Sequence[str], baseline: str, methods: Sequence[str], folder: Path, trainings: int, seed: int) -> None:
    shares: dict[str, list[float]] = {method: [] for method in methods}
    print(f"| corpus | {baseline} | " + " | ".join(f"{method} | share of tokens | of time" for method in methods) + " |")
    print("|---" * (2 + 3 * len(methods)) + "|")
    for corpus in corpora:
        found: dict[str, dict[str, Trajectory]] = {}
        for method in (baseline, *methods):
            store, file = Store(folder / method), sweep_file(corpus, method, trainings, seed)
            ended = launch_or_resume(file, store)
            if ended.history.closed is None:
                raise SystemExit(f"{file.name}: {ended.reason}. The same command goes on with it.")
            facts = list(store.facts(file.name))
            found[method] = {unit: trajectory(facts, unit) for unit in (TOKENS, SECONDS)}
        cells = []
        for method in methods:
            tokens, seconds = (share_needed(found[method][unit], found[baseline][unit]) for unit in (TOKENS, SECONDS))
            shares[method].append(tokens)
            cells.append(f"{found[method][TOKENS][-1][1]:.4f} | {tokens:.2f} | {seconds:.2f}")
        print(f"| {corpus} | {found[baseline][TOKENS][-1][1]:.4f} | " + " | ".join(cells) + " |", flush=True)
    for method, of in shares.items():
        print(f"{method}: median share {statistics.median(of[-3:]):.2f} over the last three, {statistics.median(of):.2f} over all")


def main() -> None:
    parser = argparse.ArgumentParser(description="Consecutive sweeps over different corpora, with and without memory.")
    parser.add_argument("--store", type=Path, required=True, help="folder for the stores")
    parser.add_argument("--corpora", default=CORPORA, help="with commas between; names without a scheme are CPython's texts")
    parser.add_argument("--baseline", choices=METHODS, default="tpe", help="with which the methods are compared")
    parser.add_argument("--methods", default="meta", help=f"beside it, with commas between: {', '.join(METHODS)}")
    parser.add_argument("--trainings", type=int, default=20, help="budget of every sweep, in full trainings")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    corpora = [name if "/" in name or ":" in name else f"cpython/{name}" for name in asked.corpora.split(",")]
    run(corpora, asked.baseline, asked.methods.split(","), asked.store, asked.trainings, asked.seed)


if __name__ == "__main__":
    main()
