"""A trial's model for others: a folder with weights, config, tokenizer, a model card and a loader, and text drawn from it."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.core.history import History, Trial
from metasearch.core.task import LANGUAGE_MODEL
from metasearch.corpora import EXAMPLE_KINDS, ExampleCorpus
from metasearch.store.archive import Store
from metasearch.store.checkpoints import Checkpoints, Saved
from metasearch.sweep import model_card
from metasearch.sweep.environment import own_version
from metasearch.sweep.model_card import Export

FORMAT = 1
"""Of an export folder; raised when a file of it changes its meaning."""

FILES = ("model.safetensors", "config.json", "tokenizer.json", "README.md", "load.py")

BEGINNING = "\n"
"""What a model is given to go on from if nobody gives it anything."""


def trial_of(store: Store, sweep: str, number: int) -> tuple[History, Trial]:
    """A trial and its sweep. Raises UserError if there is no such trial."""
    history = store.history(sweep)
    if number >= len(history):
        raise UserError(f"Sweep {sweep} has {len(history)} trials, numbered from 0; there is no trial {number}.")
    return history, history[number]


def only_ours(history: History, purpose: str) -> None:
    """Raises UserError if the trials of a sweep are not what ``metasearch.training`` trains on a corpus."""
    if history.sweep.task.kind not in (LANGUAGE_MODEL, *EXAMPLE_KINDS):
        raise UserError(
            f"The trials of {history.sweep.name} are of the kind {history.sweep.task.kind}, "
            f"and {purpose} works only for what metasearch itself trains on a corpus."
        )


def export(store: Store, sweep: str, number: int, out: str | Path) -> Export:
    """Writes the model of a trial to the folder ``out``, which must be new or empty; all of it or nothing.

    Of the trial's checkpoints it takes the one with the lowest loss. Raises UserError if there is none, or if the trial's corpus,
    from which the tokenizer was learned, is not on this machine.
    """
    history, trial = trial_of(store, sweep, number)
    only_ours(history, "export")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not an empty folder. Name another one with --out.")
    saved = _best_saved(store, history, trial)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
            draft = Path(scratch, "draft")
            draft.mkdir()
            made = _write(draft, folder, history, trial, saved)
            if folder.exists():
                folder.rmdir()
            draft.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}. Name another folder with --out.") from error
    return made


def _best_saved(store: Store, history: History, trial: Trial) -> Saved:
    kept = Checkpoints(store, history.sweep.name).kept(trial.number)
    sound = [saved for saved in kept if math.isfinite(saved.report["loss"])]
    if kept and not sound:
        raise UserError(f"{history.sweep.name}/{trial.number} diverged, and no checkpoint from before is left. Export another.")
    if not kept:
        raise UserError(
            f"The weights of {history.sweep.name}/{trial.number} are gone: of ended trials only the best keep theirs "
            "(trial.keep in the sweep file). Export another, or train this one again with `metasearch retrain`."
        )
    return min(sound, key=lambda saved: saved.report["loss"])


def _write(draft: Path, folder: Path, history: History, trial: Trial, saved: Saved) -> Export:
    """Fills ``draft``, which will be ``folder``."""
    from metasearch.training import checkpoint, loader
    from metasearch.training.runner import corpus_of

    sweep, corpus = history.sweep, corpus_of(history.sweep)
    weights = checkpoint.unpack(saved.checkpoint, "trial").under("model")
    about = {
        "format": FORMAT,
        "config": dict(trial.config),
        "vocab_size": corpus.vocab_size,
        **({"kind": corpus.kind, "classes": list(corpus.classes)} if isinstance(corpus, ExampleCorpus) else {}),
        "sweep": sweep.name,
        "trial": trial.number,
        "task": {"name": sweep.task.name, "id": sweep.task.id, "metric": sweep.task.metric},
        "step": saved.step,
        "loss": saved.report["loss"],
        "value": sweep.task.value(saved.report["loss"]),
        "metasearch": own_version(),
    }
    _write_json(draft / "config.json", about)
    _write_weights(draft / "model.safetensors", weights, about)
    _write_json(draft / "tokenizer.json", corpus.tokenizer.to_json())
    shutil.copyfile(str(loader.__file__), draft / "load.py")
    own = Path(str(catalog.load("models", str(trial.config["model"])).__file__))
    if own != Path(str(checkpoint.__file__)).parents[1] / "models" / own.name:
        (draft / "plugins" / "models").mkdir(parents=True)
        shutil.copyfile(own, draft / "plugins" / "models" / own.name)
    best = trial.steps[trial.losses.index(trial.best_loss)] if trial.best_loss in trial.losses else saved.step
    size = (draft / "model.safetensors").stat().st_size
    made = Export(
        str(folder),
        sweep.name,
        trial.number,
        sweep.task.metric,
        saved.step,
        saved.report["loss"],
        best,
        trial.best_loss,
        size,
        sweep.task.value(saved.report["loss"]),
        sweep.task.value(trial.best_loss),
        sweep.task.kind,
    )
    (draft / "README.md").write_text(model_card.text(history, trial, saved.report, made), encoding="utf-8")
    return made


def _write_weights(path: Path, weights: dict[str, Any], about: Mapping[str, Any]) -> None:
    """The weights as safetensors' ``load_model`` wants them, which notes what is used twice. They fit the model that is built."""
    import torch
    from safetensors.torch import save_model

    from metasearch.training import loader

    model = loader.model_of(about)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            own[name].copy_(weight)
    save_model(model, str(path))
    path.chmod(path.with_name("config.json").stat().st_mode)  # else its owner alone may read it


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def generate(
    folder: str | Path, prompt: str = "", *, tokens: int = 200, temperature: float = 1.0, top_k: int | None = None, seed: int = 0
) -> str:
    """Text that the exported model in ``folder`` writes after ``prompt``; the same for the same arguments.

    Raises UserError if there is no export in ``folder``, or if a number does not work.
    """
    folder = _export_in(folder)
    if tokens < 1:
        raise UserError(f"At least 1 token can be written, found {tokens}.")
    from metasearch.training import loader
    from metasearch.training.sampling import Sampling, continuation

    sampling = Sampling(temperature, top_k)
    about = _about(folder)
    if "kind" in about:
        raise UserError(f"{folder} holds no language model. What its model says of a text: metasearch predict {folder} TEXT")
    model, tokenizer = loader.load(folder)
    context = int(about["config"]["context"])
    given = tokenizer.encode(prompt or BEGINNING).tolist()
    drawn: Iterator[int] = continuation(model, given, context=context, sampling=sampling, seed=seed)
    return str(tokenizer.decode(list(islice(drawn, tokens))))


def predict(folder: str | Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the exported classifier or translator in ``folder`` says of each text: ``label`` and ``probability`` of every class, or
    ``translation``. Of a text that is longer than what the model was trained to read the rest is left out.

    Raises UserError if there is no such export in ``folder``, or for an empty text.
    """
    folder = _export_in(folder)
    about = _about(folder)
    if "kind" not in about:
        raise UserError(f"{folder} holds a language model. Text from it: metasearch generate {folder}")
    if not texts or any(not text.strip() for text in texts):
        raise UserError("Give at least one text, and none that is empty.")
    from metasearch.training import loader
    from metasearch.training.predicting import labels_of, translations_of

    model, tokenizer = loader.load(folder)
    found = labels_of if about["kind"] == "classify" else translations_of
    return [{"text": text, **said} for text, said in zip(texts, found(model, tokenizer, texts, about), strict=True)]


def _about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found


def _export_in(folder: str | Path) -> Path:
    missing = [name for name in FILES if not os.path.isfile(Path(folder, name))]
    if missing:
        raise UserError(
            f"{folder} holds no export ({', '.join(missing)} missing). Make one with: metasearch export TRIAL --out {folder}"
        )
    found = _about(Path(folder)).get("format")
    if found != FORMAT:
        raise UserError(f"{folder} was exported in format {found}, and this metasearch reads {FORMAT}. Install a newer one.")
    return Path(folder)
