"""Tokens per second of Trainer and of a bare torch loop with the same model, in alternating rounds of one process.

    python experiments/benchmarks/training.py [--json]

Ratio = Trainer / bare loop, the median over rounds; the goal is at least 0.95. Seconds are of this process's CPU time on one
thread, so that others on the machine weigh less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch.nn import functional

from metasearch.core.config import STRATEGY, Value
from metasearch.models import lstm
from metasearch.training.clipping import norm
from metasearch.training.corpus import Tokens
from metasearch.training.loop import Trainer
from metasearch.training.optimizers import adamw
from metasearch.training.report import TrialBudget
from metasearch.training.schedules import cosine

BATCH_SIZE, CONTEXT, VOCAB_SIZE = 16, 64, 256
CONFIG: dict[str, Value] = {
    **lstm.SPACE.default(),
    **adamw.SPACE.default(),
    **cosine.SPACE.default(),
    **norm.SPACE.default(),
    **dict(zip(STRATEGY, ("lstm", "adamw", "cosine", "norm", "default"), strict=True)),
    "width": 128,
    "depth": 1,
    "batch_size": BATCH_SIZE,
    "context": CONTEXT,
}


@dataclass(frozen=True)
class RandomBytes:
    """A corpus whose content does not matter."""

    train: Tokens
    valid: Tokens
    name: str = "random bytes"
    vocab_size: int = VOCAB_SIZE
    valid_bytes: int = 2


def bare_loop(train: Tokens, steps: int) -> Iterator[None]:
    """Trains ``steps`` steps between one yield and the next, as one would by hand."""
    model = lstm.build(CONFIG, VOCAB_SIZE).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    rows = train[: len(train) // BATCH_SIZE * BATCH_SIZE].reshape(BATCH_SIZE, -1)
    state, position = model.initial_state(BATCH_SIZE), 0
    while True:
        for _ in range(steps):
            window = torch.from_numpy(rows[:, position : position + CONTEXT + 1].astype(np.int64))
            logits, state = model(window[:, :-1], tuple(tensor.detach() for tensor in state))
            loss = functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            position = (position + CONTEXT) % (rows.shape[1] - CONTEXT - 1)
        yield


def measure(rounds: int, steps: int) -> dict[str, float]:
    """Tokens per second of both, medians over ``rounds`` rounds of ``steps`` steps, after a round to warm up."""
    tokens = np.random.default_rng(0).integers(VOCAB_SIZE, size=1_000_000).astype(np.uint16)
    step_tokens = BATCH_SIZE * CONTEXT * steps
    budget = TrialBudget(step_tokens * (rounds + 1), rounds + 1, valid_tokens=1)
    trainer = Trainer(CONFIG, RandomBytes(tokens, tokens[:2]), budget, seed=0, device=torch.device("cpu"))
    bare = bare_loop(tokens, steps)
    contestants: dict[str, Callable[[], object]] = {"bare": lambda: next(bare), "trainer": trainer.advance}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name in sorted(contestants, reverse=turn % 2 == 1):
            began = time.process_time()
            contestants[name]()
            seconds[name].append(time.process_time() - began)
    ratios = [b / t for b, t in zip(seconds["bare"][1:], seconds["trainer"][1:], strict=True)]
    speeds = {f"{name}_tokens_per_second": step_tokens / median(spent[1:]) for name, spent in seconds.items()}
    return {**speeds, "ratio": median(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20, help="steps per round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(options.rounds, options.steps)
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:28s}{figure:12.3f}" for name, figure in figures.items()))


if __name__ == "__main__":
    main()
