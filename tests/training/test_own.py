"""Anybody's training as a runner: what a function hears and says, how it ends, and what it goes on from."""

import math
import threading
from typing import Any

import numpy as np
import pytest
import torch

from metasearch.core.config import Config
from metasearch.core.control import DECAYED
from metasearch.core.errors import UserError
from metasearch.core.event import Directive, TrialId
from metasearch.core.protocols import Assignment, Progress
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.training import own
from metasearch.training.importing import load_callable
from metasearch.training.own import OwnRunner, OwnTraining
from metasearch.training.planned import planned
from metasearch.training.state import decode, encode

STEPS = 4


def runner(train: Any, mode: str = "min") -> OwnRunner:
    task = Task("t", "own", "score", source={"mode": mode})
    sweep = Sweep("s", task, Space.of(x=Float(0.0, 1.0)), horizon=STEPS)
    return OwnTraining(train)(sweep, Assignment(TrialId(3), 0, Config({"x": 0.5}), seed=7))


def to_its_end(running: OwnRunner) -> list[Progress]:
    found = [running.advance()]
    while not found[-1].last and found[-1].step < STEPS:
        found.append(running.advance())
    running.close()
    return found


def counting(config: dict[str, Any], trial: Any) -> None:
    """Its loss is the sum of what every epoch added, so that a lost state shows."""
    state = trial.restore() or {"epoch": 0, "sum": 0.0}
    total = state["sum"]
    for epoch in range(state["epoch"] + 1, trial.steps + 1):
        total += config["x"]
        trial.save({"epoch": epoch, "sum": total})
        trial.report(step=epoch, loss=total, twice=2 * total)


class Counting:
    def __init__(self, config: dict[str, Any], trial: Any) -> None:
        self.epoch, self.sum, self.x = 0, 0.0, config["x"]

    def step(self) -> dict[str, float]:
        self.epoch, self.sum = self.epoch + 1, self.sum + self.x
        return {"step": self.epoch, "loss": self.sum, "twice": 2 * self.sum}

    def save(self) -> dict[str, float]:
        return {"epoch": self.epoch, "sum": self.sum}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.sum = state["epoch"], state["sum"]


@pytest.mark.parametrize("train", [counting, Counting])
def test_a_restored_training_goes_on_as_if_it_had_never_stopped(train: Any) -> None:
    whole = to_its_end(runner(train))
    assert [(p.step, p.loss, p.metrics["twice"]) for p in whole] == [(1, 0.5, 1.0), (2, 1.0, 2.0), (3, 1.5, 3.0), (4, 2.0, 4.0)]
    first = runner(train)
    first.advance(), first.advance()
    checkpoint = first.checkpoint()
    first.close()
    second = runner(train)
    second.restore(checkpoint)
    assert [(p.step, p.loss) for p in to_its_end(second)] == [(3, 1.5), (4, 2.0)]


def test_a_checkpoint_is_of_the_moment_of_the_report() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        weights = torch.zeros(2)
        for step in (1, 2, 3):
            weights += 1
            trial.save({"weights": weights})
            trial.report(step=step, loss=0.0)

    running = runner(train)
    running.advance(), running.advance()
    checkpoint = running.checkpoint()
    assert checkpoint is not None
    running.advance()
    running.close()
    assert decode(checkpoint)["state"]["weights"].tolist() == [2.0, 2.0]


def test_a_state_that_was_not_written_in_time_is_not_written_late() -> None:
    """Training has changed it by then."""

    def train(config: dict[str, Any], trial: Any) -> None:
        weights = torch.zeros(1)
        for step in (1, 2):
            if step == 1:
                trial.save({"weights": weights, "step": step})
            trial.report(step=step, loss=0.0)
            weights += 1

    running = runner(train)
    running.advance(), running.advance()
    assert running.checkpoint() is None
    running.close()


def test_the_report_at_the_end_of_a_full_trial_is_its_last() -> None:
    assert [progress.last for progress in to_its_end(runner(counting))] == [False, False, False, True]


def test_there_is_no_checkpoint_without_something_new_to_save() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        trial.save(lambda: {"made": "late"})
        trial.report(step=1, loss=0.0)
        trial.report(step=2, loss=0.0)

    running = runner(train)
    running.advance()
    checkpoint = running.checkpoint()
    assert checkpoint is not None and decode(checkpoint)["state"] == {"made": "late"}
    running.advance()
    assert running.checkpoint() is None
    running.close()


def test_a_directive_reaches_the_function_once() -> None:
    heard = []

    def train(config: dict[str, Any], trial: Any) -> None:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        for step in (1, 2, 3):
            answer = trial.report(step=step, loss=0.0)
            answer.scale_lr(optimizer)
            heard.append((answer.lr_scale, optimizer.param_groups[0]["lr"]))

    running = runner(train)
    running.advance()
    running.obey(Directive(lr_scale=0.5))
    running.advance(), running.advance(), running.advance()
    running.close()
    assert heard == [(0.5, 0.5), (1.0, 0.5), (1.0, 0.5)]


def following(config: dict[str, Any], trial: Any) -> None:
    """Sets its learning rate as it is told, and saves nothing of it."""
    state = trial.restore() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, trial.steps + 1):
        lr = trial.lr_factor(epoch)
        trial.save({"epoch": epoch})
        trial.report(step=epoch, loss=1.0, lr=lr, clip=trial.control.clip_scale)


def test_a_function_that_asks_for_its_learning_rate_follows_every_directive_and_through_checkpoints() -> None:
    running = runner(following)
    running.advance()
    running.obey(Directive(lr_scale=0.5, clip_scale=0.25))
    assert running.advance().metrics["lr"] == 0.5
    running.obey(Directive(begin_decay=True))
    saved = running.checkpoint()
    assert saved is not None
    half = 0.5 * (DECAYED + (1.0 - DECAYED) * 0.5)
    assert running.advance().metrics["lr"] == pytest.approx(half)
    running.close()
    again = runner(following)
    again.restore(encode(decode(saved)))
    assert again.advance().metrics["lr"] == pytest.approx(half)
    last = again.advance()
    assert last.metrics["lr"] == pytest.approx(0.5 * DECAYED) and last.metrics["clip"] == 0.25
    again.close()
    old = runner(following)
    old.restore(encode({name: value for name, value in decode(saved).items() if name != "followed"}))
    assert old.advance().metrics["lr"] == 1.0
    old.close()


def test_a_schedule_of_ours_that_the_space_names_is_followed() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        for step in range(1, trial.steps + 1):
            trial.report(step=step, loss=1.0, lr=trial.lr_factor(step))

    task = Task("t", "own", "score", source={"mode": "min"})
    sweep = Sweep("s", task, Space.of(x=Float(0.0, 1.0)), horizon=STEPS)
    config = Config({"schedule": "linear", "warmup": 0.0, "final_factor": 0.0})
    running = OwnTraining(train)(sweep, Assignment(TrialId(3), 0, config, seed=7))
    assert [progress.metrics["lr"] for progress in to_its_end(running)] == pytest.approx([0.75, 0.5, 0.25, 0.0])
    assert planned(Config({"schedule": "of my own"})) is None


@pytest.mark.parametrize("listens", [True, False])
def test_a_function_ends_when_its_leg_is_over_whether_it_listens_or_not(listens: bool) -> None:
    ended = threading.Event()

    def train(config: dict[str, Any], trial: Any) -> None:
        step = 0
        try:
            while True:
                step += 1
                try:
                    if trial.report(step=step, loss=0.0).stop and listens:
                        return
                except Exception:  # noqa: BLE001  as careless code does
                    continue
        finally:
            ended.set()

    running = runner(train)
    running.advance()
    running.close()
    running.close()
    assert ended.is_set()


def test_a_function_that_never_ends_does_not_hold_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "GRACE_SECONDS", 0.05)
    released = threading.Event()

    def train(config: dict[str, Any], trial: Any) -> None:
        trial.report(step=1, loss=0.0)
        released.wait(20)

    running = runner(train)
    running.advance()
    running.close()
    released.set()


def test_a_function_that_returns_early_has_nothing_more_to_train() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        trial.report(step=1, loss=3.0)

    assert [(p.step, p.loss, p.last) for p in to_its_end(runner(train))] == [(1, 3.0, False), (1, 3.0, True)]


def test_a_restored_function_with_nothing_left_to_do_is_complete() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        if trial.restore() is None:
            trial.save({"done": True})
            trial.report(step=2, loss=3.0)

    first = runner(train)
    first.advance()
    checkpoint = first.checkpoint()
    assert checkpoint is not None
    first.close()
    second = runner(train)
    second.restore(checkpoint)
    ended = second.advance()
    assert (ended.step, ended.loss, ended.last) == (2, 3.0, True)


def test_a_function_may_simply_return_its_loss() -> None:
    (only,) = to_its_end(runner(lambda config, trial: config["x"]))
    assert (only.step, only.loss, only.last) == (STEPS, 0.5, True)


def test_a_maximised_metric_is_stored_with_the_other_sign_and_shown_as_reported() -> None:
    (only,) = to_its_end(runner(lambda config, trial: 0.9, mode="max"))
    assert only.loss == -0.9
    assert only.metrics["score"] == 0.9


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_infinite(loss: float) -> None:
    (only,) = to_its_end(runner(lambda config, trial: loss))
    assert only.loss == math.inf


def test_what_a_function_raises_is_raised_with_its_own_lines() -> None:
    def train(config: dict[str, Any], trial: Any) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        runner(train).advance()
    assert raised.traceback[-1].name == "train"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"step": 0, "loss": 1.0}, "step: expected a whole number above 0, found 0"),
        ({"step": 1.5, "loss": 1.0}, "found 1.5"),
        ({"step": 1, "loss": "low"}, "loss: expected a number, found 'low'"),
        ({"step": 1, "loss": 1.0, "note": None}, "note: expected a number, found None"),
    ],
)
def test_a_report_that_makes_no_sense_says_what_was_expected(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        runner(lambda config, trial: trial.report(**said)).advance()
    assert message in str(raised.value)


def test_a_function_without_report_and_result_is_told_what_to_do() -> None:
    with pytest.raises(UserError, match=r"Call trial.report\(step=…, loss=…\), or return the loss"):
        runner(lambda config, trial: None).advance()


def test_every_state_comes_back_as_it_was() -> None:
    weights = torch.randn(3, 2)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    state = {
        "tied": [weights, weights],
        "optimizer": optimizer.state_dict(),
        "array": np.arange(3, dtype=np.int64),
        7: (1, 2.5, None, True, "text", b"\x00bytes", b"", math.inf),
        "number": np.float32(0.5),
    }
    found = decode(encode(state))
    assert found[7] == state[7]
    assert found["number"] == 0.5
    assert torch.equal(found["tied"][1], weights)
    assert found["array"].tolist() == [0, 1, 2]
    assert found["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    optimizer.load_state_dict(found["optimizer"])


def test_what_no_checkpoint_can_hold_is_named_with_its_place() -> None:
    with pytest.raises(UserError, match=r"state\['layers'\]\[1\] is a Linear"):
        encode({"layers": [1, torch.nn.Linear(1, 1)]})


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("train", "FILE.py:NAME or MODULE:NAME"),
        ("missing.py:train", "There is no file"),
        ("no.such.module:train", "cannot be imported"),
        ("metasearch.training.own:OwnRuner", 'Did you mean "OwnRunner"'),
    ],
)
def test_a_training_function_that_is_not_there_is_one_clear_message(place: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_callable(place)
