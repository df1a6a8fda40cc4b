"""The card of a handed-over model: what it is, how it was made, how good it is, how to load it and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metasearch.core.history import History, Trial
from metasearch.core.task import LANGUAGE_MODEL

USE = """```python
from load import load

model, tokenizer = load()
tokens = tokenizer.encode("Once upon a time")
```"""


MEASURED = ("val_loss", "val_bpb", "accuracy", "macro_f1", "bleu", "train_loss", "parameters")
NOUNS = {"classify": "classifier", "translate": "translator"}
WRITES = "`metasearch generate FOLDER --prompt TEXT` writes text."
HOW = dict.fromkeys(NOUNS, "`metasearch predict FOLDER TEXT` says what the model says of a text.")


@dataclass(frozen=True)
class Export:
    """What was handed over. ``step`` and ``loss``: of the weights. ``best_step`` and ``best_loss``: of the trial's best report.

    ``value`` and ``best_value``: the metric as the user sees it, where ``loss`` and ``best_loss`` are minimised.
    """

    folder: str
    sweep: str
    trial: int
    metric: str
    step: int
    loss: float
    best_step: int
    best_loss: float
    bytes: int
    value: float
    best_value: float
    kind: str = LANGUAGE_MODEL

    @property
    def lost(self) -> bool:
        """Are the weights of its best moment gone?"""
        return self.best_loss < self.loss


def text(history: History, trial: Trial, report: Mapping[str, Any], made: Export) -> str:
    """Markdown."""
    sweep = history.sweep
    measured = {name: report["metrics"][name] for name in MEASURED if name in report["metrics"]}
    sections = [
        f"# {trial.config.strategy}: a {NOUNS.get(sweep.task.kind, 'language model')} of {sweep.task.name}",
        f"The model of trial {trial.number} of the sweep {sweep.name}: {made.metric} {made.value:.5f} after {made.step:,} "
        f"{sweep.task.unit} of {sweep.horizon:,}.{_better_before(made)}",
        "## Measured\n\nOn the valid split, by which the trials were compared: expect a little worse on text it never saw.\n\n"
        + _table(measured),
        "## Data\n\n" + _table(_data(sweep.task.source)),
        "## Training\n\n" + _training(history, trial),
        "## Config\n\n" + _table(trial.config),
        f"## Use\n\n{HOW.get(sweep.task.kind, WRITES)} In Python, in this folder:\n\n" + USE,
        f"## Made again\n\n`metasearch reproduce {sweep.name}/{trial.number}` trains it again from its record and compares;\n"
        f"`metasearch retrain {sweep.name}/{trial.number} --tokens N` trains the same config for longer.",
    ]
    return "\n\n".join(sections) + "\n"


def _better_before(made: Export) -> str:
    if not made.lost:
        return ""
    return f" Its best was {made.best_value:.5f} after {made.best_step:,}; no checkpoint of that moment is left."


def _data(source: Mapping[str, Any]) -> dict[str, Any]:
    splits = {f"{name} split, bytes": facts["bytes"] for name, facts in source.get("splits", {}).items()}
    return {"source": json.dumps(source.get("source")), "tokenizer": json.dumps(source.get("tokenizer")), **splits}


def _training(history: History, trial: Trial) -> str:
    lines = [f"Seed {trial.seed}, {trial.seconds:.0f} seconds, {trial.leg + 1} stays on a machine."]
    if trial.parent is not None:
        lines.append(f"It went on from the weights of trial {trial.parent} at {trial.start:,} {history.sweep.task.unit}.")
    lines += [f"From {step:,} on: {verdict.directive}." for step, verdict in sorted(trial.directed.items())]
    return "\n".join(f"- {line}" for line in lines)


def _table(values: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in values.items())])


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
