"""Decision tables: what each scheduler and searcher decides on small histories written down by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from metasearch import catalog
from metasearch.core.config import Config
from metasearch.core.errors import UserError
from metasearch.core.event import Action, Amended, Fact, Judged, Opened, Proposed, Reported, Thawed, Verdict
from metasearch.core.history import DIVERGED, History
from metasearch.core.protocols import Scheduler
from metasearch.core.rng import derive
from metasearch.core.scales import Scale
from metasearch.core.space import Choice, Float, Int, Space
from metasearch.core.sweep import Budget
from metasearch.search._rungs import even_rungs, geometric_rungs
from metasearch.search.asha import Asha
from metasearch.search.asha_promotion import AshaPromotion
from metasearch.search.hyperband import Bracket, Hyperband
from metasearch.search.median import Median, median_of_others
from metasearch.search.pb2 import Pb2
from metasearch.search.pbt import Pbt
from metasearch.testing.contract import make_sweep

C, P, S = Action.CONTINUE, Action.PAUSE, Action.STOP
NAN = math.nan
RNG = derive(0, "unused")
ONE_RATE = Space.of(lr=Float(0.0, 1.0))


class Story:
    """A history told report by report: ``story(2, 10, 0.5)`` is trial 2 reporting a loss of 0.5 at step 10. What diverges is given
    up, unless the story ``sends_back``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        trials: int,
        horizon: int = 27,
        reports: int = 27,
        budget: int | None = None,
        configs: Sequence[Config] = (),
        space: Space = ONE_RATE,
        sends_back: bool = False,
    ) -> None:
        self.scheduler, self.sends_back = scheduler, sends_back
        self.history = History()
        sweep = make_sweep(space, trials=budget, horizon=horizon, reports=reports)
        self._happens(Opened(0.0, sweep.record()))
        self.configs = configs
        for _ in range(trials):
            self.propose()

    def propose(self, parent: int | None = None, start: int = 0) -> None:
        number = len(self.history)
        config = self.configs[number] if self.configs else Config({"lr": 0.5})
        self._happens(Proposed(0.0, number, config, 0, parent=parent, start=start))  # type: ignore[arg-type]

    def __call__(self, number: int, step: int, loss: float) -> Action:
        trial = self.history[number]
        self._happens(Reported(0.0, trial.number, trial.leg, step, loss))
        lost = Verdict(C if self.sends_back else S, DIVERGED)
        verdict = self.scheduler.judge(self.history, trial, RNG) if math.isfinite(loss) else lost
        self._happens(Judged(0.0, trial.number, step, verdict.action, verdict.reason))
        return verdict.action

    def thaw(self) -> int | None:
        number = self.scheduler.thaw(self.history, RNG)
        if number is not None:
            self._happens(Thawed(0.0, number, self.history[number].leg + 1))
        return number

    def _happens(self, fact: Fact) -> None:
        self.history.apply(fact)


@pytest.mark.parametrize(
    "horizon, eta, grace, expected",
    [
        (27, 3, 1 / 27, (1, 3, 9)),
        (100, 3, 1 / 27, (4, 12, 34)),
        (100, 3, 0.1, (12, 34)),
        (100, 3, 34, ()),
        (100, 2, 10, (13, 25, 50)),
        (2, 3, 1 / 27, ()),
        (1, 2, 1, ()),
        (1_000_000, 10, 1 / 100, (10_000, 100_000)),
    ],
)
def test_geometric_rungs(horizon: int, eta: int, grace: float, expected: Sequence[int]) -> None:
    assert geometric_rungs(horizon, eta, grace) == expected


@pytest.mark.parametrize(
    "horizon, interval, expected",
    [(10, 2, (2, 4, 6, 8)), (10, 2.5, (3, 5, 8)), (10, 10, ()), (3, 0.3, (1, 2)), (10, 0.1 * 30, (3, 6, 9))],
)
def test_even_rungs(horizon: int, interval: float, expected: Sequence[int]) -> None:
    assert even_rungs(horizon, interval) == expected


def test_asha_lets_the_first_go_on_and_then_the_best_third() -> None:
    story = Story(Asha(), trials=7)
    verdicts = [story(number, 1, loss) for number, loss in enumerate([0.5, 0.6, 0.4, 0.45, 0.3, 0.39, 0.44])]
    assert verdicts == [C, S, C, S, C, C, S]  # of six, the best two go on: 0.39 is second


def test_asha_does_not_judge_between_rungs() -> None:
    story = Story(Asha(), trials=2)
    assert [story(0, step, 0.1) for step in (1, 2, 3)] == [C, C, C]
    assert [story(1, step, 0.1 if step == 1 else 9.0) for step in (1, 2, 3)] == [C, C, S]


def test_asha_counts_a_report_at_the_highest_rung_that_it_passes() -> None:
    story = Story(Asha(), trials=4)
    assert story(0, 1, 0.1) is C
    assert story(1, 4, 9.0) is C  # the first beyond rung 3; rung 1 it never stood on
    assert story(2, 5, 10.0) is S
    assert story(3, 1, 0.2) is S


def test_asha_counts_the_diverged_at_the_rung_they_headed_for() -> None:
    story = Story(Asha(), trials=4)
    assert [story(number, 2, NAN) for number in (0, 1)] == [S, S]
    assert story(2, 3, 5.0) is C
    assert story(3, 3, 6.0) is S


def test_asha_judges_what_was_sent_back_at_the_rung_that_it_lost() -> None:
    story = Story(Asha(), trials=5, sends_back=True)
    assert [story(number, 1, loss) for number, loss in enumerate([0.5, 0.6, 0.7])] == [C, S, S]
    assert [story(3, 1, NAN), story(3, 2, 0.9)] == [C, S], "it would have gone on to rung 3"
    assert story(4, 1, 0.55) is S, "of five one goes on: trial 3 counts once"


def test_asha_knows_one_loss_of_a_trial_that_is_lost_again_and_again() -> None:
    story = Story(Asha(), trials=4, sends_back=True)
    assert [story(0, 1, NAN), story(0, 2, NAN), story(0, 3, 0.5)] == [C, C, C], "the first at its rung"
    assert [story(number, 3, loss) for number, loss in ((1, 0.6), (2, 0.4), (3, 0.45))] == [S, C, S], (
        "three and four others, no more"
    )


def test_median_averages_the_losses_that_were_finite() -> None:
    story = Story(Median(grace=1, least=1), trials=3, sends_back=True)
    assert [story(0, step, 0.5) for step in (1, 2)] == [C, C]
    assert [story(1, 1, NAN), story(1, 2, 0.4)] == [C, C]
    assert [story(2, 1, 0.48), story(2, 2, 0.48)] == [C, S], "behind the median of 0.4 and 0.5"


def test_asha_ignores_rungs_below_the_start_of_a_child() -> None:
    story = Story(Asha(), trials=1)
    story(0, 3, 0.1)
    story.propose(parent=0, start=3)
    assert story(1, 4, 9.0) is C
    assert story(1, 9, 9.0) is C
    assert story(0, 9, 10.0) is S


def test_asha_promotion_pauses_until_the_rung_is_full_enough() -> None:
    story = Story(AshaPromotion(), trials=4)
    assert [story(0, 1, 0.5), story(1, 1, 0.6)] == [P, P]
    assert story.thaw() is None
    assert story(2, 1, 0.7) is P
    assert story.thaw() == 0  # the best of three
    assert story.thaw() is None
    assert story(3, 1, 0.4) is C  # rank one of four: it need not even pause


def test_asha_promotion_serves_the_highest_rung_first() -> None:
    story = Story(AshaPromotion(), trials=12)
    assert [story(number, 1, float(number)) for number in range(12)] == [P] * 12
    assert [story.thaw() for _ in range(3)] == [0, 1, 2]
    assert [story(number, 3, float(number)) for number in range(3)] == [P] * 3
    assert [story.thaw() for _ in range(3)] == [0, 3, None]  # trial 3 is the fourth of twelve at rung 1


def test_asha_promotion_ends_with_a_winner() -> None:
    story = Story(AshaPromotion(), trials=2, budget=2)
    assert [story(0, 1, 0.5), story(1, 1, 0.6)] == [P, P]
    assert story.thaw() == 0
    assert story.thaw() is None
    assert story(0, 3, 0.5) is P
    assert story.thaw() == 0


def test_median_compares_the_best_loss_with_the_running_averages() -> None:
    story = Story(Median(grace=1, least=3), trials=5, horizon=4, reports=4)
    for number, losses in enumerate([(4.0, 2.0), (5.0, 3.0), (6.0, 4.0)]):
        assert [story(number, step + 1, loss) for step, loss in enumerate(losses)] == [C, C]
    assert [story(3, 1, 5.1), story(4, 1, 4.9)] == [S, C]
    assert story(4, 2, 4.1) is S  # averages at step 2: 3, 4, 5; the best so far is 4.1


def test_median_waits_for_enough_others_and_for_the_grace() -> None:
    story = Story(Median(grace=0.5, least=3), trials=4, horizon=4, reports=4)
    assert [story(number, 1, float(number)) for number in range(4)] == [C, C, C, C]
    assert [story(number, 2, float(number)) for number in range(4)] == [C, C, C, S]


@pytest.mark.parametrize(
    "ascending, own, expected",
    [
        ([1.0, 2.0], 1.0, 2.0),
        ([1.0, 2.0, 3.0], 1.0, 2.5),
        ([1.0, 2.0, 3.0], 3.0, 1.5),
        ([2.0, 2.0, 2.0], 2.0, 2.0),
        ([1.0, math.inf], 1.0, math.inf),
    ],
)
def test_median_of_others(ascending: list[float], own: float, expected: float) -> None:
    assert median_of_others(ascending, own) == expected


def test_hyperband_brackets_are_those_of_the_paper() -> None:
    """Table 1 of Li et al. (2018) for R = 81, eta = 3, with the sizes that algorithm 1 gives."""
    story = Story(Hyperband(eta=3, grace=1 / 81), trials=1, horizon=81)
    brackets = Hyperband(eta=3, grace=1 / 81)._brackets(story.history)
    first, found = 0, []
    for _ in range(5):
        found.append(brackets.of(first))
        first += found[-1].size
    assert [(bracket.size, bracket.rungs) for bracket in found] == [
        (81, (1, 3, 9, 27)),
        (34, (3, 9, 27)),
        (15, (9, 27)),
        (8, (27,)),
        (5, ()),
    ]
    assert brackets.of(first) == Bracket(first, 81, 3, (1, 3, 9, 27))


def test_hyperband_promotes_once_the_bracket_is_there() -> None:
    story = Story(Hyperband(grace=1 / 9), trials=9)  # nine trials with rungs at 3 and 9, three of them go on
    assert [story(number, 3, float(number)) for number in range(3, 9)] == [P, P, P, S, S, S]
    assert [story(number, 3, float(number)) for number in (2, 1)] == [P, P]
    assert story.thaw() is None
    assert story(0, 3, 0.0) is C
    assert [story.thaw(), story.thaw(), story.thaw()] == [1, 2, None]
    assert [story(number, 9, float(number)) for number in (0, 1, 2)] == [P, S, S]
    assert story.thaw() == 0


def test_hyperband_does_not_wait_for_the_diverged() -> None:
    story = Story(Hyperband(grace=1 / 3), trials=3, horizon=3)  # three trials with one rung, at 1: one goes on
    assert [story(0, 1, NAN), story(1, 1, 2.0), story(2, 1, 3.0)] == [S, P, S]
    assert story.thaw() == 1


def test_hyperband_makes_do_with_the_trials_there_are() -> None:
    story = Story(Hyperband(grace=1 / 9), trials=2, budget=2)
    assert [story(0, 3, 1.0), story(1, 3, 2.0)] == [P, S]
    assert story.thaw() == 0


def test_pbt_stops_the_worst_quarter_at_every_interval() -> None:
    story = Story(Pbt(population=4, interval=0.25), trials=4, horizon=4)
    assert [story(number, 1, loss) for number, loss in enumerate([1.0, 2.0, 3.0, 4.0])] == [C, C, C, S]


def test_pbt_waits_for_members_that_are_behind() -> None:
    story = Story(Pbt(population=3, interval=0.25), trials=2, horizon=4)
    assert story(0, 1, 1.0) is P  # one member does not exist yet
    assert story.thaw() is None
    story.propose()
    assert [story(1, 1, 2.0), story(2, 1, 3.0)] == [C, C]
    assert story(1, 2, 2.0) is P
    assert [story.thaw(), story.thaw()] == [0, 1]


def test_pbt_replaces_a_stopped_member_by_a_child_of_the_best() -> None:
    pbt = Pbt(population=4, interval=0.25, resample=0.0)
    story = Story(pbt, trials=4, horizon=4)
    for number in range(4):
        story(number, 1, float(number))
    proposal = pbt.propose(story.history, derive(0, "propose"))
    assert proposal is not None
    assert (proposal.parent, proposal.start, proposal.reason) == (0, 1, "continues trial 0")
    assert proposal.config["lr"] in (0.4, 0.6)


def test_pbt_changes_no_shape() -> None:
    space = Space.of(
        width=Int(8, 64), lr=Float(1e-4, 1e-1, log=True), momentum=Float(0.0, 0.99, complement=True), model=Choice(("a", "b"))
    )
    parent = Config({"width": 32, "lr": 0.01, "momentum": 0.9, "model": "a"})
    pbt = Pbt(population=3, interval=0.25, resample=0.0)
    story = Story(pbt, trials=3, horizon=4, configs=[parent] * 3, space=space)
    for number in range(3):
        story(number, 1, float(number))
    story(2, 2, math.inf)
    proposals = [pbt.propose(story.history, derive(0, "explore", k)) for k in range(20)]
    children = [proposal.config for proposal in proposals if proposal is not None]
    assert {(child["width"], child["model"]) for child in children} == {(32, "a")}
    assert {child["lr"] for child in children} == {0.008, 0.012}
    assert {child["momentum"] for child in children} == {0.88, 0.92}
    assert space.parameters[2].domain.scale is Scale.COMPLEMENT


def test_pb2_goes_where_the_loss_fell_most() -> None:
    """The higher the learning rate, the more an interval gained; PBT would only try its neighbours."""
    pb2, rates = Pb2(population=6, interval=0.1), [0.0, 0.2, 0.4, 0.6, 0.8, 0.3]
    story = Story(pb2, trials=6, horizon=10, configs=[Config({"lr": rate}) for rate in rates])
    for step in (1, 2, 3):
        for number, rate in enumerate(rates[:5]):
            story(number, step, 5.0 - step * (0.1 + rate))
    story(5, 1, math.inf)
    children = [pb2.propose(story.history, derive(0, "propose", k)) for k in range(10)]
    found = [float(child.config["lr"]) for child in children if child is not None]
    assert len(found) == 10 and sum(rate > 0.7 for rate in found) >= 8


@pytest.mark.parametrize(
    "spec, faults",
    [
        ({"name": "asha", "eta": 1, "grace": 0}, ["eta must be at least 2, found 1", "grace must be above 0"]),
        ({"name": "hyperband", "eta": 0}, ["eta must be at least 2, found 0"]),
        ({"name": "asha_promotion", "grace": -1}, ["grace must be above 0"]),
        ({"name": "median", "least": 0}, ["least must be at least 1"]),
        (
            {"name": "pbt", "population": 1, "quantile": 0.9},
            ["population must be at least 2, found 1", "quantile must lie in (0, 0.5]"],
        ),
        ({"name": "asha", "etta": 2}, ['it has no option "etta". Did you mean "eta"?']),
        ({"name": "asha", "eta": "three"}, ["eta: Input should be a valid integer", "found 'three'"]),
    ],
)
def test_options_that_make_no_sense_are_refused_all_at_once(spec: dict[str, object], faults: list[str]) -> None:
    with pytest.raises(UserError) as error:
        catalog.build_scheduler(spec)
    for fault in faults:
        assert fault in str(error.value)


def test_an_amended_horizon_moves_the_rungs() -> None:
    story = Story(Asha(), trials=2)
    assert story(0, 1, 0.1) is C
    sweep = story.history.sweep.amended(horizon=270, budget=Budget())
    story.history.apply(Amended(0.0, sweep.record()))
    assert story(1, 1, 9.0) is C
    assert story(1, 10, 9.0) is C
    assert story(0, 10, 10.0) is S
