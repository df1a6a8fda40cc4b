"""A trial's story says what was decided and what was known when it was."""

from __future__ import annotations

import math
from dataclasses import replace

from metasearch.core.config import Config
from metasearch.core.event import Action, Directive, Fact, Failed, Judged, Opened, Proposed, Reported, Thawed, TrialId
from metasearch.core.task import Task
from metasearch.report.story import story
from metasearch.testing.contract import make_sweep

ONE, TWO = TrialId(0), TrialId(1)
FACTS: list[Fact] = [
    Opened(100.0, make_sweep().record()),
    Proposed(100.0, ONE, Config({"lr": 0.1}), 1, "random"),
    Reported(110.0, ONE, 0, 10, 2.0),
    Judged(110.0, ONE, 10, Action.CONTINUE),
    Proposed(111.0, TWO, Config({"lr": 0.2}), 2, "history", "did well on a task like this", ONE, 5),
    Reported(120.0, TWO, 0, 10, 3.0),
    Judged(120.0, TWO, 10, Action.PAUSE, "not among the best 1/2", Directive(lr_scale=0.5, begin_decay=True)),
    Thawed(130.0, TWO, 1, "promises most"),
    Failed(131.0, TWO, 1, "RuntimeError: out of memory"),
    Thawed(132.0, TWO, 2, "interrupted"),
    Reported(140.0, TWO, 2, 20, math.inf),
    Judged(140.0, TWO, 20, Action.STOP, "the loss is not finite"),
]


def test_every_event_of_a_trial_is_told_with_what_was_known_then() -> None:
    assert [(event.seconds, event.what) for event in story(FACTS, TWO)] == [
        (
            11.0,
            "proposed by history: did well on a task like this, from the weights of trial 0 at step 5; "
            "the best of 1 trials was 2 (trial 0)",
        ),
        (20.0, "step 10: loss 3, number 2 of 2 that got here"),
        (20.0, "step 10: pause, not among the best 1/2; told: lr_scale 0.5, begin_decay"),
        (30.0, "leg 1 begins: promises most"),
        (31.0, "leg 1 failed: RuntimeError: out of memory"),
        (32.0, "leg 2 begins: interrupted"),
        (40.0, "step 20: the loss is inf"),
        (40.0, "step 20: stop, the loss is not finite"),
    ]


def test_what_came_later_is_not_known_yet() -> None:
    assert [event.what for event in story(FACTS, ONE)] == ["proposed by random", "step 10: loss 2, the first to get here"]


def test_a_metric_of_which_higher_is_better_is_told_in_its_own_sign() -> None:
    accuracy = replace(make_sweep(), task=Task("own", kind="own", metric="accuracy", source={"mode": "max"}))
    facts = [Opened(100.0, accuracy.record()), FACTS[1], Reported(110.0, ONE, 0, 10, -0.75), *FACTS[4:5]]
    assert story(facts, ONE)[-1].what == "step 10: accuracy 0.75, the first to get here"
    assert story(facts, TWO)[0].what.endswith("the best of 1 trials was 0.75 (trial 0)")
