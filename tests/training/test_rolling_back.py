"""A trial that a directive sends back to its lowest loss: weights and moments return, what was spent stays spent."""

import torch

from metasearch.core.event import Directive
from metasearch.sweep.compose import language_model_space
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


HOT = {"optimizer": "sgd", "lr": 1e6, "clipping": "none"}


def config_with(**changes):
    """A config of other plug-ins than the usual one needs their own parameters."""
    kept = {k: v for k, v in config_of().items() if k in ("model", "width", "depth", "batch_size", "context")}
    return language_model_space({**kept, **changes, "schedule": "constant"}, search_unlisted=False).default()


def diverging():
    return Trainer(config_with(**HOT), CORPUS, TrialBudget(6144, 6, 512), 0, CPU, keep_lowest=True)


def test_a_trial_that_diverged_before_its_first_finite_loss_begins_anew_and_goes_on():
    trial = diverging()
    first = weights_of(trial)
    assert trial.advance().diverged and trial.done and trial.may_go_back
    trial.obey(Directive(roll_back=True, lr_scale=1e-7))
    assert all(torch.equal(weight, first[name]) for name, weight in weights_of(trial).items())
    assert not trial.done
    reports = [trial.advance() for _ in range(5)]
    assert trial.done and not any(report.diverged for report in reports)
    assert reports[-1].val_loss < reports[0].val_loss


def test_a_trial_that_was_rescued_and_stopped_goes_on_to_the_last_bit():
    whole, stopped, later = diverging(), diverging(), diverging()
    for trial in (whole, stopped):
        trial.advance()
    saved = stopped.checkpoint()
    later.restore(saved)
    for trial in (whole, later):
        trial.obey(Directive(roll_back=True, lr_scale=1e-7))
    assert finish(later) == finish(whole)


def test_a_restart_gives_the_first_weights_back_and_needs_nothing_kept():
    trial = keeping(keep_lowest=False)
    first = weights_of(trial)
    trial.advance()
    trial.obey(Directive(restart=True, lr_scale=0.5))
    assert all(torch.equal(weight, first[name]) for name, weight in weights_of(trial).items())
    assert trial.control.lr_scale == 0.5 and len(trial.standing.val_losses) == 1
