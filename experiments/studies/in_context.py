"""Pre-trains the challenger ``in-context`` on synthetic searches, then compares it with the meta-selector's own surrogate.

    METASEARCH_CURVES=… python experiments/studies/in_context.py --minutes 30 --tables taskset_text,deepobs

Weights go to ``build/in_context.safetensors`` (``METASEARCH_IN_CONTEXT``); with ``--minutes 0`` those that are there are used. One
task is left out; 30 random trials of each other task of its table are known, and of the task itself random trials up to a share
of their curves. Both surrogates hear the same readings in the same units, and say what the others of its trials end at.

Printed are, for trials seen in part (``of seen``) and for others, of which only the config is known (``of new``): the mean log
density of their ends under a Gaussian of the believed mean and deviation, the mean absolute error, and how many lie in the 90 %
interval. What searches make of it: ``experiments/benchmarks/selector.py --methods meta,in-context``.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

PEERS = Path(__file__).resolve().parents[1] / "peers"
os.environ["METASEARCH_PLUGINS"] = os.pathsep.join(filter(None, [str(PEERS), os.environ.get("METASEARCH_PLUGINS", "")]))

sys.path.insert(0, str(PEERS.parent / "benchmarks"))

import selector_calibration as calibration  # noqa: E402, after its folder is named

from metasearch import catalog  # noqa: E402
from metasearch.core.errors import UserError  # noqa: E402
from metasearch.core.rng import derive  # noqa: E402
from metasearch.meta import curves  # noqa: E402
from metasearch.meta.selector import belief_on_ends  # noqa: E402
from metasearch.store.tables import read_curve_table, table_tasks  # noqa: E402

plug_in = catalog.load("meta", "in_context")
network = catalog.load("meta", "in_context_network")
prior = catalog.load("meta", "in_context_prior")

SETS_AT_ONCE = 16
RATE, WARM_UP = 2e-3, 0.05
SHOWN_EVERY = 200
SHARES, NEW = (0.1, 0.5), 40
NINETY = 1.645
METHODS = ("meta", "in-context")


@dataclass(frozen=True)
class Ends:
    """How far true ends were from what was believed, and the deviations that were claimed."""

    method: str
    share: float
    kind: str
    off: np.ndarray
    deviation: np.ndarray


def pre_train(weights: Path, minutes: float, seed: int) -> dict[str, float]:
    """Adam on fresh data sets until the time is up, the rate falling to 0 with it; saves the weights and tells what was seen.

    Weights that are there already are trained further.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = plug_in.load_weights(weights).train() if weights.exists() else network.InContext()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    began, busy, steps, tokens, lately = time.monotonic(), time.process_time(), 0, 0, 0.0
    while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
        rate = RATE * min(done / WARM_UP, 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        asked, ends = prior.drawn(random, SETS_AT_ONCE)
        lately += network.step(model, optimizer, asked, ends)
        steps, tokens = steps + 1, tokens + asked.own.numel()
        if steps % SHOWN_EVERY == 0:
            print(f"{steps} steps, {done:.0%} of the time, loss {lately / SHOWN_EVERY:.3f}", file=sys.stderr, flush=True)
            lately = 0.0
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), weights)
    return {
        "data_sets": steps * SETS_AT_ONCE,
        "tokens": tokens,
        "minutes": minutes,
        "cpu_minutes": round((time.process_time() - busy) / 60, 1),
    }


def judged(path: Path, target: str, seed: int) -> Iterator[Ends]:
    """Every method's beliefs on one task that it never saw, beside what came true."""
    table = read_curve_table(path, target)
    for method in METHODS:
        selector = calibration.selector_without(path, target, seed, catalog.load_meta(method))
        for share in SHARES:
            history = calibration.seen_in_part(table, share, seed)
            begun = [trial.config for trial in history]
            ids = {config.id for config in begun}
            rest = [recording.config for recording in table.recordings.values() if recording.config.id not in ids]
            others = [rest[place] for place in derive(seed, "new").permutation(len(rest))[:NEW]]
            belief, location, scale, noise = belief_on_ends(selector, history, others)
            lowest = [np.nanmin([*table.recordings[config.id].losses, np.inf]) for config in [*begun, *others]]
            truth = curves.squashed(curves.in_units(np.array(lowest), location, scale))
            off, deviation = truth - belief.mean, np.sqrt(belief.deviation**2 + noise)
            yield Ends(method, share, "seen", off[: len(begun)], deviation[: len(begun)])
            yield Ends(method, share, "new", off[len(begun) :], deviation[len(begun) :])


def compare(folder: Path, name: str, seeds: int, tasks: int | None) -> None:
    path = folder / f"{name}.parquet"
    targets = [task for task in table_tasks(path) if len(read_curve_table(path, task).recordings) >= 2 * calibration.SEEN]
    ends = [found for target in targets[:tasks] for seed in range(seeds) for found in judged(path, target, seed)]
    print(f"\n### {name}\n\n| method | share | of | log density | absolute error | 90 % hold |\n|---|---|---|---|---|---|")
    for method, share, kind in itertools.product(METHODS, SHARES, ("seen", "new")):
        chosen = [e for e in ends if (e.method, e.share, e.kind) == (method, share, kind)]
        off, deviation = np.concatenate([e.off for e in chosen]), np.concatenate([e.deviation for e in chosen])
        density = -0.5 * (off / deviation) ** 2 - np.log(deviation) - 0.5 * math.log(2 * math.pi)
        held = (np.abs(off) <= NINETY * deviation).mean()
        cells = f"{density.mean():.2f} | {np.abs(off).mean():.3f} | {held:.0%} of {len(off)}"
        print(f"| {method} | {share:.0%} | {kind} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="An in-context Transformer against the meta-selector's surrogate.")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of pre-training, by the clock; 0: use the weights that are there"
    )
    parser.add_argument("--weights", default=os.environ.get("METASEARCH_IN_CONTEXT", "build/in_context.safetensors"))
    parser.add_argument("--curves", default=os.environ.get("METASEARCH_CURVES", ""), help="folder of tables; METASEARCH_CURVES")
    parser.add_argument("--tables", default="taskset_text,deepobs,marin_optimizers", help="with commas between; '' for none")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic searches; another one to train weights further")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=None, help="only the first N tasks of each table")
    asked = parser.parse_args()
    os.environ["METASEARCH_IN_CONTEXT"] = asked.weights
    if asked.minutes > 0:
        print(json.dumps(pre_train(Path(asked.weights), asked.minutes, asked.seed)), flush=True)
    for name in filter(None, asked.tables.split(",")):
        compare(Path(asked.curves), name, asked.seeds, asked.tasks)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"in_context: {error}")
