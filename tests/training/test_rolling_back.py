"""A trial that a directive sends back to its lowest loss: weights and moments return, what was spent stays spent."""

import torch

from metasearch.core.event import Directive
from metasearch.training.loop import Trainer
from metasearch.training.report import TrialBudget
from tests.training.trials import CORPUS, CPU, config_of, finish

BACK = Directive(roll_back=True, lr_scale=0.01)


def keeping(seed=0, *, keep_lowest=True, **changes):
    return Trainer(config_of(**changes), CORPUS, TrialBudget(6144, 6, 512), seed, CPU, keep_lowest=keep_lowest)


def weights_of(trial):
    return {name: weight.detach().clone() for name, weight in trial.model.named_parameters()}


def spoiled(trial):
    """Two good reports, then one after the weights went astray; what the weights were before."""
    trial.advance()
    trial.advance()
    good = weights_of(trial)
    with torch.no_grad():
        for weight in trial.model.parameters():
            weight.add_(1.0 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    trial.advance()
    return good


def test_weights_become_what_they_were_at_the_lowest_loss_and_tokens_stay_spent():
    trial = keeping()
    good = spoiled(trial)
    tokens = trial.standing.tokens
    trial.obey(BACK)
    assert all(torch.equal(weight, good[name]) for name, weight in weights_of(trial).items())
    assert trial.standing.tokens == tokens and len(trial.standing.val_losses) == 3
    bad, after = trial.standing.val_losses[-1], trial.advance().val_loss
    assert after < bad


def test_a_trial_that_is_stopped_after_it_went_back_goes_on_to_the_last_bit():
    whole, stopped, later = keeping(), keeping(), keeping()
    for trial in (whole, stopped):
        spoiled(trial)
        trial.obey(BACK)
    later.restore(stopped.checkpoint())
    assert finish(later) == finish(whole)


def test_what_a_trial_may_go_back_to_is_part_of_its_checkpoint():
    stopped, later = keeping(), keeping()
    good = spoiled(stopped)
    later.restore(stopped.checkpoint())
    later.obey(BACK)
    assert all(torch.equal(weight, good[name]) for name, weight in weights_of(later).items())


def test_a_trial_that_keeps_nothing_goes_on_from_where_it_is():
    trial = keeping(keep_lowest=False)
    spoiled(trial)
    before = weights_of(trial)
    trial.obey(BACK)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trial).items())
    assert trial.control.lr_scale == 0.01
