"""What comes with the package: trials on texts that Python brings along, known before anybody's first sweep.

Made by ``experiments/shipped_trials.py``. Wherever the task is a language model, the meta-selector learns from it together with
the sweeps of the store. Structures are ranked by the best of them besides, tried once more on other texts and in other structures
(``experiments/crossed_trials.py``): who recommends without trying needs to know what is good anywhere.
"""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.task import LANGUAGE_MODEL

PATH = Path(__file__).with_name("shipped_trials.json.gz")
CROSSED = Path(__file__).with_name("crossed_trials.json.gz")
VARIABLE = "METASEARCH_SHIPPED"
NONE = "none"
FORMAT = 1
KIND = LANGUAGE_MODEL
"""The tasks that it is about."""

UNSAID = frozenset({"init"})
"""Parameters of which nothing is told: networks that make weights have seen these texts."""


def trials_of(kind: str) -> Archive:
    """What is known of tasks of this ``kind``: the file named in ``METASEARCH_SHIPPED``, or else the one that comes with the
    package; nothing if the variable says ``none``. Raises UserError for a file that is not one.
    """
    named = os.environ.get(VARIABLE, "")
    return Archive() if kind != KIND or named == NONE else read(named or str(PATH))


def crossed() -> Archive:
    """The best of what the package knows, once more; nothing if ``METASEARCH_SHIPPED`` puts anything else in its place."""
    return Archive() if os.environ.get(VARIABLE) else read(str(CROSSED))


@cache
def read(path: str) -> Archive:
    try:
        content = json.loads(gzip.decompress(Path(path).read_bytes()))
        if content.get("format") != FORMAT:
            raise UserError(f"{path} holds shipped trials of format {content.get('format')}; this metasearch reads {FORMAT}.")
        return Archive(tuple(_task(plain) for plain in content["tasks"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise UserError(
            f'{path} cannot be read as shipped trials ({error}). Set {VARIABLE} to such a file or to "{NONE}".'
        ) from error


def write(archive: Archive, path: Path) -> None:
    """Equal bytes for equal trials."""
    content = {"format": FORMAT, "tasks": [_plain(task) for task in sorted(archive, key=lambda task: (task.name, task.horizon))]}
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":"), sort_keys=True).encode(), 9, mtime=0))


def _plain(task: PastTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "horizon": task.horizon,
        "names": sorted(task.names - UNSAID),
        "descriptor": {name: round(value, 5) for name, value in task.descriptor.items()},
        "metric": task.metric,
        "unit": task.unit,
        "trials": [
            {
                "config": {name: value for name, value in trial.config.items() if name not in UNSAID},
                "code": {name: value for name, value in trial.code.items() if name not in UNSAID},
                "steps": trial.steps,
                "losses": [round(loss, 5) for loss in trial.losses],
                "costs": [round(cost, 3) for cost in trial.costs],
                "ended": trial.ended,
                "seed": trial.seed,
                "sweep": trial.sweep,
            }
            for trial in task.trials
        ],
    }


def _task(plain: dict[str, Any]) -> PastTask:
    trials = tuple(
        PastTrial(
            config=Config(trial["config"]),
            code=trial["code"],
            steps=tuple(trial["steps"]),
            losses=tuple(trial["losses"]),
            costs=tuple(trial["costs"]),
            ended=trial["ended"],
            seed=trial["seed"],
            sweep=trial["sweep"],
        )
        for trial in plain["trials"]
    )
    return PastTask(**{**plain, "trials": trials, "names": frozenset(plain["names"])})
