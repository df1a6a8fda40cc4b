"""A trial that starts from another's weights, as population-based training does."""

import pytest
import torch

from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from tests.training.trials import finish, trainer


@pytest.fixture(scope="module")
def parent():
    trial = trainer()
    trial.advance()
    trial.advance()
    trial.obey(Directive(lr_scale=0.1))
    return trial


def test_a_child_with_its_parents_config_and_seed_does_what_the_parent_would_have_done(parent):
    child, sibling = trainer(), trainer()
    child.adopt(parent.checkpoint())
    sibling.advance()
    sibling.advance()
    assert finish(child) == finish(sibling)


def test_a_child_stands_where_its_parent_stood_but_with_its_own_clock(parent):
    child = trainer()
    child.adopt(parent.checkpoint())
    assert child.standing.tokens == parent.standing.tokens
    assert child.standing.seconds == 0.0
    assert child.advance().step == 3072


def test_a_child_keeps_its_own_config(parent):
    child = trainer(lr=1e-4, beta1=0.5, weight_decay=0.2)
    child.adopt(parent.checkpoint())
    assert child.advance().lr == 1e-4
    assert child._optimizer.param_groups[0]["betas"][0] == 0.5
    assert child._optimizer.param_groups[0]["weight_decay"] == 0.2


@pytest.mark.parametrize("optimizer", ["prodigy", "schedule_free_adamw"])
def test_estimates_in_numbers_come_along_but_settings_do_not(optimizer):
    parent, child = trainer(optimizer=optimizer), trainer(optimizer=optimizer, beta1=0.6)
    parent.advance()
    child.adopt(parent.checkpoint())
    theirs, ours = parent._optimizer.param_groups[0], child._optimizer.param_groups[0]
    assert ours["k"] == theirs["k"] > 0
    assert (theirs["betas"][0], ours["betas"][0]) == (0.9, 0.6)


@pytest.mark.parametrize("changes", [{"optimizer": "lion"}, {"batch_size": 16}, {"context": 64, "clipping": "percentile"}])
def test_a_child_may_train_differently(parent, changes):
    child = trainer(**changes)
    child.adopt(parent.checkpoint())
    assert torch.equal(child.model.embedding.weight, parent.model.embedding.weight)
    assert finish(child)[-1]["val_loss"] < parent.standing.val_losses[-1]


def test_weights_of_another_shape_are_refused(parent):
    with pytest.raises(UserError, match=r"These weights do not fit a lstm of this config; they are of .*'width': 32"):
        trainer(width=48).adopt(parent.checkpoint())
