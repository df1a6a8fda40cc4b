"""What will beginning the decay now be worth? Foretold at 30 % of trainings at a constant learning rate, and then measured.

    METASEARCH_CORPORA=… python experiments/studies/decay_placement.py --out decays.jsonl

On texts that no learning has seen, each model trains at a constant learning rate, low, middle and high. At 30 % of its tokens its
state is kept, and it goes on once as it is and once with the decay begun. The difference of the losses at the end is the truth; it
is foretold twice, by the experience that ships with metasearch and by the loss law with the prior that ships. Of each are told how
often the sign is right, and the median error as a share of the truth, of all trainings and of those in which the decay mattered.
One thread; what was trained is kept in a file, from which an interrupted study goes on and what is foretold is told anew.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from kept_rows import Row, keep, rows, run
from steering import NUMBER, Steering, opened, reported

from metasearch.core.config import Config
from metasearch.core.event import Directive
from metasearch.core.rng import derive
from metasearch.meta._actions import DECAY
from metasearch.meta._situation import situation
from metasearch.meta.optimizer import CONTROLLER, Controller, Law
from metasearch.sweep.compose import language_model_space
from metasearch.training.planned import planned
from metasearch.training.report import Report, TrialBudget

TEXTS = (
    "corpora:pride_prejudice",
    "corpora:bible_swahili",
    "corpora:wikitext2_raw",
    "corpora:shakespeare_plays",
    "corpora:bible_syriac",
    "corpora:inaugural",
)
MODELS = {"lstm": (0.006, 0.02, 0.06), "gru": (0.006, 0.02, 0.06), "transformer": (0.003, 0.01, 0.03)}
WIDTH, REPORTS, AT = 64, 20, 6
MATTERS = 0.03
"""Bits per byte."""


def measured(text: str, model: str, rate: float, tokens: int) -> dict[str, Any]:
    """One training: what it reported until 30 %, how it ended, and what a decay from there gained."""
    space, config = asked(model, rate)
    alone = Steering(text, space, config, TrialBudget(tokens, REPORTS), 0)
    seen = [alone.advance() for _ in range(AT)]
    state = alone.trainer.checkpoint()
    kept = alone.finish()
    decayed = Steering(text, space, config, TrialBudget(tokens, REPORTS), 0)
    decayed.trainer.restore(state)
    decayed.trainer.obey(Directive(begin_decay=True))
    while not decayed.trainer.done:
        end = decayed.trainer.advance().val_bpb
    return {"tokens": tokens, "kept": kept, "gain": kept - end, "seen": [asdict(report) for report in seen]}


def asked(model: str, rate: float) -> tuple[dict[str, Any], Config]:
    space = {"model": model, "width": WIDTH, "optimizer": "adamw", "schedule": "constant"}
    return space, Config({**language_model_space(space, search_unlisted=False).default(), "lr": rate})


def foretold(row: Row) -> dict[str, float]:
    """Gains in bits per byte that experience and the law expect of beginning the decay after what was seen."""
    space, config = asked(row["model"], row["rate"])
    history = opened(row["text"], space, config, TrialBudget(row["tokens"], REPORTS), 0)
    for report in row["seen"]:
        history.apply(reported(history, Report(**report)))
    controller = Controller(CONTROLLER.init(derive(0, "study")), planned)
    now = situation(history, history[NUMBER], planned)
    assert not isinstance(now, str), now
    (by_law,) = Law(now, controller.theta.prior).foretold([Directive(begin_decay=True)])
    experienced = [each for each in controller._experienced(now)[0] if each.directive.intent == DECAY]
    found = {"law": by_law.gain}
    return {**found, "experience": experienced[0].of(now.losses[-1]).gain} if experienced else found


def study(out: Path, tokens: int, texts: Sequence[str]) -> None:
    done = {(row["text"], row["model"], row["rate"]) for row in rows(out)}
    for text in texts:
        for model, rates in MODELS.items():
            for rate in rates:
                if (text, model, rate) not in done:
                    row = {"text": text, "model": model, "rate": rate, **measured(text, model, rate, tokens)}
                    keep(row, out)


def table(found: list[Row]) -> Iterator[str]:
    found = [{**row, **foretold(row)} for row in found]
    gained = statistics.median(row["gain"] for row in found)
    yield f"{len(found)} trainings; the decay gained {gained:.3f} bits per byte in the median"
    yield "| foretold by | trainings | sign right | median error, share of the gain |"
    yield "|---|---|---|---|"
    for teller, least in product(("experience", "law"), (0.0, MATTERS)):
        told = [(row[teller], row["gain"]) for row in found if teller in row and abs(row["gain"]) > least]
        if told:
            right = statistics.mean((guess > 0) == (truth > 0) for guess, truth in told)
            error = statistics.median(abs(guess - truth) / max(abs(truth), 1e-3) for guess, truth in told)
            name = f"{teller}, where it mattered" if least else teller
            yield f"| {name} | {len(told)} | {right:.0%} | {error:.0%} |"


if __name__ == "__main__":
    run("The worth of a decay, foretold and measured.", "decays", 120_000, TEXTS, study, table)
