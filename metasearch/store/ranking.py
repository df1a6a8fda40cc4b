"""The best of everything: what may win, what it won by, and whether that is more than the noise between seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metasearch.core.config import STRATEGY
from metasearch.core.errors import UserError
from metasearch.core.task import metric_value
from metasearch.store.noise import Noise
from metasearch.store.query import ask
from metasearch.store.rows import NEVER_WIN

RANKED = ("sweep", "trial", "task", "task_id", "strategy", *STRATEGY, "loss", "step", "seed", "parent", "config_id")
"""The columns of ``trials`` that ranking needs, unless it is by another one."""

FIGURES = ("of_seeds", "of_mean", "of_variance")
"""What ``figured`` adds to them."""

TEXTS = ("sweep", "task", "task_id", "strategy", *STRATEGY)
"""Of these, the columns with few different values."""

SHOWN = (
    *("task", "task_id", "sweep", "trial", "strategy", "loss", "step", "seconds"),
    *("parameters", "state", "seed", "config", "config_id", "metric", "better", "value"),
)
"""What is told of a winner, before what the ranking itself found."""

TOLD = (*SHOWN, "best_step")
"""The columns of ``trials`` that it is told from."""


@dataclass(frozen=True)
class Budget:
    """What a trial may have had: its loss is the lowest that it reported within. None is no limit.

    ``steps`` are in the task's unit, tokens for language models. A trial whose ``parameters`` are unknown is not within a limit.
    """

    steps: int | None = None
    seconds: float | None = None
    parameters: int | None = None

    @property
    def on_curve(self) -> bool:
        return self.steps is not None or self.seconds is not None


def able(trials: pa.Table) -> pa.Table:
    """The trials that may win: those with a finite loss that neither diverged nor failed."""
    lost = pc.is_in(trials["state"], pa.array(NEVER_WIN))
    return trials.filter(pc.and_(pc.is_valid(trials["loss"]), pc.invert(lost)))


def within(trials: pa.Table, curves: pa.Table | None, budget: Budget) -> pa.Table:
    """``trials`` as they were at ``budget``, without those that had no loss then. ``curves``: their points if it limits those."""
    if budget.parameters is not None:
        trials = trials.filter(pc.fill_null(pc.less_equal(trials["parameters"], budget.parameters), False))
    if curves is None:
        return trials
    for name, most in (("step", budget.steps), ("seconds", budget.seconds)):
        if most is not None:
            curves = curves.filter(pc.less_equal(curves[name], most))
    return ask(_WITHIN, {"given_trials": trials, "given_curves": curves})


_WITHIN = """
    SELECT t.* REPLACE (c.loss AS loss, c.best_step AS best_step, c.step AS step, c.seconds AS seconds)
    FROM given_trials AS t JOIN (
        SELECT sweep, trial, min(loss) AS loss, arg_min(step, loss) AS best_step, arg_min(seconds, loss) AS seconds,
            max(step) AS step
        FROM given_curves WHERE isfinite(loss) GROUP BY ALL
    ) AS c USING (sweep, trial)"""


def rank(
    rows: pa.Table, by: str, top: int, only: Mapping[str, Sequence[str]] | None = None, noise: pa.Table | None = None
) -> list[dict[str, Any]]:
    """The ``top`` best of every task, by lowest loss: of ``rows``, trials that may win, or with ``by`` the best of each value.

    ``only``: by column, the values that may be named; the noise is that of all rows nevertheless. ``noise``: that of all tasks as
    ``figured`` found it, if ``rows`` have its columns and are not all there are.
    ``seeds`` is how many trials of that config with seeds of their own were trained as long, ``mean`` their mean loss, ``noise``
    their standard deviation: if there is but one, that of the task's other configs, else that of all tasks in proportion to the
    loss. ``tied_with`` names the first of the task where the difference of the means lies within the noise.
    """
    if top < 1:
        raise UserError(f"top must be at least 1, found {top}.")
    if rows.num_rows == 0:
        return []
    bar = f"list_max(min(loss, {top}))" if top <= _MOST_IN_LISTS else "max(loss)"
    ranking = _BY_TRIAL if by == "trial" else _BY_COLUMN
    asked = {f"only_{name}": pa.table({name: pa.array(values, pa.string())}) for name, values in (only or {}).items()}
    conditions = [f"{name} IN (SELECT {name} FROM only_{name})" for name in only or ()]
    chosen = f"(SELECT * FROM given WHERE {' AND '.join(conditions)})" if conditions else "given"
    figures = _replicates(rows) if noise is None else _KNOWN
    sql = figures + "," + ranking.format(by=by.replace('"', '""'), top=top, bar=bar, chosen=chosen) + _WITH_FIGURES
    known = {} if noise is None else {"known_noise": noise}
    return _judged(ask(sql, {"given": rows, **asked, **known}).to_pylist())


def figured(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """``rows`` in the order of their ranks, with ``of_seeds``, ``of_mean`` and ``of_variance`` of several seeds; and all noise."""
    sql = (
        _replicates(rows)
        + """
        SELECT given.*, g.seeds AS of_seeds, g.mean AS of_mean, g.variance AS of_variance FROM given LEFT JOIN groups AS g
        ON given.task_id = g.task_id AND given.config_id = g.config_id AND given.step = g.step AND given.parent IS NULL
        ORDER BY given.task_id, given.loss, given.sweep, given.trial"""
    )
    return ask(sql, {"given": rows}), ask(_replicates(rows) + "SELECT * FROM noise", {"given": rows})


def _replicates(rows: pa.Table) -> str:
    """``repeated``, if ``rows`` have it, says which of them have others with the same config."""
    return _REPLICATES.format(repeated="repeated" if "repeated" in rows.column_names else "true")


_MOST_IN_LISTS = 1000
_REPLICATES = """
    WITH runs AS (
        SELECT task_id, config_id, step, seed, min(loss) AS loss FROM given WHERE {repeated} AND parent IS NULL GROUP BY ALL
    ), groups AS (
        SELECT task_id, config_id, step, count(*) AS seeds, avg(loss) AS mean, var_samp(loss) AS variance
        FROM runs GROUP BY ALL HAVING seeds > 1
    ), noise AS (
        SELECT task_id, sum(seeds - 1)::BIGINT AS freedom, sum((seeds - 1) * variance) AS squares,
            sum((seeds - 1) * variance / nullif(mean * mean, 0)) AS relative_squares
        FROM groups GROUP BY task_id
    )"""
_KNOWN = """
    WITH groups AS (
        SELECT DISTINCT task_id, config_id, step, of_seeds AS seeds, of_mean AS mean, of_variance AS variance
        FROM given WHERE of_seeds > 1
    ), noise AS (SELECT * FROM known_noise)"""
_BY_TRIAL = """
    bars AS (SELECT task_id, {bar} AS bar FROM {chosen} GROUP BY task_id),
    leaders AS (
        SELECT given.*, row_number() OVER (PARTITION BY task_id ORDER BY loss, sweep, trial) AS rank
        FROM {chosen} AS given JOIN bars USING (task_id) WHERE loss <= bar QUALIFY rank <= {top}
    )"""
_BY_COLUMN = """
    sets AS (
        SELECT task_id AS of_task, "{by}" AS compared, count(*) AS trials, median(loss) AS median_loss, min(loss) AS bar
        FROM {chosen} GROUP BY ALL
    ), firsts AS (
        SELECT given.*, trials, median_loss
        FROM {chosen} AS given JOIN sets ON task_id = of_task AND given."{by}" IS NOT DISTINCT FROM compared AND loss = bar
        QUALIFY row_number() OVER (PARTITION BY task_id, compared ORDER BY sweep, trial) = 1
    ), leaders AS (
        SELECT *, row_number() OVER (PARTITION BY task_id ORDER BY loss, sweep, trial) AS rank FROM firsts QUALIFY rank <= {top}
    )"""
_WITH_FIGURES = """
    SELECT leaders.*, coalesce(g.seeds, 1) AS seeds, coalesce(g.mean, loss) AS mean, g.variance, n.freedom, n.squares,
        (SELECT sum(freedom)::BIGINT FROM noise) AS all_freedom, (SELECT sum(relative_squares) FROM noise) AS relative_squares
    FROM leaders LEFT JOIN noise AS n ON leaders.task_id = n.task_id
    LEFT JOIN groups AS g ON leaders.task_id = g.task_id AND leaders.config_id = g.config_id AND leaders.step = g.step
        AND leaders.parent IS NULL
    ORDER BY leaders.task, leaders.task_id, rank"""


def _judged(leaders: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each leader with its noise and what it is tied with, in the place of what these are made of."""
    firsts: dict[str, Mapping[str, Any]] = {}
    judged = []
    for leader in leaders:
        first = firsts.setdefault(leader["task_id"], leader)
        noise = _noise(leader)
        ties = noise is not None and noise.ties(first["mean"], first["seeds"], leader["mean"], leader["seeds"])
        own = None if leader["variance"] is None else leader["variance"] ** 0.5
        told = {name: value for name, value in leader.items() if name not in _INGREDIENTS}
        told["noise"] = own if own is not None else noise.deviation if noise is not None else None
        told["tied_with"] = f"{first['sweep']}/{first['trial']}" if ties and leader is not first else None
        judged.append(told)
    return judged


_INGREDIENTS = (
    "repeated",
    *FIGURES,
    "variance",
    "freedom",
    "squares",
    "all_freedom",
    "relative_squares",
)


def _noise(leader: Mapping[str, Any]) -> Noise | None:
    """Pooled over the task's configs; where none of them has two seeds, over those of all tasks, as a share of the loss."""
    if leader["freedom"]:
        return Noise((leader["squares"] / leader["freedom"]) ** 0.5, int(leader["freedom"]))
    if leader["all_freedom"] and leader["relative_squares"] is not None:
        share = (leader["relative_squares"] / leader["all_freedom"]) ** 0.5
        return Noise(share * abs(leader["mean"]), int(leader["all_freedom"]))
    return None


def told(leaders: Sequence[Mapping[str, Any]], trials: pa.Table, by: pa.Field | None, budget: Budget) -> pa.Table:
    """The answer: what ``trials`` (of the view, ``TOLD`` of at least the leaders) tells of each leader, and how it stands.

    ``by``: the column that was ranked by, which comes first; None if it was by trial.
    """
    compared, standing = ([], _STANDING) if by is None else ([by], (*_OF_A_SET, *_STANDING))
    fields = [trials.schema.field(name) for name in SHOWN if by is None or name != by.name]
    row_of = {key: row for row, key in enumerate(zip(trials["sweep"].to_pylist(), trials["trial"].to_pylist(), strict=True))}
    places = pa.array([row_of[leader["sweep"], leader["trial"]] for leader in leaders], pa.int64())
    rows = []
    for leader, trial in zip(leaders, trials.select(TOLD).take(places).to_pylist(), strict=True):
        reached = {"step": trial["best_step"]}
        if budget.on_curve:
            reached = {"loss": leader["loss"], "step": leader["best_step"], "seconds": leader["seconds"]}
            reached["value"] = metric_value(leader["loss"], trial["better"])
        rows.append({**trial, **{field.name: leader[field.name] for field in (*compared, *standing)}, **reached})
    return pa.Table.from_pylist(rows, schema=pa.schema([*compared, *fields, *standing]))


_OF_A_SET = (pa.field("trials", pa.int64()), pa.field("median_loss", pa.float64()))
_STANDING = (
    pa.field("rank", pa.int64()),
    pa.field("seeds", pa.int64()),
    pa.field("mean", pa.float64()),
    pa.field("noise", pa.float64()),
    pa.field("tied_with", pa.string()),
)
