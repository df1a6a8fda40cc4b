"""Makes what a meta-selector knows before anybody's first sweep: trials on the texts that Python brings along.

    python experiments/shipped_trials.py --store /tmp/shipped

Random ones over the whole space, of three lengths, and sweeps of TPE with ASHA over the part of it that most people search, with
defaults for all else. They become ``metasearch/meta/shipped_trials.json.gz``, which is part of the package. With the same store it
goes on where it stopped. With ``--random FILE`` the random trials are those of an earlier result.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metasearch.core.archive import Archive, together
from metasearch.meta.shipped import PATH, read, write
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

CORPORA = ("comments", "ast_dumps", "language_reference", "stdlib_code")

TRIALS = {20_000: 20, 80_000: 24, 320_000: 10}
"""By the tokens of a trial, how many there are on each corpus."""

SEARCHED = {80_000: 20}
"""By the tokens of a trial, how many full trainings TPE with ASHA gets on each corpus."""

RANDOM, TPE = {"searcher": "random", "scheduler": "fifo"}, {"searcher": "tpe", "scheduler": "asha"}
AT_RANDOM = "shipped"
REPORTS = 10
SIZES = {
    "width": {"int": [32, 256], "log": True},
    "depth": {"int": [1, 3]},
    "batch_size": {"int": [4, 16], "log": True},
}
WHOLE = {**SIZES, "init": "default"}
USUAL = {
    "model": ["lstm", "gru", "transformer"],
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
    made = Made("usual", USUAL, "default", TPE)
    for seed, (tokens, corpus) in enumerate((tokens, corpus) for tokens in SEARCHED for corpus in CORPORA):
        launch_or_resume(sweep_file(made, corpus, tokens, {"tokens": SEARCHED[tokens] * tokens}, seed), store)
    return store.archive()


def random_of(archive: Archive) -> Archive:
    return Archive(tuple(replace(task, trials=tuple(t for t in task.trials if t.sweep.startswith(AT_RANDOM))) for task in archive))


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the trials that the package knows from the start.")
    parser.add_argument("--store", type=Path, required=True, help="folder for the store of the trials")
    parser.add_argument("--out", type=Path, default=PATH, help="the file to write")
    parser.add_argument("--random", type=Path, help="a file with the random trials, so that they are not made again")
    asked = parser.parse_args()
    known = random_of(read(str(asked.random))) if asked.random else random_trials(Store(asked.store / "random"))
    write(together([*known, *searched_trials(Store(asked.store / "searched"))]), asked.out)


if __name__ == "__main__":
    main()
