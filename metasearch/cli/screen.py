"""What a person sees while a sweep runs: one refreshed screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metasearch.core.budget import spending
from metasearch.core.history import History, State, Trial

REFRESH_SECONDS = 0.5
LINE_SECONDS = 30.0


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def count(number: float) -> str:
    """``1.2M`` for 1,200,000."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.4g}"


def eta(history: History, now: float) -> str:
    """Time left if the budget goes on being spent as it was."""
    share = max((cost.share for cost in spending(history, now)), default=0.0)
    elapsed = history.wall_seconds + max(now - history.time, 0.0)
    return clock(elapsed * (1 - share) / share) if share > 0.01 else "–"


def state_counts(history: History, driven: bool = True) -> dict[str, int]:
    """How many trials are in each state that any is in. Without a driver nothing runs, whatever was last heard."""
    counts: dict[str, int] = {}
    for trial in history:
        lost = trial.state is State.RUNNING and not driven
        name = (State.INTERRUPTED if lost else trial.state).value
        counts[name] = counts.get(name, 0) + 1
    return {state.value: counts[state.value] for state in State if state.value in counts}


def states(history: History, driven: bool = True) -> str:
    return ", ".join(f"{number} {name}" for name, number in state_counts(history, driven).items()) or "nothing started yet"


def best_line(history: History) -> str:
    best = history.best
    if best is None:
        return "best: none yet"
    task = history.sweep.task
    return f"best: {task.metric} {task.value(history.best_loss):.4f}  trial {best.number}  {best.config.strategy}"


class Lines:
    """Plain lines: every better result, every failure, and a sign of life now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.best = math.inf
        self.errors = 0
        self.shown_at = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def show(self, history: History, busy: int, slots: int) -> None:
        now = time.time()
        better = history.best_loss < self.best
        for error in recent_errors(history)[: max(failures(history) - self.errors, 0)]:
            self.console.print(f"failed: {error}", markup=False, highlight=False)
        self.errors = failures(history)
        if not better and now - self.shown_at < LINE_SECONDS:
            return
        self.best, self.shown_at = min(self.best, history.best_loss), now
        spent = "  ".join(f"{count(c.spent)}/{count(c.limit)} {c.unit}" for c in spending(history, now))
        line = f"[{clock(history.wall_seconds)}] {states(history)} | slots {busy}/{slots} | {spent} | {best_line(history)}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def note(self, message: str) -> None:
        self.trouble(message)

    def trouble(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)


class Screen:
    """One refreshed screen: states, slots, budget, the best so far, running trials, last errors."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self.message = ""

    def __enter__(self) -> Screen:
        self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.__exit__(kind, error, trace)

    def show(self, history: History, busy: int, slots: int) -> None:
        self.live.update(render(history, busy, slots, self.message), refresh=True)
        self.message = ""

    def note(self, message: str) -> None:
        """Above the screen, where it stays."""
        self.live.console.print(message, markup=False, highlight=False)

    def trouble(self, message: str) -> None:
        self.message = message


def render(history: History, busy: int, slots: int, message: str = "") -> Group:
    now = time.time()
    sweep = history.sweep
    title = Text.assemble(
        (sweep.name, "bold"), f"  {sweep.task.name}  {clock(history.wall_seconds)} elapsed, about {eta(history, now)} left"
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_row("trials", states(history))
    facts.add_row("slots", f"{busy} of {slots} busy")
    for cost in spending(history, now):
        bar = ProgressBar(total=cost.limit, completed=min(cost.spent, cost.limit), width=30)
        facts.add_row(cost.unit, Group(bar, Text(f"{count(cost.spent)} of {count(cost.limit)}", style="dim")))
    facts.add_row("best", Text(best_line(history).removeprefix("best: "), style="green"))
    parts: list[Text | Table] = [title, facts, running_table(history)]
    parts += [Text(f"failed: {error}", style="red") for error in recent_errors(history)[:3]]
    return Group(*parts, *([Text(message, style="yellow")] if message else []))


def running_table(history: History, most: int = 12) -> Table:
    table = Table(box=None, header_style="dim")
    task = history.sweep.task
    for column in ("trial", "strategy", "progress", task.metric, "best"):
        table.add_column(column)
    for trial in list(history.running.values())[:most]:
        measured = (loss(task.value(value)) for value in (trial.loss, trial.best_loss))
        table.add_row(str(trial.number), trial.config.strategy, progress(history, trial), *measured)
    return table


def progress(history: History, trial: Trial) -> str:
    return f"{100 * trial.step / history.sweep.horizon:.0f} %"


def loss(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def failures(history: History) -> int:
    return sum(len(trial.errors) for trial in history)


def recent_errors(history: History) -> list[str]:
    """The last error of each trial that had one, newest trial first."""
    return [f"trial {trial.number}: {trial.errors[-1]}" for trial in reversed(history.trials) if trial.errors]
