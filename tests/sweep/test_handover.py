"""What becomes of a sweep's winner: handed over, trained for longer, trained again."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from metasearch.core.errors import UserError
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints, envelope
from metasearch.sweep.again import confirmation, reproduce, retraining
from metasearch.sweep.file import SweepFile
from metasearch.sweep.handover import export, generate
from metasearch.sweep.resolving import resolve
from metasearch.testing.runners import CurveRunner
from metasearch.training.evaluation import validation_loss
from metasearch.training.runner import corpus_of
from tests.sweep.serial import HalvesTheRate, Heir, run

SPACE: dict[str, Any] = {"model": ["lstm", "transformer"], "width": 16, "depth": 1, "context": 16, "batch_size": 8, "dropout": 0.1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """With ``small``: an LSTM that was told something at each report, and a second one that went on from its weights; and ``two``,
    both models of SPACE.
    """
    folder = tmp_path_factory.mktemp("handover")
    (folder / "text.txt").write_text("".join(f"line {n} of a text with {n * n % 97} words\n" for n in range(800)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METASEARCH_CACHE", str(folder / "cache"))
        torch.set_num_threads(1)
        store = Store(folder / "store")
        shared = {"task": {"corpus": str(folder / "text.txt"), "tokenizer": "word"}, "unlisted": "default"}
        trial = {"budget": {"trials": 2}, "trial": {"tokens": "3k", "reports": 3}, "seed": 3}
        run(
            resolve(SweepFile(name="small", space={**SPACE, "model": "lstm", "lr": {"float": [1e-3, 1e-2]}}, **shared, **trial)),
            store,
            Heir(),
            HalvesTheRate(),
        )
        grid = {"searcher": "grid", "scheduler": "fifo"}
        run(resolve(SweepFile(name="two", space=SPACE, search=grid, **shared, **trial)), store)
        yield store


@pytest.mark.parametrize("number", [0, 1])
def test_an_exported_model_loads_without_what_searches_and_has_the_loss_of_its_card(
    store: Store, number: int, tmp_path: Path
) -> None:
    made = export(store, "two", number, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "config.json").read_text())
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1, "whoever may read one file may read all"
    script = (
        "import sys\n"
        "class Refuses:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'ray', 'optuna', 'duckdb', 'pyarrow', 'scipy', 'typer', 'rich'} or name in {\n"
        "            'metasearch.search', 'metasearch.meta', 'metasearch.store', 'metasearch.sweep', 'metasearch.backends'}:\n"
        "            raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Refuses())\n"
        "from load import load\n"
        "model, tokenizer = load()\n"
        "import torch\n"
        "tokens = torch.tensor([tokenizer.encode('line 5 of a text').tolist()])\n"
        "print(model(tokens, model.initial_state(1))[0].sum().item())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path / "out", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (made.loss, made.step) == (about["loss"], about["step"]) == (store.history("two")[number].losses[-1], 3000)
    assert f"val_bpb {made.loss:.5f} after 3,000 tokens" in (tmp_path / "out" / "README.md").read_text()


def test_the_weights_handed_over_are_those_that_were_measured(store: Store, tmp_path: Path) -> None:
    from metasearch.training import loader

    export(store, "two", 0, tmp_path / "out")
    model, tokenizer = loader.load(tmp_path / "out")
    corpus = corpus_of(store.history("two").sweep)
    assert tokenizer.to_json() == corpus.tokenizer.to_json()
    loss = validation_loss(model, corpus.valid, context=16, most_tokens=8192, device=torch.device("cpu"))
    points = store.curves("two").to_pylist()
    assert loss == [point["val_loss"] for point in points if point["trial"] == 0][-1]


def test_a_model_of_ones_own_travels_with_its_export(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metasearch.models import lstm

    folder = tmp_path / "plugins" / "models"
    folder.mkdir(parents=True)
    shutil.copyfile(lstm.__file__, folder / "travelling.py")
    monkeypatch.setenv("METASEARCH_PLUGINS", str(tmp_path / "plugins"))
    source = store.history("small").sweep.settings["file"]["task"]
    file = SweepFile(
        name="own", task=source, space={**SPACE, "model": "travelling"}, budget={"trials": 1}, trial={"tokens": 500, "reports": 1}
    )
    own = Store(tmp_path / "store")
    run(resolve(file), own)
    export(own, "own", 0, tmp_path / "out")
    monkeypatch.delenv("METASEARCH_PLUGINS")
    shutil.rmtree(tmp_path / "plugins")
    done = subprocess.run(
        [sys.executable, "-c", "from load import load; print(type(load()[0]).__name__)"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "LanguageModel", done.stderr


@pytest.mark.parametrize("number", [0, 1])
def test_the_same_seed_writes_the_same_text(store: Store, number: int, tmp_path: Path) -> None:
    export(store, "two", number, tmp_path / "out")
    one, same, other = (generate(tmp_path / "out", "line 5", tokens=40, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    greedy = {generate(tmp_path / "out", tokens=20, temperature=0.0, seed=seed) for seed in (1, 2)}
    assert greedy == {generate(tmp_path / "out", tokens=20, top_k=1)}


def test_an_export_is_refused_in_one_message_and_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        export(store, "two", 0, tmp_path / "full")
    with pytest.raises(UserError, match=r"cannot be written: .*Name another folder"):
        export(store, "two", 0, tmp_path / "full" / "mine" / "out")
    with pytest.raises(UserError, match="has 2 trials, numbered from 0; there is no trial 7"):
        export(store, "two", 7, tmp_path / "out")
    with pytest.raises(UserError, match=r"holds no export .*model\.safetensors.*metasearch export"):
        generate(tmp_path / "full")
    with pytest.raises(UserError, match="Text cannot be drawn so") as raised:
        export(store, "two", 0, tmp_path / "out")
        generate(tmp_path / "out", temperature=-1.0, top_k=0)
    assert len(raised.value.faults) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "out"]


def test_a_trial_whose_weights_are_gone_cannot_be_exported(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.url, tmp_path / "store")
    copy = Store(tmp_path / "store")
    copy.drop_checkpoints("two", 1)
    with pytest.raises(UserError, match=r"weights of two/1 are gone.*retrain"):
        export(copy, "two", 1, tmp_path / "out")
    saved = Checkpoints(store, "two").kept(1)[0]
    copy.put_checkpoint("two", 1, "a", envelope({**saved.report, "loss": math.inf}, saved.checkpoint))
    with pytest.raises(UserError, match="two/1 diverged, and no checkpoint from before is left"):
        export(copy, "two", 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("sweep", "number"), [("two", 1), ("small", 0), ("small", 1)])
def test_a_trial_is_reproduced_to_the_last_bit_with_its_directives_and_its_parent(store: Store, sweep: str, number: int) -> None:
    found = reproduce(store, sweep, number)
    assert [point.recorded for point in found.points] == store.history(sweep)[number].losses
    assert found.largest_difference == 0.0 and found.changed == {}


def test_a_trial_that_cannot_be_reproduced_shows_by_how_much(store: Store) -> None:
    found = reproduce(store, "two", 0, make_runner=CurveRunner)
    assert [point.step for point in found.points] == [1000, 2000, 3000]
    assert found.largest_difference > 0.01


def test_retraining_follows_the_schedule_that_the_trial_really_followed(store: Store, tmp_path: Path) -> None:
    sweep = retraining(store, "small", 0, horizon=6001, seeds=2)
    history = run(sweep, Store(tmp_path / "store"))
    before = store.history("small")[0]
    assert {trial.config for trial in history} == {before.config} and len({trial.seed for trial in history}) == 2
    for trial in history:
        told = [trial.directed[step].directive for step in trial.steps[:2]]
        assert told == [before.directed[step].directive for step in before.steps[:2]]
        assert trial.step == 6001


def test_a_horizon_below_the_reports_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="3 reports need at least as many tokens, found 2"):
        retraining(store, "small", 0, horizon=2)


def test_leaders_are_confirmed_with_new_seeds_each_in_turn(store: Store, tmp_path: Path) -> None:
    history = run(confirmation(store, "two", top=2, seeds=2), Store(tmp_path / "store"))
    leaders = sorted(store.history("two"), key=lambda trial: trial.best_loss)
    assert [trial.config for trial in history] == 2 * [trial.config for trial in leaders]
    assert len({trial.seed for trial in history} | {trial.seed for trial in leaders}) == 6
    with pytest.raises(UserError, match="asked for 0 of the 2"):
        confirmation(store, "two", top=0)
