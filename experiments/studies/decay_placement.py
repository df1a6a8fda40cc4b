"""What will beginning the decay now be worth? Foretold at 30 % of trainings at a constant learning rate, and then measured.

    METASEARCH_CORPORA=… python experiments/studies/decay_placement.py --out decays.jsonl

On texts that no learning has seen, each model trains at a constant learning rate, low, middle and high. At 30 % of its tokens its
state is kept, and it goes on once as it is and once with the decay begun. The difference of the losses at the end is the truth; it
is foretold twice, by the experience that ships with metasearch and by the loss law with the prior that ships. Of each are told how
often the sign is right, and the median error as a share of the truth. One thread; results are kept in a file, so that an
interrupted study goes on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from kept_rows import Row, keep, rows, run

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.event import Directive, Opened, Proposed, Reported
from metasearch.core.history import History
from metasearch.core.rng import derive
from metasearch.corpora import load
from metasearch.meta._actions import DECAY
from metasearch.meta._situation import situation
from metasearch.meta.optimizer import CONTROLLER, Controller, Law
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from metasearch.training.loop import Trainer
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
CPU = torch.device("cpu")


def measured(text: str, model: str, rate: float, tokens: int) -> dict[str, Any]:
    """One training, what was foretold of it at 30 %, and what came."""
    corpus = load(text, kinds=catalog.corpus_kinds())
    space = {"model": model, "width": WIDTH, "optimizer": "adamw", "schedule": "constant"}
    config = Config({**language_model_space(space, search_unlisted=False).default(), "lr": rate})
    budget = TrialBudget(tokens, REPORTS)
    trainer = Trainer(config, corpus, budget, 0, CPU)
    reports = [trainer.advance() for _ in range(AT)]
    state, told = trainer.checkpoint(), foretold(text, space, config, reports, tokens)
    kept = end_of(trainer, None)
    decayed = Trainer(config, corpus, budget, 0, CPU)
    decayed.restore(state)
    return {"kept": kept, "gain": kept - end_of(decayed, Directive(begin_decay=True)), **told}


def end_of(trainer: Trainer, directive: Directive | None) -> float:
    """Bits per byte at the end."""
    if directive is not None:
        trainer.obey(directive)
    while not trainer.done:
        report = trainer.advance()
    return report.val_bpb


def foretold(text: str, space: Mapping[str, Any], config: Config, reports: list[Report], tokens: int) -> dict[str, float]:
    """Gains in bits per byte that experience and the law expect of beginning the decay now."""
    file = SweepFile(name="study", task={"corpus": text}, space=dict(space), unlisted="default", budget={"trials": 1})
    sweep = resolve(file.model_copy(update={"trial": file.trial.model_copy(update={"tokens": tokens, "reports": REPORTS})}))
    history = History.fold([Opened(0.0, sweep.record()), Proposed(0.0, 0, config, 0)])  # type: ignore[arg-type]
    trial = history[0]  # type: ignore[index]
    for report in reports:
        history.apply(Reported(0.0, trial.number, trial.leg, report.step, report.val_bpb, report.seconds, report.metrics))
    controller = Controller(CONTROLLER.init(derive(0, "study")), planned)
    now = situation(history, trial, planned)
    assert not isinstance(now, str), now
    (by_law,) = Law(now, controller.theta.prior).foretold([Directive(begin_decay=True)])
    experienced = [each for each in controller._experienced(now)[0] if each.directive.intent == DECAY]
    found = {"law": by_law.gain}
    return {**found, "experience": experienced[0].of(now.losses[-1]).gain} if experienced else found


def study(out: Path, tokens: int) -> None:
    done = {(row["text"], row["model"], row["rate"]) for row in rows(out)}
    for text in TEXTS:
        for model, rates in MODELS.items():
            for rate in rates:
                if (text, model, rate) not in done:
                    row = {"text": text, "model": model, "rate": rate, **measured(text, model, rate, tokens)}
                    keep(row, out)


def table(found: list[Row]) -> Iterator[str]:
    gained = statistics.median(row["gain"] for row in found)
    yield f"{len(found)} trainings; the decay gained {gained:.3f} bits per byte in the median"
    yield "| foretold by | trainings | sign right | median error, share of the gain |"
    yield "|---|---|---|---|"
    for teller in ("experience", "law"):
        told = [(row[teller], row["gain"]) for row in found if teller in row]
        if told:
            right = statistics.mean((guess > 0) == (truth > 0) for guess, truth in told)
            error = statistics.median(abs(guess - truth) / max(abs(truth), 1e-3) for guess, truth in told)
            yield f"| {teller} | {len(told)} | {right:.0%} | {error:.0%} |"


if __name__ == "__main__":
    run("The worth of a decay, foretold and measured.", "decays", 120_000, study, table)
