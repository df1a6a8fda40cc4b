"""A trial that is stopped and continued is the trial that was never stopped."""

import json
from itertools import cycle

import pytest
import safetensors.torch
import torch

from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.protocols import Halted
from metasearch.meta import network
from metasearch.training import checkpoint
from tests.training.trials import CORPUS, Corpus, finish, plugins, trainer

OPTIMIZERS = plugins("optimizer")
EVERYTHING = [
    *zip(cycle(plugins("model")), OPTIMIZERS, cycle(plugins("schedule")), cycle(plugins("clipping")), strict=False),
    *[("lstm", "adamw", schedule, "norm") for schedule in plugins("schedule")],
    *[("gru", "lion", "cosine", clipping) for clipping in plugins("clipping")],
]


def continued(data, **arguments):
    successor = trainer(**arguments)
    successor.restore(data)
    return successor


@pytest.mark.parametrize(("model", "optimizer", "schedule", "clipping"), EVERYTHING)
def test_a_stopped_trial_continues_to_the_last_bit(model, optimizer, schedule, clipping):
    arguments = {"model": model, "optimizer": optimizer, "schedule": schedule, "clipping": clipping, "dropout": 0.2, "tokens": 3000}
    whole = trainer(**arguments)
    first = whole.advance()
    data = whole.checkpoint()
    rest = finish(whole)
    torch.rand(3)
    stopped = continued(data, **arguments)
    assert stopped.checkpoint() == data
    assert stopped.standing.val_losses == (first.val_loss,)
    assert finish(stopped) == rest
    assert len(rest) == 3


def test_a_trial_can_be_stopped_after_every_report():
    whole, piecemeal, reports = trainer(), trainer(), []
    while not piecemeal.done:
        reports += [piecemeal.advance()]
        piecemeal = continued(piecemeal.checkpoint())
    assert [r.val_loss for r in reports] == [r["val_loss"] for r in finish(whole)]
    assert reports[-1].seconds > reports[0].seconds


def test_a_trial_can_be_stopped_before_its_first_step():
    assert finish(continued(trainer().checkpoint())) == finish(trainer())


def test_two_trials_in_one_process_do_not_disturb_each_other():
    alone, first, second = finish(trainer()), trainer(), trainer(seed=1)
    reports = []
    while not first.done:
        reports += [first.advance().val_loss]
        second.advance()
    assert reports == [report["val_loss"] for report in alone]


@pytest.mark.parametrize("init", plugins("init"))
def test_a_trial_is_the_same_whether_it_is_the_first_of_its_process_or_not(init):
    wide = {"init": init, "width": 80, "dropout": 0.2, "tokens": 1024}  # wider than the meta-network's base: widening draws
    network.shipped.cache_clear()
    first, second = trainer(**wide).advance(), trainer(**wide).advance()
    assert first.val_loss == second.val_loss


def test_a_trial_leaves_the_generator_of_the_process_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    trainer(dropout=0.5).advance()
    assert torch.equal(torch.rand(1), expected)


def test_directives_outlast_a_stop():
    whole = trainer(schedule="cosine")
    whole.advance()
    whole.obey(Directive(lr_scale=0.5, clip_scale=2.0, weight_decay_scale=0.0, begin_decay=True))
    stopped = continued(whole.checkpoint(), schedule="cosine")
    assert stopped.control == whole.control
    assert finish(stopped) == finish(whole)


def test_a_checkpoint_is_plain_safetensors_and_json():
    trial = trainer(optimizer="prodigy")
    trial.advance()
    data = trial.checkpoint()
    tensors = safetensors.torch.load(data)
    assert torch.equal(tensors["model.embedding.weight"], trial.model.embedding.weight)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["metasearch/1"])["facts"]["standing"]["val_losses"] == list(trial.standing.val_losses)


def test_weights_alone_name_the_config_they_belong_to():
    trial = trainer()
    packed = checkpoint.unpack(trial.weights(), "weights")
    assert packed.facts == {"config": trial.config, "vocab_size": CORPUS.vocab_size}
    assert packed.under("model").keys() == dict(trial.model.named_parameters()).keys()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", r"This is no checkpoint, or a damaged one: 0 bytes"),
        (lambda data: b"not a checkpoint", r"This is no checkpoint, or a damaged one: 16 bytes"),
        (lambda data: data[:-1], r"This is no checkpoint, or a damaged one: \d+ bytes, .*(ncomplete|nvalid)"),
        (lambda data: data[:100] + b"\xff" + data[101:], r"This is no checkpoint, or a damaged one"),
        (lambda data: safetensors.torch.save({"a": torch.zeros(1)}), r"with metasearch/1 trial, found one with neither"),
        (lambda data: trainer().weights(), r"Expected a checkpoint with metasearch/1 trial, found one with weights"),
    ],
)
def test_a_damaged_or_foreign_checkpoint_is_refused_with_what_was_found(damage, message):
    trial = trainer()
    with pytest.raises(UserError, match=message):
        trial.restore(damage(trial.checkpoint()))


def test_a_checkpoint_of_another_trial_is_refused_with_every_difference():
    other = Corpus(CORPUS.train, CORPUS.valid, CORPUS.valid_bytes, name="elsewhere")
    with pytest.raises(UserError) as caught:
        trainer().restore(trainer(seed=3, corpus=other).checkpoint())
    assert str(caught.value) == (
        "This checkpoint is of another trial:\n  - seed: 3 there, 0 here\n  - corpus: 'elsewhere' there, 'library' here"
    )


@pytest.mark.parametrize("steps", [2, 3], ids=["between two reports", "at the last step before one"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_halted_trial_continues_to_the_last_bit(optimizer, steps):
    arguments = {"optimizer": optimizer, "tokens": 3000, "dropout": 0.2}
    whole = finish(trainer(**arguments))
    halted = trainer(**arguments)
    first = halted.advance()
    halt_after(halted, steps)
    with pytest.raises(Halted):
        halted.advance()
    assert halted.standing.tokens > first.tokens
    assert halted.standing.steps > 0
    rest = finish(continued(halted.checkpoint(), **arguments))
    assert rest == whole[1:]


def halt_after(running, steps):
    """As a signal would that comes while so many steps are made."""
    step, left = running._step, iter(range(steps))

    def last_step():
        if next(left, None) == steps - 1:
            running.halt()
        return step()

    running._step = last_step
