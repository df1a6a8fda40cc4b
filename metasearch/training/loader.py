"""This model in torch: ``model, tokenizer = load()``. Needs torch, safetensors and the models and tokenizers of metasearch."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_model

from metasearch import catalog
from metasearch.corpora import tokenizers
from metasearch.models._assembled import assembled


def load(folder: str | Path = Path(__file__).parent, device: str = "cpu") -> tuple[Any, Any]:
    """``model(tokens_BT, state)`` gives logits (B, T, V) and the next state; ``model.initial_state(B)`` is the first one.

    A classifier gives ``model(tokens_BT, lengths_B)``, logits (B, C); a translator ``model.translate(memory, last, most)``.
    """
    folder = Path(folder).resolve()
    if (folder / "plugins").is_dir():  # a model that does not come with metasearch
        os.environ["METASEARCH_PLUGINS"] = os.pathsep.join([str(folder / "plugins"), os.environ.get("METASEARCH_PLUGINS", "")])
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = model_of(about)
    load_model(model, folder / "model.safetensors")
    return model.to(device).eval(), tokenizers.from_json(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))


def model_of(about: Mapping[str, Any]) -> Any:
    """The model that ``config.json`` describes, before its weights are put in."""
    plugin, size = catalog.load("models", about["config"]["model"]), about["vocab_size"]
    return assembled(about.get("kind", ""), lambda: plugin.build(about["config"], size), size, len(about.get("classes", ())))
