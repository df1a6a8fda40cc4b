"""What the commands say of what was learned: cards, evaluations, and what a sweep reused."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metasearch import catalog
from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.history import History
from metasearch.store.archive import Store
from metasearch.store.thetas import Card
from metasearch.sweep.evaluation import BASELINE, LEARNED, Evaluation
from metasearch.sweep.learned import Algorithms, algorithms, learned_by

NAMED = 3
"""Sweeps named in a line; of the others only the number is told."""

SHORT = 8


def card_of(card: Card) -> dict[str, Any]:
    return asdict(card)


def chosen_card(store: Store, digest: str | None) -> Card:
    """The newest, or the one whose digest begins like that. Raises UserError if there is none, or more than one."""
    cards = store.theta_cards()
    if not cards:
        raise UserError(f"Nothing was learned in the store {store.url} yet. Do it: metasearch meta learn --store {store.url}")
    found = [card for card in cards if card.digest.startswith(digest or "")]
    if digest is None or len(found) == 1:
        return found[0]
    if found:
        raise UserError(f'"{digest}" could be any of {", ".join(card.digest for card in found)}; write more of it.')
    raise UserError(f'There is no theta "{digest}" in the store {store.url}.{did_you_mean(digest, [c.digest for c in cards])}')


def learned_lines(card: Card) -> list[str]:
    return [f"theta {card.digest}: {_extent(card)}, learned in {card.seconds:.1f} s", *_sweeps_lines(card)]


def card_lines(card: Card) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(card.time))
    lines = [
        f"theta    {card.digest}",
        f"for      {card.part}, by metasearch {card.version or 'unknown'}, {when}, in {card.seconds:.1f} s",
        f"knows    {_extent(card)}",
        *(f"         {line.strip()}" for line in _sweeps_lines(card)),
    ]
    if card.part != catalog.LEARNED[LEARNED]:
        return lines
    if not card.held_out:
        return [*lines, "Nobody has looked yet what it is worth here: metasearch meta eval"]
    return [*lines, *_held_out_lines(card.held_out)]


def evaluation_lines(found: Evaluation) -> list[str]:
    return [*_held_out_lines(found.record()), f"Written on the card of theta {found.digest}."]


def reuse_of(store: Store, history: History) -> dict[str, Any] | None:
    """What a sweep took over from earlier ones and what came of it; None if it does not learn from them."""
    name = learned_by(history.sweep.search)
    if name is None:
        return None
    digest = history.adopted.get(catalog.LEARNED[name])
    found: dict[str, Any] = {"algorithm": name, "theta": digest, "by_origin": _by_origin(history)}
    if digest is None:
        return {**found, "trouble": "no theta was adopted yet"}
    try:
        selector: Any = algorithms(history.sweep.search, store, history.adopted).searcher
    except UserError as error:
        return {**found, "trouble": error.message}
    from metasearch.meta.saving import saving

    saved = saving(selector, history)
    return {**found, **selector.explain(history), "saved": None if saved is None else asdict(saved)}


def reusable(chosen: Algorithms, history: History) -> dict[str, Any] | None:
    """What a sweep that has not begun yet would take over from earlier ones; None if it does not learn from them."""
    if learned_by(history.sweep.search) is None:
        return None
    selector: Any = chosen.searcher
    told = selector.explain(history)
    return {name: told[name] for name in ("past_tasks", "past_trials", "past_sweeps")}


def extent_of_reuse(reuse: Mapping[str, Any]) -> str:
    if not reuse["past_trials"]:
        return "nothing: there are no earlier sweeps"
    sweeps = reuse["past_sweeps"]
    return f"{reuse['past_trials']} trials of {reuse['past_tasks']} tasks from {len(sweeps)} sweeps: {_named(sweeps)}"


def reuse_lines(reuse: Mapping[str, Any]) -> list[str]:
    origins = [
        f"  {origin:<8} {row['trials']} trials, best {_number(row['best_value'])}" for origin, row in reuse["by_origin"].items()
    ]
    if "trouble" in reuse:
        return [f"reused   nothing can be said: {reuse['trouble']}", *origins]
    if not reuse["past_trials"]:
        nothing = f"reused   nothing: there were no earlier sweeps (theta {reuse['theta'][:SHORT]})"
        return [nothing, *_saved_lines(reuse["saved"]), *origins]
    won = reuse["won_against_guard"]
    compared = "not compared yet" if won is None else f"wins {won:.0%} of comparisons"
    return [
        f"reused   {extent_of_reuse(reuse)} (theta {reuse['theta'][:SHORT]})",
        f"history  has a say of {reuse['say_of_history']:.2f}; {compared} with trials of the guard",
        *_saved_lines(reuse["saved"]),
        *origins,
    ]


def _saved_lines(saved: Mapping[str, Any] | None) -> list[str]:
    """Two digits of an estimate are more than is known."""
    if saved is None:
        return []
    random = saved["at_random"]
    needed = f"about {float(f'{random:.2g}'):g}" if random is not None else "over a thousand"
    return [f"saved    {saved['spent']:.1f} full trainings were spent; random search is expected to need {needed} to come as far"]


def _by_origin(history: History) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for trial in history:
        row = found.setdefault(trial.origin, {"trials": 0, "best_loss": None, "best_value": None})
        row["trials"] += 1
        if math.isfinite(trial.best_loss):
            row["best_loss"] = min(trial.best_loss, row["best_loss"] if row["best_loss"] is not None else math.inf)
            row["best_value"] = history.sweep.task.value(row["best_loss"])
    return found


def _held_out_lines(found: Mapping[str, Any]) -> list[str]:
    marks = list(next(iter(found["regret"].values())))
    share = found["share"]
    verdict = "never reached" if share is None else f"would have reached after {share:.2f} of the compute"
    return [
        f"Mean normalised regret over {len(found['tasks'])} tasks and {found['seeds']} seeds, knowing only the other tasks",
        "  ".join([f"{'full trainings':<16}", *(f"{mark:>6}" for mark in marks)]),
        *("  ".join([f"{name:<16}", *(f"{row[mark]:>6.3f}" for mark in marks)]) for name, row in found["regret"].items()),
        f"{LEARNED} {verdict} the mean regret with which {BASELINE.upper()} ended.",
        *(f"  {line}" for line in found["skipped"]),
    ]


def _sweeps_lines(card: Card) -> list[str]:
    return [f"  {name}: {row['trials']} trials, {row['steps']:,} steps" for name, row in card.learned_from.items()]


def _extent(card: Card) -> str:
    return f"{card.trials} trials of {card.tasks} tasks from {len(card.learned_from)} sweeps"


def _named(sweeps: list[str]) -> str:
    more = len(sweeps) - NAMED
    return ", ".join(sweeps[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
