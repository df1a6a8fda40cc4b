"""The meta-network outside of sweeps: learning one from corpora, and a model for a corpus from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.corpora import TokenizedCorpus, load
from metasearch.corpora.cpython import BUILTINS
from metasearch.meta._hypernetwork import GATES
from metasearch.meta.network import MetaNetwork, Recipe, Size, Structure, TextTask, beside, shipped
from metasearch.models._language_model import LanguageModel
from metasearch.store.archive import Store
from metasearch.sweep.structures import ranked_structures
from metasearch.training import checkpoint
from metasearch.training.checkpoint import Packed
from metasearch.training.evaluation import bits_per_byte, parameter_count, validation_loss
from metasearch.training.inits._shared import set_unigram_bias, take, text_task, vocabulary_of

BUILT_IN = tuple(f"cpython/{name}" for name in BUILTINS)

MEASURED_TOKENS = 1 << 16


def network_tasks(sources: Sequence[str]) -> list[TextTask]:
    """Each source with all of its training text. Raises UserError with every source that cannot be read."""
    tasks: list[TextTask] = []
    faults: list[str] = []
    for source in dict.fromkeys(sources):
        try:
            corpus = load(source, kinds=catalog.corpus_kinds())
            tasks.append(TextTask(source, np.asarray(corpus.train), corpus.descriptor))
        except UserError as error:
            faults += error.faults or [error.message]
    if faults:
        raise UserError("The meta-network cannot learn from these corpora:", faults)
    return tasks


def learn_network(
    sources: Sequence[str], out: Path, size: Size, recipe: Recipe, seed: int, note: Callable[[str], None]
) -> dict[str, Any]:
    """Learns from ``sources`` and writes ``out``; its card. An interrupted call goes on from ``out`` + ``.partial``."""
    partial = out.with_name(f"{out.name}.partial")
    network = MetaNetwork.learn(network_tasks(sources), size, recipe, seed, note, partial)
    network.save(out)
    for kept in (partial, beside(partial)):
        kept.unlink(missing_ok=True)
    return {**network.card, "bytes": out.stat().st_size}


def apply_network(
    source: str,
    tokenizer: str,
    out: Path,
    width: int,
    asked: Mapping[str, Any],
    path: Path | None,
    tokens: int | None = None,
    store: Store | None = None,
) -> dict[str, Any]:
    """Writes ``model.safetensors`` and ``model.json`` into ``out``; what the latter says.

    ``asked``: cell, depth and tied as far as they are not left open. What is open is as earlier trials recommend it for a training
    of ``tokens`` (``ranked_structures``), or without these as the network's own weights do best. ``path``: the network's file;
    None for the shipped one.
    """
    Structure(width=width, **asked)  # faults of what was asked come before the text is read
    network = shipped() if path is None else MetaNetwork.load(path)
    corpus = load(source, tokenizer, kinds=catalog.corpus_kinds())
    task = text_task(corpus)
    by_weights = (structure for structure, _ in network.structures(task, (width,)))
    by_trials = () if tokens is None else _recommended(corpus, tokens, store, width)
    structure = next(one for one in (*by_trials, *by_weights) if _agrees(one, asked))
    config = config_of(structure)
    model, plain = _model(config, corpus), _model(config, corpus)
    take(model, network.weights(task, structure, vocabulary=vocabulary_of(corpus)))
    set_unigram_bias(plain, corpus)
    found = {
        "corpus": corpus.name,
        "tokenizer": dict(corpus.tokenizer_spec),
        "structure": {name: config[name] for name in ("model", "depth", "width", "tied")},
        "parameters": parameter_count(model),
        "nearest": network.nearest(task),
        **_losses(model, corpus),
        "with_unigram_bias_only": _losses(plain, corpus),
    }
    facts = {"config": config, "vocab_size": corpus.vocab_size}
    tensors = {f"model.{name}": value for name, value in model.named_parameters()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(checkpoint.pack(Packed("weights", facts, tensors)))
    (out / "model.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def applied_lines(found: Mapping[str, Any], out: Path) -> list[str]:
    shape = found["structure"]
    return [
        f"{shape['model']}, depth {shape['depth']}, width {shape['width']}, {'tied' if shape['tied'] else 'untied'}: "
        f"{found['parameters']:,} parameters in {out}/model.safetensors",
        f"before any training {found['val_bpb']:.3f} bits per byte on the validation text; "
        f"{found['with_unigram_bias_only']['val_bpb']:.3f} with random weights and the frequencies of the tokens",
        f"most like {found['nearest']} among what the network learned from",
    ]


def config_of(structure: Structure) -> dict[str, Any]:
    """The part of a config that makes a model of that structure; everything else is the plug-in's default."""
    own = {"model": structure.cell, "depth": structure.depth, "width": structure.width, "tied": structure.tied}
    return {**catalog.load("models", structure.cell).SPACE.default(), **own}


def _recommended(corpus: TokenizedCorpus, tokens: int, store: Store | None, width: int) -> Iterator[Structure]:
    """Those that the network has weights for, best first."""
    for one in ranked_structures(corpus, tokens, store, (width,)):
        if one.model in GATES:
            yield Structure(one.model, one.depth, one.width, one.tied)


def _agrees(structure: Structure, asked: Mapping[str, Any]) -> bool:
    return all(getattr(structure, name) == value for name, value in asked.items())


def _model(config: Mapping[str, Any], corpus: TokenizedCorpus) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: LanguageModel = catalog.load("models", config["model"]).build(config, corpus.vocab_size)
    return model


def _losses(model: LanguageModel, corpus: TokenizedCorpus) -> dict[str, float]:
    """``val_loss`` in nats per token, ``val_bpb`` in bits per byte."""
    nats = validation_loss(model, corpus.valid, context=128, most_tokens=MEASURED_TOKENS, device=torch.device("cpu"))
    return {"val_loss": nats, "val_bpb": bits_per_byte(nats, len(corpus.valid), corpus.valid_bytes)}
