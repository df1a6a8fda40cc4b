"""What a short trial costs: our engine and store on Ray Tune against Ray Tune itself, in turns on one cluster.

    python experiments/benchmarks/tune.py [--trials 200] [--rounds 3] [--json]

A trial reports once and does nothing. Peers: plain Ray Tune with reused actors, random search and its loggers off (its best case),
and Ray Tune as it comes, with a function that imports torch in a fresh actor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from typing import Any

from metasearch import catalog
from metasearch.backends import tune as ours
from metasearch.core.engine import Engine
from metasearch.core.history import History
from metasearch.core.protocols import Assignment, Progress
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

from ray import tune

DEFAULT_TRIALS = 6


class Instant:
    """A trial that is over at its first report."""

    def __init__(self, sweep: Sweep, assignment: Assignment) -> None:
        self.x = float(assignment.config["x"])

    def advance(self) -> Progress:
        return Progress(1, self.x**2, 0.0, {})

    def checkpoint(self) -> bytes:
        return b""

    def restore(self, checkpoint: bytes) -> None: ...
    def adopt(self, checkpoint: bytes) -> None: ...
    def halt(self) -> None: ...
    def obey(self, directive: Any) -> None: ...
    def close(self) -> None: ...


class Silent:
    def tick(self, history: History, busy: int, slots: int) -> str | None:
        return None


class Trainable(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.x = config["x"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.x = new_config["x"]
        return True

    def step(self) -> dict[str, Any]:
        return {"loss": self.x**2, "done": True}


def importing_torch(config: dict[str, Any]) -> None:
    import torch

    tune.report({"loss": float(torch.tensor(config["x"]) ** 2)})


def metasearch_seconds(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        sweep = Sweep("bench", Task("bench"), Space.of(x=Float(-1.0, 1.0)), horizon=1, reports=1, budget=Budget(trials=trials))
        with store.open_log(sweep.name) as log:
            engine = Engine.open(sweep, catalog.build_searcher("random"), catalog.build_scheduler("fifo"), log, time.time())
            began = time.perf_counter()
            ours.run(engine, store.url, Instant, Silent())
            return time.perf_counter() - began


def tuner_seconds(trainable: Any, trials: int, reuse: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(-1.0, 1.0)},
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=reuse, metric="loss", mode="min"),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False if reuse else None),
            ),
        )
        began = time.perf_counter()
        tuner.fit()
        return time.perf_counter() - began


def measure(trials: int, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"metasearch": [], "ray reused": [], "ray default": []}
    with ours.cluster(cpus=2):
        metasearch_seconds(4), tuner_seconds(Trainable, 4, reuse=True)
        for _ in range(rounds):
            seconds["metasearch"].append(metasearch_seconds(trials) / trials)
            seconds["ray reused"].append(tuner_seconds(Trainable, trials, reuse=True) / trials)
        seconds["ray default"].append(tuner_seconds(importing_torch, DEFAULT_TRIALS, reuse=False) / DEFAULT_TRIALS)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [ours / peer for ours, peer in zip(seconds["metasearch"], seconds["ray reused"], strict=True)]
    return {
        "milliseconds_per_trial": {name: 1000 * value for name, value in median.items()},
        "times_plain_ray_reused": statistics.median(ratios),
        "times_plain_ray_reused_by_round": ratios,
        "times_less_than_ray_default": median["ray default"] / median["metasearch"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.trials, arguments.rounds)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found["milliseconds_per_trial"].items():
        print(f"{name:<12} {value:8.1f} ms per trial")
    print(f"metasearch takes {found['times_plain_ray_reused']:.2f} × plain Ray Tune with reused actors (goal: at most 1.3)")
    print(f"Ray Tune as it comes takes {found['times_less_than_ray_default']:.0f} × metasearch (goal: at least 20)")


if __name__ == "__main__":
    main()
