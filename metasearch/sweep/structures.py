"""Structures for a corpus, by the trials of a store and those that come with metasearch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metasearch.core.archive import Archive, together
from metasearch.core.errors import UserError
from metasearch.corpora import TokenizedCorpus
from metasearch.meta import shipped
from metasearch.meta.structures import WIDTHS, Ranked, ranked
from metasearch.meta.theta import Theta
from metasearch.store.archive import Store
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.learned import SELECTOR, learned_from


def ranked_structures(
    corpus: TokenizedCorpus, tokens: int, store: Store | None = None, widths: Sequence[int] = WIDTHS
) -> list[Ranked]:
    """Every structure for a training of so many ``tokens``, the most promising first.

    ``store``: whose sweeps count besides the trials that come with metasearch. ``widths``: those that are compared. Raises
    UserError if there are no trials to judge by.
    """
    if tokens < 1:
        raise UserError(f"A training must have at least one token, found {tokens}.")
    space = language_model_space({}, search_unlisted=True)
    own = () if store is None else store.archive()
    archive = Archive((*own, *together([*shipped.trials_of(shipped.KIND), *shipped.crossed()])))
    theta: Theta = learned_from(SELECTOR, archive).theta
    found = ranked(theta, archive, space, corpus.descriptor, tokens, widths)
    if not theta.tasks:
        raise UserError(
            f"Structures are ranked by earlier trials, and the meta-{SELECTOR} knows none: run a sweep first, or unset "
            f"{shipped.VARIABLE}."
        )
    return found


def ranking_lines(found: list[Ranked], top: int) -> list[str]:
    """A table of the first ``top``."""
    lines = [f"{'model':<12} {'depth':>5} {'width':>5} {'tied':<5} {'expected':>14} {'cost':>6}  with"]
    for one in found[:top]:
        expected = f"{one.score:.2f} ± {one.deviation:.2f}"
        strategy = f"{one.config['optimizer']}, lr {float(one.config['lr']):.2g}, batch {one.config['batch_size']}"
        tied = "yes" if one.tied else "no"
        lines.append(f"{one.model:<12} {one.depth:>5} {one.width:>5} {tied:<5} {expected:>14} {one.cost:>5.1f}x  {strategy}")
    return [*lines, "expected: 0 is an ordinary result on such a text, 1 a very good one; cost: seconds per token"]


def ranking_records(found: list[Ranked]) -> list[dict[str, Any]]:
    return [{**vars(one), "config": dict(one.config)} for one in found]
