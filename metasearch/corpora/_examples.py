"""Examples as ids: what a classifier or a translator learns from. The counterpart of ``_corpus`` for text that runs on."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.core.task import Task
from metasearch.corpora import _cache, _cpython_examples, _descriptor, _labelled, tokenizers
from metasearch.corpora._labelled import Pair, Place
from metasearch.corpora._splits import Splits
from metasearch.corpora._text import digest, fingerprint
from metasearch.corpora.tokenizers import Tokenizer

FORMAT = 1
"""Raised whenever the cut, a tokenizer or the layout of a cache entry changes."""

EXAMPLE_KINDS = ("classify", "translate")
BUILT_IN = "cpython"
HELD_OUT, MOST_HELD_OUT = 0.1, 2000
"""Share of the examples (of each class) that are for validation unless a file is named, and at most how many in all."""

HIGHER_IS_BETTER = {"classify": ("accuracy", "macro_f1"), "translate": ("bleu",)}
LOSS = "val_loss"


@dataclass(frozen=True)
class Ragged:
    """Texts of several lengths, end to end."""

    tokens_T: np.ndarray
    ends_N: np.ndarray

    def __len__(self) -> int:
        return len(self.ends_N)

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.ends_N, prepend=0)

    def padded(self, numbers_B: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The first ``most`` tokens of these texts (B, T), zeros behind the shorter ones, and how many there are (B,)."""
        starts_B = np.where(numbers_B > 0, self.ends_N[numbers_B - 1], 0)
        lengths_B = np.minimum(self.ends_N[numbers_B] - starts_B, most)
        place_BT = np.arange(max(int(lengths_B.max()), 1))[None] + starts_B[:, None]
        inside_BT = place_BT - starts_B[:, None] < lengths_B[:, None]
        tokens_BT = self.tokens_T[np.minimum(place_BT, len(self.tokens_T) - 1)]
        return np.where(inside_BT, tokens_BT, 0).astype(np.int64), lengths_B


@dataclass(frozen=True, eq=False)
class ExampleCorpus:
    """Examples of a ``kind``. ``inputs``: the texts of train and valid; ``outputs``: their translations, if the kind has any;
    ``labels``: class numbers (N,), if it has any.

    As far as a model is begun from the text alone, it is a ``TokenizedCorpus`` of all of it.
    """

    name: str
    kind: str
    source: Mapping[str, Any]
    tokenizer: Tokenizer
    tokenizer_spec: Mapping[str, Any]
    inputs: Mapping[str, Ragged]
    outputs: Mapping[str, Ragged]
    labels: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    descriptor: Mapping[str, float]
    digest: str

    @property
    def extra(self) -> int:
        """Ids behind those of the tokenizer: where a translation begins, and where it ends."""
        return 2 if self.outputs else 0

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size + self.extra

    @cached_property
    def spellings(self) -> list[bytes]:
        return [*self.tokenizer.spellings(), *([b""] * self.extra)]

    @property
    def train(self) -> np.ndarray:
        return self.inputs["train"].tokens_T

    @property
    def valid(self) -> np.ndarray:
        return self.inputs["valid"].tokens_T

    @property
    def valid_bytes(self) -> int:
        return sum(len(self.spellings[token]) for token in self.valid.tolist())

    def task(self, metric: str = LOSS) -> Task:
        """``metric``: ``val_loss``, or one of ``HIGHER_IS_BETTER``."""
        mode = {"mode": "max"} if metric in HIGHER_IS_BETTER[self.kind] else {}
        facts = {"examples": len(self.inputs["train"]), "classes": list(self.classes)}
        source = {"source": dict(self.source), "tokenizer": dict(self.tokenizer_spec), **facts, **mode}
        return Task(self.name, self.kind, metric, "tokens", source, self.digest, dict(self.descriptor))


def check_examples(kind: str, source: Mapping[str, Any], tokenizer: str | Mapping[str, Any]) -> list[str]:
    """Every fault that ``load_examples`` would find without reading a text."""
    faults = tokenizers.check(tokenizer)
    if kind == "translate" and find_spec("sacrebleu") is None:
        faults.append("translations are scored by sacrebleu, which is not installed: pip install 'metasearch[translation]'")
    for name in ("corpus", "valid"):
        place = source.get(name)
        if place is not None and place != BUILT_IN:
            faults += [f"{name}: {fault}" for fault in _labelled.place_faults(kind, place)]
    unknown = set(source.get("columns") or {}) - set(_labelled.COLUMNS[kind])
    return faults + [f"columns: expected {' and '.join(_labelled.COLUMNS[kind])}, found {name}" for name in sorted(unknown)]


def load_examples(
    kind: str, source: Mapping[str, Any], tokenizer: str | Mapping[str, Any] = "byte", cache: Path | None = None
) -> ExampleCorpus:
    """Examples from the cache, or read and tokenized now.

    ``source``: ``corpus`` and, if there is one, ``valid`` (places as ``_labelled`` has them, or "cpython"), and ``columns``.
    Raises UserError with every fault.
    """
    faults = check_examples(kind, source, tokenizer)
    if faults:
        raise UserError(f"The examples {source.get('corpus')!r} cannot be loaded:", faults)
    spec, found = tokenizers.normal_form(tokenizer), _absolute(source)
    made = [FORMAT, _descriptor.VERSION, kind, _fingerprint(found), found.get("columns"), spec]
    key = digest(json.dumps(made, sort_keys=True).encode())
    entry = _cache.get(cache or _cache.folder(), key, lambda: _build(kind, found, spec))
    return _corpus(kind, found, spec, entry)


def _absolute(source: Mapping[str, Any]) -> dict[str, Any]:
    """The same with paths that mean the same in every working folder, and without what is not given."""

    def of(place: Any) -> Any:
        if isinstance(place, Mapping):
            return {name: of(path) for name, path in place.items()}
        return place if place == BUILT_IN else str(Path(place).expanduser().absolute())

    given = {name: of(source[name]) for name in ("corpus", "valid") if source.get(name) is not None}
    return given | ({"columns": dict(source["columns"])} if source.get("columns") else {})


def _fingerprint(source: Mapping[str, Any]) -> str:
    places = [source[name] for name in ("corpus", "valid") if name in source and source[name] != BUILT_IN]
    own = [BUILT_IN, fingerprint([Path(_cpython_examples.__file__)])] if source["corpus"] == BUILT_IN else []
    return "+".join([*own, *(fingerprint(_labelled.paths_of(place)) for place in places)])


def _read(kind: str, place: Place, columns: Mapping[str, str]) -> list[Pair]:
    if place == BUILT_IN:
        return list(_cpython_examples.labelled() if kind == "classify" else _cpython_examples.described())
    return _labelled.read(kind, place, columns)


def _build(kind: str, source: Mapping[str, Any], spec: Mapping[str, Any]) -> _cache.Entry:
    columns = source.get("columns", {})
    pairs = _read(kind, source["corpus"], columns)
    cut = {"train": pairs, "valid": _read(kind, source["valid"], columns)} if "valid" in source else _cut(kind, pairs)
    classes = _classes(cut) if kind == "classify" else []
    texts = {split: [text for text, _ in of] for split, of in cut.items()}
    answers = {split: [answer for _, answer in of] for split, of in cut.items()}
    every = texts["train"] + (answers["train"] if kind == "translate" else [])
    tokenizer = tokenizers.train(spec, "\n".join(every))
    facts: dict[str, Any] = {"tokenizer": tokenizer.to_json(), "classes": classes, "lengths": {}, "labels": {}}
    parts = []
    for split, of in texts.items():
        for side, written in (("inputs", of), *([("outputs", answers[split])] if kind == "translate" else [])):
            ids = [tokenizer.encode(text) for text in written]
            facts["lengths"][f"{side}/{split}"] = [len(text) for text in ids]
            parts += ids
        if classes:
            facts["labels"][split] = [classes.index(label) for label in answers[split]]
    tokens_T = np.concatenate(parts)
    facts["descriptor"] = _description(texts, answers, tokenizer, len(tokens_T), kind)
    facts["digest"] = digest(json.dumps([kind, facts, digest(tokens_T.tobytes())], sort_keys=True).encode())
    return _cache.Entry(tokens_T, facts)


def _cut(kind: str, pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The same examples always go the same way; of each class an equal share."""
    groups: dict[str, list[int]] = {}
    for number, (_, answer) in enumerate(pairs):
        groups.setdefault(answer if kind == "classify" else "", []).append(number)
    share = min(HELD_OUT, MOST_HELD_OUT / len(pairs))
    held: set[int] = set()
    for group, numbers in groups.items():
        drawn = derive(0, "held out", group).permutation(len(numbers))
        held.update(numbers[place] for place in drawn[: max(round(share * len(numbers)), int(len(numbers) > 1))].tolist())
    if not held or len(held) == len(pairs):
        raise UserError(f"{len(pairs)} examples are too few to hold some out. Name a file with others: valid.")
    return {
        "train": [pair for number, pair in enumerate(pairs) if number not in held],
        "valid": [pairs[number] for number in derive(0, "order").permutation(sorted(held)).tolist()],
    }


def _classes(cut: Mapping[str, Sequence[Pair]]) -> list[str]:
    """The labels of the training examples, in order. Raises UserError if they make no task."""
    known = sorted({label for _, label in cut["train"]})
    unseen = sorted({label for _, label in cut["valid"]} - set(known))
    if len(known) < 2:
        raise UserError(f"A classifier needs at least two classes in its training examples, found {', '.join(known) or 'none'}.")
    if unseen:
        raise UserError(f"Validation examples have classes of which no training example is: {', '.join(unseen)}.")
    return known


def _description(
    texts: Mapping[str, list[str]], answers: Mapping[str, list[str]], tokenizer: Tokenizer, tokens: int, kind: str
) -> dict[str, float]:
    """That of all the text, and what only examples have."""
    train = "\n".join(texts["train"] + (answers["train"] if kind == "translate" else []))
    valid = "\n".join(texts["valid"])
    numbers = _descriptor.describe(Splits(train, valid, valid), len(train.encode()), tokens, tokenizer.vocab_size)
    count = len(texts["train"])
    numbers["log10_train_examples"] = math.log10(count)
    numbers["log10_mean_input_length"] = math.log10(sum(map(len, texts["train"])) / count)
    if kind == "classify":
        shares = [number / count for number in Counter(answers["train"]).values()]
        numbers["log2_classes"] = math.log2(len(shares))
        numbers["class_entropy"] = -sum(share * math.log2(share) for share in shares)
    else:
        numbers["output_per_input"] = sum(map(len, answers["train"])) / sum(map(len, texts["train"]))
    return numbers


def _corpus(kind: str, source: Mapping[str, Any], spec: Mapping[str, Any], entry: _cache.Entry) -> ExampleCorpus:
    facts, begin, sides = entry.facts, 0, {"inputs": {}, "outputs": {}}  # type: ignore[var-annotated]
    for name, lengths in facts["lengths"].items():
        side, split = name.split("/")
        ends_N = np.cumsum(lengths)
        sides[side][split] = Ragged(entry.tokens[begin : begin + ends_N[-1]], ends_N)
        begin += int(ends_N[-1])
    place = source["corpus"] if isinstance(source["corpus"], str) else source["corpus"]["source"]
    return ExampleCorpus(
        name=f"{kind}/{Path(place).name}",
        kind=kind,
        source=source,
        tokenizer=tokenizers.from_json(facts["tokenizer"]),
        tokenizer_spec=spec,
        inputs=sides["inputs"],
        outputs=sides["outputs"],
        labels={split: np.array(labels) for split, labels in facts["labels"].items()},
        classes=tuple(facts["classes"]),
        descriptor=facts["descriptor"],
        digest=facts["digest"],
    )
