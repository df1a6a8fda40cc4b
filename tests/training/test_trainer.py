"""What a user relies on when a trial runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.training.corpus import Stream
from metasearch.training.evaluation import validation_loss
from metasearch.training.loop import STEPS_BETWEEN_CHECKS, Trainer
from metasearch.training.report import TrialBudget
from tests.training.trials import CORPUS, CPU, config_of, finish, plugins, trainer

RUINOUS = {"optimizer": "sgd", "lr": 1e8, "clipping": "none", "warmup": 0.0}


def test_report_steps_do_not_depend_on_the_batch_size():
    small, large = finish(trainer(batch_size=8, tokens=5000)), finish(trainer(batch_size=24, tokens=5000))
    assert [r["step"] for r in small] == [r["step"] for r in large] == [1250, 2500, 3750, 5000]
    assert all(0 <= report["tokens"] - report["step"] < 24 * 32 for report in small + large)


def test_a_batch_that_reaches_past_several_report_points_is_reported_at_each():
    reports = finish(trainer(batch_size=64, context=64, tokens=8000, reports=8))
    assert [report["step"] for report in reports] == [1000 * k for k in range(1, 9)]
    assert [report["tokens"] for report in reports] == [4096] * 4 + [8192] * 4
    assert reports[0]["train_loss"] == reports[3]["train_loss"] != reports[4]["train_loss"]


def test_the_same_seed_gives_the_same_curve_and_another_seed_another():
    curves = [finish(trainer(seed=seed)) for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]


@pytest.mark.parametrize("model", plugins("model"))
def test_every_model_learns_from_real_text(model):
    reports = finish(trainer(model=model, tokens=16_384, reports=2))
    assert reports[1]["val_loss"] < reports[0]["val_loss"] < math.log(CORPUS.vocab_size)


def test_bits_per_byte_of_byte_tokens_are_the_loss_in_bits():
    report = trainer().advance()
    assert report.val_bpb == pytest.approx(report.val_loss / math.log(2))


def test_bits_per_byte_count_the_bytes_that_tokens_stand_for():
    doubled = replace(CORPUS, valid_bytes=2 * CORPUS.valid_bytes)
    assert trainer(corpus=doubled).advance().val_bpb == pytest.approx(trainer().advance().val_bpb / 2)


def test_a_report_says_what_the_trial_cost():
    trial = trainer()
    first, second = trial.advance(), trial.advance()
    assert 0 < first.seconds < second.seconds
    assert first.peak_memory > 10_000_000
    assert first.parameters == sum(p.numel() for p in trial.model.parameters())


def test_a_memory_mapped_corpus_of_wide_tokens_gives_the_same_curve(tmp_path):
    CORPUS.train.astype(np.uint32).tofile(tmp_path / "train")
    mapped = replace(CORPUS, train=np.memmap(tmp_path / "train", dtype=np.uint32, mode="r"))
    assert finish(trainer(corpus=mapped)) == finish(trainer())


def test_memory_is_carried_from_batch_to_batch():
    trial = trainer(model="lstm", dropout=0.0)
    trial.obey(Directive(lr_scale=0.0))
    read = trial.advance().tokens // 8
    inputs_BT, _ = Stream(CORPUS.train, rows=8).read(0, read)
    _, state = trial.model(inputs_BT, trial.model.initial_state(8))
    assert read > 32
    torch.testing.assert_close(trial._state, state)


def test_a_schedule_free_optimizer_is_evaluated_at_its_average():
    trial = trainer(optimizer="schedule_free_adamw")
    report = trial.advance()
    trial._optimizer.eval()
    loss = validation_loss(trial.model, CORPUS.valid, context=32, most_tokens=512, device=CPU)
    assert loss == report.val_loss
    trial._optimizer.train()
    assert validation_loss(trial.model, CORPUS.valid, context=32, most_tokens=512, device=CPU) != loss


def test_divergence_is_an_outcome_and_ends_the_trial():
    trial = trainer(**RUINOUS)
    reports = finish(trial)
    assert trial.done
    assert reports[-1]["diverged"]
    assert len(reports) < 4


@pytest.mark.parametrize("optimizer", plugins("optimizer"))
def test_no_optimizer_raises_when_the_loss_is_not_finite(optimizer):
    trial = trainer(optimizer=optimizer)
    with torch.no_grad():
        trial.model.head.bias[0] = math.nan
    assert trial.advance().diverged


def test_a_diverged_trial_can_be_checkpointed_and_stays_diverged():
    trial, successor = trainer(**RUINOUS), trainer(**RUINOUS)
    finish(trial)
    successor.restore(trial.checkpoint())
    assert successor.done


def test_training_stops_soon_after_the_loss_is_no_longer_finite():
    trial = trainer(tokens=100_000, reports=1)
    with torch.no_grad():
        trial.model.head.bias[0] = math.nan
    report = trial.advance()
    assert report.diverged
    assert report.step == 100_000
    assert report.tokens == STEPS_BETWEEN_CHECKS * 8 * 32


def test_the_share_of_clipped_steps_is_reported():
    assert trainer(clip_norm=1e-3).advance().clip_fraction == 1.0
    assert trainer(clip_norm=1e3).advance().clip_fraction == 0.0


def test_a_directive_on_the_learning_rate_takes_effect_at_the_next_step():
    trial, lr = trainer(warmup=0.0), config_of()["lr"]
    assert trial.advance().lr == lr
    trial.obey(Directive(lr_scale=0.5))
    trial._set_rates()
    assert {group["lr"] for group in trial._optimizer.param_groups} == {lr * 0.5}
    trial.obey(Directive(lr_scale=0.5))
    assert trial.advance().lr == lr * 0.25


def test_a_learning_rate_of_zero_stops_learning():
    trial = trainer(warmup=0.0)
    first = trial.advance()
    trial.obey(Directive(lr_scale=0.0))
    assert trial.advance().val_loss == first.val_loss


def test_a_directive_scales_the_clipping_threshold():
    trial = trainer(clip_norm=1e3)
    assert trial.advance().clip_fraction == 0.0
    trial.obey(Directive(clip_scale=1e-6))
    assert trial.advance().clip_fraction == 1.0


def test_a_directive_scales_the_weight_decay_of_what_decays():
    trial = trainer(weight_decay=0.2)
    trial.obey(Directive(weight_decay_scale=0.5))
    trial.advance()
    assert [group["weight_decay"] for group in trial._optimizer.param_groups] == [0.1, 0.0]


def test_begin_decay_brings_the_learning_rate_linearly_to_a_tenth():
    trial, lr = trainer(warmup=0.0, tokens=40_960), config_of()["lr"]
    trial.advance()
    trial.obey(Directive(begin_decay=True))
    reports = [trial.advance()]
    trial.obey(Directive(begin_decay=True))
    reports += [trial.advance(), trial.advance()]
    half_a_step = 128 / (0.75 * 40_960)
    shares = [1 / 3, 2 / 3, 1.0]
    assert [report.lr for report in reports] == pytest.approx([lr * (1 - 0.9 * (s - half_a_step)) for s in shares])


def test_a_budget_that_cannot_be_is_refused_with_every_fault():
    with pytest.raises(UserError) as caught:
        TrialBudget(tokens=0, reports=3, valid_tokens=0)
    assert caught.value.faults == (
        "tokens must be at least 1, found 0",
        "valid_tokens must be at least 1, found 0",
        "there cannot be more reports (3) than tokens (0)",
    )


def test_every_mistyped_part_of_a_strategy_is_named_with_a_suggestion():
    config = {**config_of(), "optimizer": "adamww", "schedule": "cosin"}
    with pytest.raises(UserError) as caught:
        Trainer(config, CORPUS, TrialBudget(1000), 0, CPU)
    assert len(caught.value.faults) == 2
    assert 'Did you mean "adamw"?' in caught.value.faults[0]
    assert 'Did you mean "cosine"?' in caught.value.faults[1]


def test_every_missing_parameter_is_named_with_who_needs_it():
    config = {name: value for name, value in config_of().items() if name not in ("lr", "context", "width")}
    with pytest.raises(UserError) as caught:
        Trainer(config, CORPUS, TrialBudget(1000), 0, CPU)
    assert caught.value.faults == ('training needs "context"', 'lstm needs "width"', 'adamw needs "lr"')
