"""One segment as each version of the schema wrote it, and the facts that all of them hold.

A new version adds its file with ``python -m tests.store.golden``; files that are there are never written again.
"""

from __future__ import annotations

import math

from metasearch.core.config import Config
from metasearch.core.event import (
    Action,
    Adopted,
    Amended,
    Closed,
    Directive,
    Fact,
    Failed,
    Judged,
    Opened,
    Proposed,
    Reported,
    Resumed,
    Thawed,
    TrialId,
)

_SWEEP = {"name": "golden", "horizon": 100, "search": {"searcher": "random"}, "space": {"parameters": [], "candidates": []}}
_FIRST, _SECOND = TrialId(0), TrialId(1)

FACTS: list[Fact] = [
    Opened(1.5, _SWEEP, {"host": "höst", "packages": {"torch": "2.13.0"}}),
    Adopted(2.0, "selector", "0123abcd"),
    Proposed(3.0, _FIRST, Config({"lr": 1e-3, "width": 64, "model": "lstm", "tied": True}), 17, "tpe", "the best of 24"),
    Reported(4.0, _FIRST, 0, 50, 2.25, 1.0, {"val_bpb": 3.2, "tokens": 50.0, "perplexity": 9.5, "grad_norm": math.inf}),
    Judged(4.0, _FIRST, 50, Action.CONTINUE, "leads", Directive(lr_scale=0.5, begin_decay=True)),
    Failed(5.0, _FIRST, 0, "the worker is gone", "Traceback …\n"),
    Thawed(6.0, _FIRST, 1, "the worker is gone"),
    Resumed(7.0, {"host": "other"}),
    Amended(8.0, {**_SWEEP, "horizon": 200}, {"horizon": [100, 200]}),
    Proposed(9.0, _SECOND, Config({"lr": 0.1, "width": 32, "model": "gru", "tied": False}), 18, "pbt", "", _FIRST, 50),
    Reported(10.0, _SECOND, 0, 100, math.nan, 2.5),
    Judged(10.0, _SECOND, 100, Action.STOP, "the loss is not finite"),
    Closed(11.0, "all 2 trials ended"),
]
"""Every kind of fact, with every field of version 1 set to something else than its default at least once."""
