"""Trains the challenger of the meta-optimizer, a recurrent policy, on small language models; then compares the two.

    METASEARCH_CORPORA=… python experiments/studies/recurrent_policy.py --minutes 30 --out ends.jsonl

Evolution strategies (Salimans et al., 2017) with mirrored samples: small models train on CPython's texts from learning rates that
are far too low to far too high, each training once with the policy's parameters moved in a random direction and once in the
opposite one, which follow from the number of the training alone. Parameters go to ``build/recurrent.safetensors``
(``METASEARCH_RECURRENT``) after every step, and training goes on from there; with ``--minutes 0`` what is there is used.

Then on texts that neither has seen models (LSTMs, if no other is asked for) start 30 and 10 times too low, right and 10 times too
high on three schedules: left alone, with the controller that ships, which never experiments here, and with the policy. Printed are
bits per byte at the end over those of the best that was left alone on the same text, in percent.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from kept_rows import Row, keep, rows
from recurrent import KNOWING_NOTHING, WEIGHTS, Policy, first_point, trained
from safetensors.numpy import load_file, save_file
from steering import NUMBER, Advise, Steering

from metasearch.core.config import Config
from metasearch.core.rng import derive
from metasearch.corpora.cpython import BUILTINS
from metasearch.meta import experience
from metasearch.meta._twins import USUAL_LENGTH, USUAL_WIDTH, Kind
from metasearch.meta.optimizer import CONTROLLER, CONTROLS, RANDOM, Controller
from metasearch.sweep.compose import language_model_space
from metasearch.training.planned import planned
from metasearch.training.report import TrialBudget

MODELS = {"lstm": 0.7, "gru": 0.15, "transformer": 0.15}
OPTIMIZERS = {"adamw": 0.7, "lion": 0.1, "sgd": 0.2}
SCHEDULES = ("constant", "cosine", "warmup_stable_decay")
WIDTHS, LENGTHS, BATCH, REPORTS, VALID = (32, 48), (12_000, 48_000), 8, 20, 2_048
LOWEST, HIGHEST = 1 / 50, 30.0
"""Learning rates that training begins with, over the usual one."""

PAIRS, SIGMA, RATE, MOMENTUM, SECOND = 10, 0.15, 0.05, 0.9, 0.99
MOST_GAIN = 0.5

TEXTS = ("corpora:pride_prejudice", "corpora:bible_swahili", "corpora:wikitext2_raw")
STARTS = {"30 x too low": 1 / 30, "10 x too low": 1 / 10, "right": 1.0, "10 x too high": 10.0}
METHODS = ("alone", "meta", "recurrent")


def small(number: int) -> Steering:
    """The training of that number."""
    rng = derive(number, "small")
    model, optimizer = (str(rng.choice(list(shares), p=list(shares.values()))) for shares in (MODELS, OPTIMIZERS))
    space = {"model": model, "width": int(rng.choice(WIDTHS)), "optimizer": optimizer, "schedule": str(rng.choice(SCHEDULES))}
    tokens = round(math.exp(rng.uniform(*map(math.log, LENGTHS))))
    complete = dict(language_model_space(space, search_unlisted=False).complete({}))
    log_width, log_length = math.log(space["width"] / USUAL_WIDTH), math.log(tokens / USUAL_LENGTH)
    usual = experience.shipped().best_of(Kind(optimizer, model, log_width, log_length))
    lr = math.exp(usual + rng.uniform(math.log(LOWEST), math.log(HIGHEST)))
    text = f"cpython/{rng.choice(sorted(BUILTINS))}"
    return Steering(text, space, Config({**complete, "lr": lr, "batch_size": BATCH}), TrialBudget(tokens, REPORTS, VALID), number)


def log_loss(point_P: np.ndarray, number: int) -> float:
    return math.log(min(small(number).finish(Policy(point_P, planned).advise), KNOWING_NOTHING))


class Evolution:
    """``point_P`` after ``steps`` steps of Adam on the estimated gradient of the log of the loss, from what is in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.steps, self.point_P = path, 0, first_point(derive(0, "policy"))
        self.mean_P, self.square_P = np.zeros_like(self.point_P), np.zeros_like(self.point_P)
        if path.exists():
            self.point_P = trained(path)
            known = load_file(path)
            self.mean_P, self.square_P, self.steps = known["mean"], known["square"], int(known["steps"])

    def step(self) -> float:
        """The mean of the log of the loss over this step's trainings, before the step."""
        slope_P, found = np.zeros_like(self.point_P), []
        for number in range(self.steps * PAIRS, (self.steps + 1) * PAIRS):
            direction_P = derive(number, "direction").standard_normal(len(self.point_P))
            up, down = (log_loss(self.point_P + sign * SIGMA * direction_P, number) for sign in (1.0, -1.0))
            found += [up, down]
            slope_P += float(np.clip(up - down, -MOST_GAIN, MOST_GAIN)) * direction_P / (2.0 * SIGMA * PAIRS)
        self.steps += 1
        self.mean_P = MOMENTUM * self.mean_P + (1.0 - MOMENTUM) * slope_P
        self.square_P = SECOND * self.square_P + (1.0 - SECOND) * slope_P**2
        mean_P, square_P = self.mean_P / (1.0 - MOMENTUM**self.steps), self.square_P / (1.0 - SECOND**self.steps)
        self.point_P = self.point_P - RATE * mean_P / (np.sqrt(square_P) + 1e-8)
        return statistics.mean(found)

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"point": self.point_P, "mean": self.mean_P, "square": self.square_P, "steps": np.array(self.steps)}
        save_file(arrays, self.path)


def evolve(path: Path, minutes: float) -> None:
    evolution, began = Evolution(path), time.monotonic()
    while time.monotonic() - began < 60.0 * minutes:
        print(f"step {evolution.steps}: {evolution.step():.4f}, mean log of the loss", flush=True)
        evolution.save()


def adviser(method: str) -> Advise | None:
    """The controller's trials are of a number with which it does not experiment."""
    if method == "recurrent":
        return Policy(trained(), planned).advise
    assert derive(0, "arm", NUMBER).random() >= RANDOM + CONTROLS, "the controller would experiment with this trial"
    return Controller(CONTROLLER.init(derive(0, "study")), planned).advise if method == "meta" else None


def compare(asked: argparse.Namespace) -> None:
    done = {(row["text"], row["start"], row["schedule"], row["seed"], row["method"]) for row in rows(asked.out)}
    methods = {method: adviser(method) for method in asked.methods}
    for seed, text, start, schedule in product(range(asked.seeds), asked.texts, STARTS, SCHEDULES):
        space = {"model": asked.model, "width": asked.width, "depth": asked.depth, "optimizer": "adamw", "schedule": schedule}
        complete = dict(language_model_space(space, search_unlisted=False).complete({}))
        config = Config({**complete, "lr": asked.right * STARTS[start]})
        for method, advise in methods.items():
            if (text, start, schedule, seed, method) not in done:
                end = Steering(text, space, config, TrialBudget(asked.tokens, REPORTS), seed).finish(advise)
                keep({"text": text, "start": start, "schedule": schedule, "seed": seed, "method": method, "end": end}, asked.out)


def table(found: list[Row]) -> Iterator[str]:
    """Mean and standard error over texts and seeds; then how far a trial falls behind the same one that was left alone. Seeds of a
    text that are not finished do not count: the best of a few trials is no standard.
    """
    known = Counter((r["text"], r["seed"]) for r in found)
    found = [r for r in found if known[r["text"], r["seed"]] == max(known.values())]
    ends = {(r["start"], r["schedule"], r["method"], r["text"], r["seed"]): min(r["end"], KNOWING_NOTHING) for r in found}
    tasks, methods = sorted({(r["text"], r["seed"]) for r in found}), {r["method"] for r in found}
    columns = [(schedule, method) for schedule in SCHEDULES for method in METHODS if method in methods]
    best = {task: min(e for key, e in ends.items() if key[2:] == ("alone", *task)) for task in tasks}
    yield f"| start | {' | '.join(f'{schedule}: {method}' for schedule, method in columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for start in STARTS:
        of = [
            [100.0 * (ends[start, *column, *task] / best[task] - 1.0) for task in tasks if (start, *column, *task) in ends]
            for column in columns
        ]
        yield f"| {start} | {' | '.join(f'{np.mean(worse):+.1f} ± {np.std(worse) / math.sqrt(len(worse)):.1f}' for worse in of)} |"
    for method in sorted(methods - {"alone"}):
        harm = [100.0 * (e / ends[key[0], key[1], "alone", *key[3:]] - 1.0) for key, e in ends.items() if key[2] == method]
        yield f"{method}: {np.quantile(harm, 0.95):+.2f} % to the same trial left alone, 95th percentile of {len(harm)}"
    yield f"left alone: standard deviation over seeds {100.0 * _seed_noise(ends):.2f} %"


def _seed_noise(ends: dict[tuple[str, str, str, str, int], float]) -> float:
    """Of the logarithm of the loss of a trial that was left alone; NaN with one seed."""
    logs: dict[tuple[str, str, str], list[float]] = {}
    for (start, schedule, method, text, _), end in ends.items():
        if method == "alone":
            logs.setdefault((start, schedule, text), []).append(math.log(end))
    variances = [float(np.var(each, ddof=1)) for each in logs.values() if len(each) > 1]
    return math.sqrt(float(np.mean(variances))) if variances else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description="A recurrent policy for learning rates, trained and compared.")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training the policy, on one thread")
    parser.add_argument("--out", type=Path, default=Path("ends.jsonl"))
    parser.add_argument("--tokens", type=int, default=200_000, help="of the trainings that are compared")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--texts", nargs="+", default=TEXTS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="to compare; alone is the standard")
    parser.add_argument("--model", default="lstm")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--right", type=float, default=2e-2, help="the learning rate that is right")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.minutes > 0:
        evolve(Path(os.environ.get("METASEARCH_RECURRENT") or WEIGHTS), asked.minutes)
    compare(asked)
    print("\n".join(table(rows(asked.out))))


if __name__ == "__main__":
    main()
