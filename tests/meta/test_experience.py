"""What changes of learning rates are worth, learned from twins; and trials that diverged and go on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from safetensors import safe_open

from metasearch.backends.simulated import Curves, simulate
from metasearch.core.archive import Archive, PastTask, PastTrial
from metasearch.core.audit import audit
from metasearch.core.config import Config
from metasearch.core.engine import Engine
from metasearch.core.event import Directive, Judged
from metasearch.core.history import History, State, Trial
from metasearch.core.protocols import MemoryLog, Progress
from metasearch.core.rng import derive
from metasearch.core.sweep import Budget, Sweep
from metasearch.core.task import Task
from metasearch.meta import experience
from metasearch.meta._experience_learning import anew, with_late_scales
from metasearch.meta._twins import USUAL_LENGTH, Kind, Row, ahead, rows_of, trace
from metasearch.meta.experience import Experience, Told
from metasearch.meta.optimizer import CONTROLLER, Controller, Theta
from metasearch.search.fifo import Fifo
from metasearch.sweep.controlled import Controlled
from metasearch.testing.laws import LawCurves
from tests.meta.test_optimizer import HORIZON, SPACE, Same, config, plan

STEPS = tuple(range(50, 1050, 50))
TASK = Task("t", descriptor={"bigram_entropy": 3.5})
KIND = Kind("adamw", "lstm", 0.0, math.log(1000 / USUAL_LENGTH))


def trial(
    lr: float, seed: int, at: int | None = None, scale: float = 1.0, best: float = 1e-2, longer: int = 1, **directive: object
) -> PastTrial:
    """Ends the worse the further its learning rate, after the change, is from the best. ``longer``: factor on all steps."""
    lrs = [lr * (scale if at is not None and step > at else 1.0) for step in STEPS]
    losses = [4.0 - 1.5 * step / 1000 for step in STEPS]
    losses[-1] = 2.0 * math.exp(0.02 * math.log(lrs[-1] / best) ** 2)
    told = {} if at is None else {at * longer: Directive(lr_scale=scale, intent="raise lr", **directive)}  # type: ignore[arg-type]
    chosen = Config({"lr": lr, "optimizer": "adamw", "model": "lstm", "width": 64})
    steps = tuple(step * longer for step in STEPS)
    return PastTrial(chosen, {}, steps, tuple(losses), tuple(map(float, steps)), seed=seed, lrs=tuple(lrs), directed=told)


def archive(trials: Iterable[PastTrial], name: str = "texts/one") -> Archive:
    return Archive((PastTask(name, name, 1000, tuple(trials), frozenset(), metric="val_bpb", unit="tokens"),))


def branched(rates: Iterable[float], best: float = 1e-2, longer: int = 1) -> Iterator[PastTrial]:
    for n, lr in enumerate(rates):
        changes: tuple[tuple[int | None, float], ...] = ((None, 1.0), (100, 0.1), (100, 10.0), (500, 3.0))
        yield from (trial(lr, n, at, scale, best, longer) for at, scale in changes)


@pytest.fixture(scope="module")
def known() -> Experience:
    rates = np.geomspace(1e-4, 1e-1, 9).tolist()
    return anew(Archive(tuple(archive(branched(rates), f"text{i}/1").tasks[0] for i in range(2))))


def told(known: Experience, lr: float, scale: float) -> tuple[float, float]:
    seen = KIND.tell(trace([0.05, 0.1], [3.9, 3.8], [lr, lr], 1000, Task("t")))
    rates = np.full(18, lr)
    change_MSC = np.stack([ahead(rates), ahead(rates * scale)])[None]
    mean_M, deviation_M, _ = known.gains(*experience.relative(change_MSC, seen[None], np.array([known.usual_of(KIND)])))
    return float(mean_M[0]), float(deviation_M[0])


def test_twins_teach_that_a_rate_far_too_low_should_rise_and_a_right_one_should_not(known: Experience) -> None:
    low, right = told(known, 3e-4, 10.0), told(known, 1e-2, 10.0)
    assert low[0] - 2 * low[1] > 0 > right[0]
    assert low[0] == pytest.approx(0.02 * (math.log(3e-2) ** 2 - math.log(0.3) ** 2), rel=0.3)


def test_no_change_gains_nothing_for_certain_and_nothing_is_certain_far_away(known: Experience) -> None:
    assert told(known, 1e-3, 1.0) == pytest.approx((0.0, 0.0), abs=1e-5)
    assert told(known, 1e-3, 10.0)[1] < 0.3 * told(known, 2e1, 10.0)[1] + 0.3 * known.scales.signal


def test_the_usual_learning_rate_is_where_nothing_is_gained(known: Experience) -> None:
    assert math.exp(known.best_of(KIND)) == pytest.approx(1e-2, rel=0.6)


def test_a_gain_is_measured_against_the_twin() -> None:
    (row,) = rows_of(archive([trial(1e-3, 0), trial(1e-3, 0, 200, 10.0)]))
    assert row.gain == pytest.approx(0.02 * math.log(0.1) ** 2) and row.variance == 0.0
    assert row.after_C[0] - row.before_C[0] == pytest.approx(math.log(10.0))


def test_without_a_twin_the_forecast_stands_in_corrected_by_controls() -> None:
    """Forecasts claim a tenth too much; the controls tell."""
    acted = trial(1e-3, 0, 200, 10.0, foreseen=2.0 * math.exp(0.02 * math.log(0.1) ** 2 + 0.1))
    controls = []
    for seed in range(1, 9):
        alone = trial(1e-3, seed)
        controls.append(replace(alone, directed={200: Directive(intent="raise lr", foreseen=alone.losses[-1] * math.exp(0.1))}))
    (row,) = rows_of(archive([acted, *controls]))
    assert row.gain == pytest.approx(0.02 * math.log(0.1) ** 2, abs=1e-6)
    (alone,) = rows_of(archive([acted]))
    assert alone.gain == pytest.approx(row.gain + 0.1, abs=1e-6) and alone.variance > row.variance


def test_what_a_store_taught_is_added_and_survives_packing(known: Experience) -> None:
    more = known.with_archive(archive([trial(2e-3, 7), trial(2e-3, 7, 200, 3.0)]))
    assert len(more.gain_N) == len(known.gain_N) + 1
    again = Experience.unpack(*more.pack())
    assert told(again, 1e-3, 10.0) == told(more, 1e-3, 10.0)


def test_what_is_late_is_told_by_late_changes_alone() -> None:
    """The same change gains much early and loses late; scales that are learned keep the two apart."""
    level, falling = np.full(10, 1e-2), np.geomspace(1e-2, 1e-3, 10)
    before, after = ahead(level), ahead(falling)

    def seen(share: float) -> np.ndarray:
        progress = share * experience.LATE
        return trace([progress / 2, progress], [3.9, 3.8], [1e-2, 1e-2], 1000, TASK)

    gained = [(share, 0.3) for share in np.linspace(0.4, 0.95, 9)] + [(1.3, -0.02), (2.0, -0.03)]
    rows = [Row("t", KIND, before, after, KIND.tell(seen(at)), gain) for at, gain in gained]
    bare = Experience(usual={KIND.name: math.log(1e-2)}).with_rows(rows)

    def gain(known: Experience, share: float) -> float:
        found = known.foretold(KIND, before, after[None], seen(share))
        assert found is not None
        return float(found.mean_M[0])

    known = with_late_scales(bare)
    assert gain(bare, 1.05) > 0.05 > 0 > gain(known, 1.05), "without scales of their own early changes count at any time"
    assert gain(known, 0.7) == gain(bare, 0.7) > 0.1
    assert gain(Experience.unpack(*known.pack()), 1.05) == gain(known, 1.05)


def test_where_nothing_was_changed_late_all_changes_count_at_any_time() -> None:
    rates = np.geomspace(1e-4, 1e-1, 5).tolist()
    early = anew(archive(t for lr_trials in (branched([lr]) for lr in rates) for t in list(lr_trials)[:3]))
    assert early.late_scales is None


def test_what_comes_with_metasearch_was_learned_on_built_in_texts_and_raises_what_is_far_too_low() -> None:
    with safe_open(experience.SHIPPED, "numpy") as file:
        card = json.loads(file.metadata()["card"])
    assert all(name.startswith("cpython/") for name in card["learned_from"]) and card["rows"] > 500
    shipped = experience.shipped()
    kind = replace(KIND, log_length=math.log(200_000 / USUAL_LENGTH))
    usual = np.full(18, math.exp(shipped.best_of(kind)))
    for share, loss, pays in ((1 / 30, 5.0, True), (1 / 10, 4.5, True), (1.0, 4.0, False)):
        seen = trace([0.05], [loss], [usual[0] * share], 200_000, TASK)
        found = shipped.foretold(kind, ahead(usual * share), ahead(usual * share * 10)[None], seen)
        assert found is not None and bool(found.certainty(0.002)[0] > 0.9) is pays
    much_longer = trace([0.05], [5.0], [usual[0]], 1e10, TASK)
    assert shipped.foretold(kind, ahead(usual), ahead(usual * 10)[None], much_longer) is None


def test_longer_trainings_want_lower_learning_rates_where_that_is_what_was_seen() -> None:
    rates = np.geomspace(1e-4, 1e-1, 7).tolist()

    def per_length(best_of_long: float) -> float:
        lengths = ((1, 2e-2), (16, best_of_long))
        tasks = [archive(branched(rates, best, n), "text/1").tasks[0] for n, best in lengths]
        return anew(Archive(tuple(replace(task, horizon=1000 * n) for task, (n, _) in zip(tasks, lengths, strict=True)))).per_length

    assert per_length(5e-3) < per_length(2e-2) - 0.02


def test_what_one_model_gains_by_another_may_lose() -> None:
    kinds = {model: replace(KIND, model=model) for model in ("lstm", "gru", "mine")}
    level, falling = np.full(10, 1e-2), np.geomspace(1e-2, 1e-3, 10)
    before, after = ahead(level), ahead(falling)
    seen = trace([0.2, 0.3], [3.9, 3.8], [1e-2, 1e-2], 1000, TASK)
    rows = [Row("t", kinds[name], before, after, kinds[name].tell(seen), gain) for name, gain in (("lstm", -0.2), ("gru", 0.2))]
    known = Experience(usual={kind.name: math.log(1e-2) for kind in kinds.values()}).with_rows(rows)

    def gain(model: str) -> float:
        found = known.foretold(kinds[model], before, after[None], seen)
        assert found is not None
        return float(found.mean_M[0])

    assert gain("lstm") < -0.1 and gain("gru") > 0.1 and abs(gain("mine")) < 0.1


def test_experience_reaches_further_than_it_was_gathered_vaguely_and_then_ends() -> None:
    shipped = experience.shipped()
    longest = math.exp(float(shipped.features_NF[:, experience.LENGTH].max()))

    def asked(times: float) -> Told | None:
        kind = replace(KIND, log_length=math.log(times * longest / USUAL_LENGTH))
        low = np.full(18, math.exp(shipped.best_of(kind)) / 30)
        return shipped.foretold(kind, ahead(low), ahead(low * 10)[None], trace([0.05], [5.0], [low[0]], times * longest, TASK))

    near, far = asked(1.0), asked(4.0)
    assert near is not None and far is not None and far.vague
    assert near.certainty(0.0)[0] > far.certainty(0.0)[0] > 0.8
    assert asked(17.0) is None
    known, beyond = (replace(KIND, log_length=math.log(times * longest / USUAL_LENGTH)) for times in (1.0, 16.0))
    assert shipped.best_of(beyond) == pytest.approx(shipped.best_of(known)), "nobody knows more"


def test_trainings_that_are_measured_otherwise_have_usual_rates_of_their_own() -> None:
    """A step of one's own may be a thousand tokens: what is usual for so many tokens is not for so many steps."""
    config, steps = Config({"optimizer": "adamw", "model": "lstm"}), Task("t", metric="loss", unit="steps")
    assert Kind.of(config, 1e5, Task("t")).name in experience.shipped().usual
    assert Kind.of(config, 1e5, steps).name not in experience.shipped().usual
    own = [replace(task, metric="loss", unit="steps") for task in archive([trial(1e-3, 0), trial(1e-3, 0, 100, 10.0)])]
    taught = experience.shipped().with_archive(Archive(tuple(own)))
    assert taught.usual[Kind.of(config, 1000, steps).name] and len(taught.gain_N) > len(experience.shipped().gain_N)


@dataclass(frozen=True)
class Explosive:
    """Curves that are lost above a learning rate, and while a trial was not sent back from there."""

    curves: Curves
    highest: float

    def advance(self, history: History, trial: Trial) -> Progress:
        progress = self.curves.advance(history, trial)
        assert isinstance(progress, Progress)
        return replace(progress, loss=math.inf) if progress.metrics["lr"] > self.highest else progress


def ran(controller: Controller, highest: float, trials: int = 20) -> tuple[History, MemoryLog, Controlled]:
    sweep = Sweep("s", Task("t"), SPACE, HORIZON, 20, Budget(trials=trials), seed=5)
    log, scheduler = MemoryLog(), Controlled(Fifo(), controller)
    engine = Engine.open(sweep, Same(config(1e-2)), scheduler, log, 0.0)
    simulate(engine, Explosive(LawCurves(plan), highest), workers=2)
    return engine.history, log, scheduler


def test_a_trial_that_diverged_goes_on_from_its_lowest_loss_with_a_lower_rate() -> None:
    history, log, scheduler = ran(replace(CONTROLLER.build(Theta()), plan=plan), 5e-3)
    ends = [trial.state for trial in history]
    assert ends.count(State.COMPLETED) >= 14 and ends.count(State.DIVERGED) >= 1, "controls are not rescued"
    for trial in history:
        if trial.state is State.COMPLETED:
            first = trial.directed[trial.steps[0]].directive
            assert first is not None and first.roll_back and first.lr_scale == pytest.approx(0.1)
            assert math.isfinite(trial.losses[-1]) and not math.isfinite(trial.losses[0])
    facts = list(log.read())
    assert any(isinstance(fact, Judged) and fact.directive is not None and fact.directive.roll_back for fact in facts)
    assert audit(facts, Same(config(1e-2)), scheduler) == []


def test_a_trial_that_is_sent_back_in_vain_is_given_up() -> None:
    history, _, _ = ran(replace(CONTROLLER.build(Theta()), plan=plan), 1e-5, trials=5)
    assert {trial.state for trial in history} == {State.DIVERGED}
    assert all(len(trial.losses) <= 3 for trial in history)


def test_the_same_archive_teaches_the_same() -> None:
    one, two = (
        CONTROLLER.learn(CONTROLLER.init(derive(0)), archive([trial(1e-3, n) for n in range(3)]), derive(0)) for _ in range(2)
    )
    assert one.pack()[1] == two.pack()[1]
