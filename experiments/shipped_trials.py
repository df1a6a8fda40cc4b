"""Makes what a meta-selector knows before anybody's first sweep: random trials on the texts that Python brings along.

    python experiments/shipped_trials.py --store /tmp/shipped

The result, ``metasearch/meta/shipped_trials.json.gz``, is part of the package. Run again with the same store, it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metasearch.meta.shipped import PATH, write
from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.run import launch_or_resume

CORPORA = ("comments", "ast_dumps", "language_reference", "stdlib_code")

TRIALS = {20_000: 20, 80_000: 24, 320_000: 10}
"""By the tokens of a trial, how many there are on each corpus."""

REPORTS = 10
SPACE = {
    "width": {"int": [32, 256], "log": True},
    "depth": {"int": [1, 3]},
    "batch_size": {"int": [4, 16], "log": True},
    "init": "default",
}


def sweep_file(corpus: str, tokens: int, seed: int) -> SweepFile:
    return SweepFile(
        name=f"shipped-{corpus.replace('_', '-')}-{tokens // 1000}k",
        task={"corpus": f"cpython/{corpus}", "tokenizer": "byte"},
        space=SPACE,
        search={"searcher": "random", "scheduler": "fifo"},
        budget={"trials": TRIALS[tokens]},
        trial={"tokens": tokens, "reports": REPORTS},
        resources={"cpu": 1},
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the trials that the package knows from the start.")
    parser.add_argument("--store", type=Path, required=True, help="folder for the store of the trials")
    parser.add_argument("--out", type=Path, default=PATH, help="the file to write")
    asked = parser.parse_args()
    store = Store(asked.store)
    pairs = [(corpus, tokens) for tokens in TRIALS for corpus in CORPORA]
    for seed, (corpus, tokens) in enumerate(pairs):
        launch_or_resume(sweep_file(corpus, tokens, seed), store)
    write(store.archive(), asked.out)


if __name__ == "__main__":
    main()
