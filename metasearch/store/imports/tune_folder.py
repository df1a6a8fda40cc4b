"""The folder of a Ray Tune experiment: one folder per trial with ``params.json``, ``result.json`` and perhaps ``error.txt``.

Read as the JSON that it is, without Ray: one line of ``result.json`` is one report.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.history import State
from metasearch.store.imports.earlier import EarlierTrial, Point, Results, flat


def read_experiment(folder: Path, metric: str | None, mode: str, step: str = "training_iteration") -> Results:
    """The trials of an experiment. Raises UserError if there are none, or if no trial reported ``metric``."""
    results = sorted(folder.glob("*/result.json"))
    if not results:
        raise UserError(
            f"The folder {folder} holds no Ray Tune experiment: no */result.json. Name the folder of the experiment itself."
        )
    reports: dict[str, list[dict[str, Any]]] = {}
    refused: list[str] = []
    for path in results:
        try:
            reports[path.parent.name] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            refused.append(f"{path.parent.name}: {path.name} cannot be read: {error}")
    known = {name for lines in reports.values() for line in lines for name, value in line.items() if _is_number(value)}
    if metric not in known:
        raise UserError(
            f'No trial in {folder} reported "{metric}"; name the metric with --metric.{did_you_mean(metric or "", known)}'
        )
    longest = max(line.get(step, 0) for lines in reports.values() for line in lines)
    trials = []
    for name, lines in reports.items():
        if not lines and not (folder / name / "error.txt").exists():
            refused.append(f"{name}: it has reported nothing")
        else:
            trials.append(_trial(folder / name, lines, metric, step, longest))
    return Results(str(folder), folder.name, trials, refused, mode)


def _trial(folder: Path, lines: list[dict[str, Any]], metric: str, step: str, longest: int) -> EarlierTrial:
    """Tune writes a report again when a trial was restored: of two at one step the later counts.

    It does not write whether a trial came to its end or was stopped: those that went as far as any did are complete.
    """
    by_step = {
        int(line.get(step, position + 1)): Point(
            int(line.get(step, position + 1)), float(line[metric]), float(line.get("time_total_s", 0.0))
        )
        for position, line in enumerate(lines)
        if isinstance(line.get(metric), int | float)
    }
    error = _error(folder / "error.txt")
    state = State.FAILED if error else State.COMPLETED if lines[-1].get(step, 0) >= longest else State.STOPPED
    return EarlierTrial(folder.name, flat(_config(folder, lines)), [by_step[at] for at in sorted(by_step)], state, error)


def _config(folder: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    if lines and isinstance(lines[-1].get("config"), dict):
        return dict(lines[-1]["config"])
    try:
        return dict(json.loads((folder / "params.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _error(path: Path) -> str:
    """The last line of the traceback that Tune kept, empty if the trial did not fail."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else "failed"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
