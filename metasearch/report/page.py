"""A sweep as one HTML file that needs nothing else: no network, no other file.

plotly.js lies in it compressed, because as it is it would fill the page's 5 MB alone; every browser since 2023 can unpack it.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from metasearch.core.errors import UserError
from metasearch.core.event import Fact, Failed, Judged
from metasearch.core.history import ENDED, History
from metasearch.report import figures, spaces
from metasearch.report.figures import Figure
from metasearch.report.story import directive_text

MOST_FAILURES = 50
"""Different errors shown with their logs; of the others only the number is told."""

LONGEST_LOG = 4_000
"""Characters of a log, from its end."""

MOST_TRIALS = 200
"""Rows of the table of trials: the best ones."""


@dataclass(frozen=True)
class Section:
    """``text``: HTML above the pictures."""

    title: str
    text: str
    pictures: Sequence[Figure] = ()


def page(facts: Sequence[Fact], *, learned: Sequence[str] = (), reload_seconds: float | None = None) -> str:
    """The report of a sweep as HTML. ``learned``: what can be said of the learned parts, a line each. ``reload_seconds``: how often
    a browser reads the file again, None for never.

    Raises UserError if plotly is not installed.
    """
    history = History.fold(facts)
    sections = [section for section in _sections(facts, history, learned) if section.text or section.pictures]
    drawn = [picture for section in sections for picture in section.pictures]
    body, first = [], 0
    for section in sections:
        body.append(_html(section, first))
        first += len(section.pictures)
    links = " ".join(f'<a href="#{_anchor(section.title)}">{html.escape(section.title)}</a>' for section in sections)
    contents = {
        "title": html.escape(history.sweep.name),
        "reload": "" if reload_seconds is None else f'<meta http-equiv="refresh" content="{reload_seconds:g}">',
        "links": links,
        "body": "\n".join(body),
        "figures": json.dumps(drawn, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "plotly": _plotly(),
    }
    shell = resources.files("metasearch.report").joinpath("shell.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: contents[mark[1]], shell)


def _sections(facts: Sequence[Fact], history: History, learned: Sequence[str]) -> list[Section]:
    shares = spaces.importances(history)
    by_steps, by_time = figures.best_so_far(facts, history)
    return [
        Section("Summary", _summary(history)),
        Section("Best so far", "", [by_steps, by_time]),
        Section("Curves", "", [figures.curves(history)]),
        Section("Decisions", _decisions(facts, history, learned)),
        Section("Strategies", *_optional(spaces.strategies(history), "Median of the best losses, by two parts of the strategy.")),
        Section("Importance", *_optional(spaces.importance(shares), _IMPORTANCE)),
        Section("Slices", "", spaces.slices(history, shares)),
        Section("Parallel coordinates", *_optional(spaces.parallel(history, shares), "Drag along an axis to choose trials.")),
        Section("Timeline", "", [figures.timeline(facts, history)]),
        Section("Failures", _failures(facts)),
        Section("Trials", _trials(history)),
    ]


_IMPORTANCE = (
    "What tells the best tenth of the trials from the others (PED-ANOVA, Watanabe et al., 2023). "
    "A searcher looks where it hopes: what it settled on early was varied little, and seems less important than it is."
)


def _optional(drawn: Figure | None, text: str) -> tuple[str, list[Figure]]:
    return ("", []) if drawn is None else (f"<p>{html.escape(text)}</p>", [drawn])


def _summary(history: History) -> str:
    sweep, best = history.sweep, history.best
    states = Counter(trial.state.value for trial in history)
    rows = {
        "task": f"{sweep.task.name}, {sweep.task.aim}",
        "search": f"{_named(sweep.search.get('searcher'))} + {_named(sweep.search.get('scheduler'))}, seed {sweep.seed}",
        "trials": f"{len(history)}: " + ", ".join(f"{count} {state}" for state, count in states.items()),
        "ended": history.closed or "not yet",
        "time": f"{history.wall_seconds:,.0f} s with a driver, {history.train_seconds:,.0f} s of training",
    }
    if best is None:
        return _pairs({**rows, "winner": "none: no trial has a finite loss"})
    reached = f"{sweep.task.metric} {sweep.task.value(history.best_loss):.5f}"
    rows["winner"] = f"trial {best.number} with {reached}: {best.config.strategy}"
    return _pairs(rows) + _table(["parameter of the winner", "value"], [[name, value] for name, value in best.config.items()])


def _decisions(facts: Sequence[Fact], history: History, learned: Sequence[str]) -> str:
    """What was decided by whom, and what that saved."""
    origins: dict[str, list[float]] = {}
    for trial in history:
        origins.setdefault(trial.origin or "–", []).append(trial.best_loss)
    rows = []
    for origin, losses in origins.items():
        finite = [loss for loss in losses if math.isfinite(loss)]
        best_and_median = map(history.sweep.task.value, (min(finite), statistics.median(finite))) if finite else (None, None)
        rows.append([origin, len(losses), *best_and_median])
    told = [fact for fact in facts if isinstance(fact, Judged) and fact.directive is not None]
    lines = [
        *learned,
        *(f"{part} used what it had learned, theta {digest}" for part, digest in history.adopted.items()),
        _saved(history),
    ]
    changes = Counter(directive_text(fact.directive) for fact in told if fact.directive is not None)
    return (
        "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        + _table(["proposed by", "trials", "best", "median"], rows)
        + (_table(["told to running trials", "times"], [list(item) for item in changes.most_common(20)]) if changes else "")
    )


def _saved(history: History) -> str:
    horizon, unit = history.sweep.horizon, history.sweep.task.unit
    short = [trial for trial in history if trial.state in ENDED and trial.step < horizon]
    saved = sum(horizon - trial.step for trial in short)
    in_full = sum(horizon - trial.start for trial in history)
    share = f" ({saved / in_full:.0%} of all)" if in_full else ""
    return f"{len(short)} of {len(history)} trials ended before the horizon, which saved {saved:,} {unit}{share}."


def _failures(facts: Sequence[Fact]) -> str:
    grouped: dict[str, list[Failed]] = {}
    for fact in facts:
        if isinstance(fact, Failed):
            grouped.setdefault(fact.error, []).append(fact)
    parts = []
    for error, found in sorted(grouped.items(), key=lambda item: -len(item[1]))[:MOST_FAILURES]:
        where = ", ".join(f"trial {fact.trial} leg {fact.leg}" for fact in found[:10]) + (" …" if len(found) > 10 else "")
        log = html.escape(found[-1].detail[-LONGEST_LOG:] or "nothing was logged")
        parts.append(f"<details><summary>{len(found)} × {html.escape(error)}</summary><p>{where}</p><pre>{log}</pre></details>")
    more = len(grouped) - MOST_FAILURES
    return "".join(parts) + (f"<p>{more} other errors are not shown.</p>" if more > 0 else "")


def _trials(history: History) -> str:
    value = history.sweep.task.value
    ranked = sorted(history, key=lambda trial: trial.best_loss)[:MOST_TRIALS]
    rows = [
        [
            trial.number,
            trial.state.value,
            value(trial.best_loss),
            trial.step,
            round(trial.seconds, 1),
            trial.origin,
            trial.config.strategy,
        ]
        for trial in ranked
    ]
    left = f"<p>The best {MOST_TRIALS} of {len(history)}.</p>" if len(history) > MOST_TRIALS else ""
    return left + _table(["trial", "state", history.sweep.task.metric, "step", "seconds", "proposed by", "strategy"], rows)


def _named(spec: Any) -> str:
    return str(spec.get("name")) if isinstance(spec, Mapping) else str(spec)


def _pairs(rows: Mapping[str, Any]) -> str:
    return _table([], [[name, value] for name, value in rows.items()])


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in header) + "</tr>" if header else ""
    return f"<table>{head}{''.join('<tr>' + ''.join(_cell(value) for value in row) + '</tr>' for row in rows)}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.5g}" if math.isfinite(value) else "–"
    return f"<td>{html.escape('–' if value is None else str(value))}</td>"


def _html(section: Section, first: int) -> str:
    places = (f"<div class='picture' data-figure='{first + k}'></div>" for k in range(len(section.pictures)))
    head = f"<section id='{_anchor(section.title)}'><h2>{html.escape(section.title)}</h2>"
    return f"{head}{section.text}<div class='pictures'>{''.join(places)}</div></section>"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


@cache
def _plotly() -> str:
    """plotly.js, compressed, as text."""
    try:
        script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    except ModuleNotFoundError:
        raise UserError("A report is drawn by plotly, which is not installed: pip install 'metasearch[report]'") from None
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode()
