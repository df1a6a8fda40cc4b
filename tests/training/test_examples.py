"""Classes and translations are learned by the same loop: to the last bit, whatever interrupts it."""

import numpy as np
import pytest
import torch

from metasearch.corpora import load_examples
from metasearch.sweep.compose import language_model_space
from metasearch.training.loop import Trainer
from metasearch.training.objectives.classify import macro_f1
from metasearch.training.report import TrialBudget
from tests.training.trials import CPU

MODELS = ("lstm", "gru", "transformer")
WORDS = {"zero": "nought", "one": "single", "two": "double", "three": "triple"}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A label that one letter gives away, and a translation word by word."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    words = [" ".join(rng.choice(list("abcdef"), rng.integers(1, 9))) for _ in range(200)]
    labelled = "".join(f"{text}\t{'with a' if 'a' in text else 'without'}\n" for text in words)
    (folder / "labelled.tsv").write_text("text\tlabel\n" + labelled)
    sources = [list(rng.choice(list(WORDS), rng.integers(4, 7))) for _ in range(300)]
    pairs = "".join(f"{' '.join(s)}\t{' '.join(WORDS[w] for w in s)}\n" for s in sources)
    (folder / "pairs.tsv").write_text("source\ttarget\n" + pairs)
    return {
        "classify": load_examples("classify", {"corpus": str(folder / "labelled.tsv")}, cache=folder),
        "translate": load_examples("translate", {"corpus": str(folder / "pairs.tsv")}, {"name": "word"}, cache=folder),
    }


def trainer(corpora, kind, model, tokens=4000, reports=2, **changes):
    space = language_model_space({"model": model, "optimizer": "adamw"}, search_unlisted=False, kind=kind)
    small = {"width": 32, "depth": 1, "batch_size": 16, "context": 32, "lr": 0.02 if model != "transformer" else 0.005}
    config = {**space.default(), "dropout": 0.0, **small, **changes}
    return Trainer(config, corpora[kind], TrialBudget(tokens, reports, 512), 0, CPU)


def finish(trial):
    found = []
    while not trial.done:
        report = trial.advance()
        found.append((report.step, report.val_loss, dict(report.scores)))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_a_class_is_learned(corpora, model):
    *_, (_, loss, scores) = finish(trainer(corpora, "classify", model, tokens=20_000))
    assert loss < 0.35 and scores["accuracy"] > 0.85 and scores["macro_f1"] > 0.8


@pytest.mark.parametrize("model", MODELS)
def test_a_translation_is_learned(corpora, model):
    *_, (_, loss, scores) = finish(trainer(corpora, "translate", model, tokens=30_000))
    assert loss < 0.3 and scores["bleu"] > 40


@pytest.mark.parametrize("kind", ["classify", "translate"])
@pytest.mark.parametrize("model", ["gru", "transformer"])
def test_a_trial_that_was_interrupted_ends_like_one_that_was_not(corpora, kind, model):
    whole = finish(trainer(corpora, kind, model, dropout=0.2, reports=4))
    first = trainer(corpora, kind, model, dropout=0.2, reports=4)
    reports = [first.advance()]
    second = trainer(corpora, kind, model, dropout=0.2, reports=4)
    second.restore(first.checkpoint())
    assert [(r.step, r.val_loss, dict(r.scores)) for r in reports] + finish(second) == whole


@pytest.mark.parametrize("model", MODELS)
def test_padding_and_neighbours_change_nothing(corpora, model):
    trial = trainer(corpora, "classify", model)
    texts = corpora["classify"].inputs["valid"]
    trial.model.eval()
    alone = [trial.model(*(torch.from_numpy(part) for part in texts.padded(np.array([n]), 32))) for n in range(6)]
    together = trial.model(*(torch.from_numpy(part) for part in texts.padded(np.arange(6), 32)))
    assert torch.allclose(torch.cat(alone), together, atol=1e-5)


@pytest.mark.parametrize("kind", ["classify", "translate"])
@pytest.mark.parametrize("init", ["unigram", "meta", "race"])
def test_every_start_works_with_examples(corpora, kind, init):
    assert np.isfinite(finish(trainer(corpora, kind, "lstm", tokens=500, reports=1, init=init))[0][1])


@pytest.mark.parametrize("optimizer, clipping", [("muon", "adaptive"), ("sgd", "percentile"), ("schedule_free_adamw", "value")])
def test_optimizers_and_clipping_know_their_way_in_a_translator(corpora, optimizer, clipping):
    space = language_model_space({"optimizer": optimizer, "clipping": clipping}, search_unlisted=False, kind="translate")
    config = {**space.default(), "width": 32, "context": 32}
    assert np.isfinite(finish(Trainer(config, corpora["translate"], TrialBudget(500, 1, 256), 0, CPU))[0][1])


def test_f1_counts_classes_equally():
    told, truth = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    assert macro_f1(told, truth) == pytest.approx((6 / 7 + 2 / 3) / 2)
