"""docs/own-training.md: every training that it shows is written out and searched over, or run as a worker would run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from metasearch.core.config import Config
from metasearch.core.event import TrialId
from metasearch.core.protocols import Assignment
from metasearch.core.space import Float, Space
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store.archive import Store
from metasearch.sweep.own_space import own_space
from metasearch.training.own import OwnTraining
from tests.docs.reading import blocks, named_blocks, page

PAGE = page("docs/own-training.md")
SHOWN = named_blocks(PAGE)

MY_MODULE = """
import lightning, torch
class Module(lightning.LightningModule):
    def __init__(self, lr): super().__init__(); self.lr, self.line = lr, torch.nn.Linear(4, 1)
    def training_step(self, batch, i): return torch.nn.functional.mse_loss(self.line(batch[0]), batch[1])
    def validation_step(self, batch, i): self.log("val_loss", self.training_step(batch, i))
    def configure_optimizers(self): return torch.optim.Adam(self.parameters(), self.lr)
x = torch.linspace(-1, 1, 64).reshape(16, 4)
train_loader = valid_loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), 8)
"""

MY_MODEL = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel
def make_model():
    torch.manual_seed(0)
    quiet = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=1, n_head=2, **quiet))
train_set = valid_set = [{"input_ids": torch.arange(i, i + 8), "labels": torch.arange(i, i + 8)} for i in range(16)]
"""


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "METASEARCH_STORE": str(folder / "store"), "METASEARCH_PLUGINS": ""}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.xdist_group("ray")
def test_the_function_of_the_page_is_searched_over_paused_and_continued(tmp_path: Path, running_cluster: str) -> None:
    (tmp_path / "digits.py").write_text(SHOWN["digits.py"], encoding="utf-8")
    (tmp_path / "digits.yaml").write_text(blocks(PAGE, "yaml")[0], encoding="utf-8")
    ended = json.loads(
        run(tmp_path, "-m", "metasearch.cli.main", "launch", "digits.yaml", "--address", running_cluster, "--quiet", "--json")
    )
    assert ended["trials"] == 6
    assert ended["best"]["loss"] < 10
    (row,) = Store(tmp_path / "store").query("select max(legs) as legs, count(*) as trials from trials").to_pylist()
    assert row["trials"] == 6 and row["legs"] > 1


@pytest.mark.xdist_group("ray")
def test_the_script_of_the_page_prints_its_winner(tmp_path: Path) -> None:
    (tmp_path / "search.py").write_text(SHOWN["search.py"], encoding="utf-8")
    assert "'loss': " in run(tmp_path, "-W", "ignore", "search.py")


@pytest.mark.xdist_group("ray")
def test_the_controller_of_the_page_is_obeyed(tmp_path: Path, running_cluster: str) -> None:
    (tmp_path / "steered.py").write_text(SHOWN["steered.py"], encoding="utf-8")
    (tmp_path / "steered.yaml").write_text(blocks(PAGE, "yaml")[1], encoding="utf-8")
    run(tmp_path, "-m", "metasearch.cli.main", "launch", "steered.yaml", "--address", running_cluster, "--quiet")
    status = json.loads(run(tmp_path, "-m", "metasearch.cli.main", "status", "steered", "--json"))
    assert status["states"] == {"completed": 8}
    assert status["control"]["acted"] and status["control"]["left_alone"] == {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shown", ["digits.py", "bowl.py", "lit.py", "hf.py"])
def test_every_training_of_the_page_goes_on_from_a_checkpoint_with_the_same_losses(
    shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {**SHOWN, "my_module.py": MY_MODULE, "my_model.py": MY_MODEL}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    training = OwnTraining(f"{shown}:{'Bowl' if shown == 'bowl.py' else 'train'}")
    before = set(sys.modules)
    try:
        whole, checkpoint = losses(training)
        assert len(whole) == 4
        assert losses(training, checkpoint)[0] == whole[2:]
    finally:
        for name in set(sys.modules) - before:
            if name.startswith(("metasearch_own_", "my_mod")):
                del sys.modules[name]


def losses(training: OwnTraining, checkpoint: bytes | None = None) -> tuple[list[float], bytes | None]:
    """Of a trial of four steps, and its checkpoint after the second report."""
    task, config = Task("shown", "own", "loss"), Config({"lr": 0.05, "optimizer": "adam", "x": 0.5})
    runner = training(Sweep("shown", task, Space.of(x=Float(0.0, 1.0)), horizon=4), Assignment(TrialId(0), 0, config, 7))
    if checkpoint is not None:
        runner.restore(checkpoint)
    found: list[float] = []
    kept: Any = None
    step = 0
    while step < 4:
        progress = runner.advance()
        step = progress.step
        found.append(progress.loss)
        if step == 2:
            kept = runner.checkpoint()
    runner.close()
    return found, kept


@pytest.mark.parametrize("name", SHOWN)
def test_every_training_takes_at_most_fifteen_lines(name: str) -> None:
    lines = [line for line in SHOWN[name].splitlines()[1:] if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 15


def test_the_space_of_the_page_holds_together() -> None:
    space = own_space(yaml.safe_load(blocks(PAGE, "yaml")[1])["space"])
    assert not space.check(space.default())
