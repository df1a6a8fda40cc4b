"""Makes what a meta-selector knows before anybody's first sweep: random trials on the texts that Python brings along.

    python experiments/shipped_trials.py --store /tmp/shipped

The result, ``metasearch/meta/shipped_trials.json.gz``, is part of the package. Run again with the same store, it goes on where it
stopped. With ``--searched`` come those of sweeps that the meta-selector makes then, each knowing the random trials and the sweeps
before it; with ``--random FILE`` the random trials are those of an earlier result.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metasearch.core.archive import Archive, PastTask
from metasearch.meta.shipped import PATH, VARIABLE, read, write
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

CORPORA = ("comments", "ast_dumps", "language_reference", "stdlib_code")

TRIALS = {20_000: 20, 80_000: 24, 320_000: 10}
"""By the tokens of a trial, how many there are on each corpus."""

SEARCHED = {80_000: 12}
"""By the tokens of a trial, how many full trainings the meta-selector gets on each corpus."""

RANDOM, META = {"searcher": "random", "scheduler": "fifo"}, {"searcher": "meta", "scheduler": "meta"}
REPORTS = 10
SPACE = {
    "width": {"int": [32, 256], "log": True},
    "depth": {"int": [1, 3]},
    "batch_size": {"int": [4, 16], "log": True},
    "init": "default",
}


def sweep_file(name: str, corpus: str, tokens: int, search: Mapping[str, str], budget: Mapping[str, Any], seed: int) -> SweepFile:
    return SweepFile(
        name=f"{name}-{corpus.replace('_', '-')}-{tokens // 1000}k",
        task={"corpus": f"cpython/{corpus}", "tokenizer": "byte"},
        space=SPACE,
        search=search,
        budget=budget,
        trial={"tokens": tokens, "reports": REPORTS},
        resources={"cpu": 1},
        seed=seed,
    )


def random_trials(store: Store) -> Archive:
    for seed, (tokens, corpus) in enumerate((tokens, corpus) for tokens in TRIALS for corpus in CORPORA):
        launch_or_resume(sweep_file("shipped", corpus, tokens, RANDOM, {"trials": TRIALS[tokens]}, seed), store)
    return store.archive()


def searched_trials(store: Store) -> Archive:
    for seed, (tokens, corpus) in enumerate((tokens, corpus) for tokens in SEARCHED for corpus in CORPORA):
        launch_or_resume(sweep_file("searched", corpus, tokens, META, {"tokens": SEARCHED[tokens] * tokens}, seed), store)
    return store.archive()


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
    parser.add_argument("--searched", action="store_true", help="trials of the meta-selector's own sweeps too")
    parser.add_argument("--random", type=Path, help="a file with the random trials, so that they are not made again")
    asked = parser.parse_args()
    known = asked.random or asked.store / "random.json.gz"
    if asked.random is None and not known.exists():
        write(random_trials(Store(asked.store / "random")), known)
    os.environ[VARIABLE] = str(known)
    more = searched_trials(Store(asked.store / "searched")) if asked.searched else ()
    write(together([*read(str(known)), *more]), asked.out)


if __name__ == "__main__":
    main()
