"""A classifier from a file of examples to its first prediction, as a user does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.place import Place

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]

SWEEP = """
task: {{kind: classify, corpus: {corpus}, metric: {metric}}}
space: {{model: gru, width: 32, depth: 1, batch_size: 16, context: 32, optimizer: adamw, lr: 0.02, dropout: 0, init: default}}
unlisted: default
search: {{searcher: random, scheduler: fifo}}
budget: {{trials: 1}}
trial: {{tokens: 12k, reports: 2}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, running_cluster: str) -> Place:
    folder = tmp_path_factory.mktemp("examples")
    rows = [f"{'a fine' if n % 2 else 'an awful'} thing, number {n}\t{'good' if n % 2 else 'bad'}" for n in range(120)]
    (folder / "reviews.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return Place(folder, running_cluster)


def sweep(place: Place, name: str, corpus: str, metric: str = "val_loss") -> Path:
    path = place.folder / f"{name}.yaml"
    path.write_text(SWEEP.format(corpus=corpus, metric=metric))
    return path


def test_a_classifier_is_searched_for_exported_and_asked(place: Place) -> None:
    place.run("launch", str(sweep(place, "reviews", "reviews.tsv", "accuracy")), "-q")
    (curve,) = place.json("query", "select loss, metrics from curves where step = 12000")
    metrics = dict(curve["metrics"])
    assert metrics["accuracy"] == -curve["loss"] == 1.0 and metrics["macro_f1"] == 1.0
    assert "the same to the last bit" in place.run("reproduce", "reviews/0")
    (standing,) = place.json("confirm", "reviews", "--top", "1", "--seeds", "1", "-q")["standings"]
    assert 0.5 < standing["value"] == -standing["mean"] <= 1.0
    assert f"1. {standing['value']:.4f} over 1 seeds" in place.run("confirm", "reviews", "--top", "1", "--seeds", "1")
    assert "metasearch predict model" in place.run("export", "reviews/0", "--out", "model")
    said = place.json("predict", "model", "a fine thing indeed", "an awful thing")
    assert [one["label"] for one in said] == ["good", "bad"] and sum(said[0]["probability"].values()) == pytest.approx(1.0)
    assert "holds no language model" in place.run("generate", "model", status=2)
    assert "none that is empty" in place.run("predict", "model", " ", status=2)


def test_examples_that_do_not_work_are_refused_before_anything_runs(place: Place) -> None:
    (place.folder / "broken.tsv").write_text("text\tlabel\nfine\n")
    assert "broken.tsv:2: expected 2 columns, found 1" in place.run("validate", str(sweep(place, "a", "broken.tsv")), status=2)
    assert "there is no file" in place.run("validate", str(sweep(place, "b", "none.tsv")), status=2)
    assert "one of val_loss, accuracy, macro_f1" in place.run("validate", str(sweep(place, "c", "reviews.tsv", "bleu")), status=2)
