"""A trial as bytes: safetensors for everything that is a tensor, JSON in its metadata for everything else. No pickle.

JSON writes the shortest digits that read back as the same float, so nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.optim import Optimizer

from metasearch.core.errors import UserError

FORMAT = "metasearch/1"


@dataclass(frozen=True)
class Packed:
    """``kind``: what the bytes are (a whole trial, or weights only). ``facts``: JSON values. ``tensors``: by dotted name."""

    kind: str
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix`` and a dot, by the rest of their names."""
        return {name.removeprefix(f"{prefix}."): t for name, t in self.tensors.items() if name.startswith(f"{prefix}.")}


def pack(packed: Packed) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in packed.tensors.items()}
    # One key, because safetensors writes several in no fixed order, and the same trial should be the same bytes.
    return save(tensors, {FORMAT: json.dumps({"kind": packed.kind, "facts": packed.facts})})


def unpack(data: bytes, kind: str) -> Packed:
    """What ``pack`` was given. Raises UserError if the bytes are damaged, foreign, or of another kind."""
    try:
        # Cloned, because arithmetic is the same to the last bit only on tensors that are aligned as torch aligns them.
        tensors = {name: tensor.clone() for name, tensor in load(data).items()}
    except SafetensorError as error:
        raise UserError(f"This is no checkpoint, or a damaged one: {len(data)} bytes, {error}.") from error
    found = _metadata(data)
    if found.get("kind") != kind:
        raise UserError(f"Expected a checkpoint with {FORMAT} {kind}, found one with {found.get('kind', 'neither')}.")
    return Packed(kind, found["facts"], tensors)


def _metadata(data: bytes) -> dict[str, Any]:
    """What ``pack`` wrote beside the tensors, empty if something else did.

    Safetensors begin with the length of a JSON header, 8 bytes little-endian; the header is known to be sound here.
    """
    length = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(FORMAT, "{}")
    metadata: dict[str, Any] = json.loads(text)
    return metadata


SET_EACH_STEP = {"params", "lr", "weight_decay"}
Group = dict[str, Any]


def built_groups(optimizer: Optimizer) -> list[Group]:
    """The settings of each parameter group as the config made them, to be taken when the optimizer is fresh."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Tensors of the optimizer's state, named by the number of their parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, values in state.items() for name, value in values.items() if isinstance(value, Tensor)}


def optimizer_facts(optimizer: Optimizer, built: Sequence[Group]) -> dict[str, Any]:
    """What else training changed: numbers of the state and of the groups. What the config says is not repeated."""
    state = optimizer.state_dict()["state"]
    changed = [
        {n: v for n, v in group.items() if n not in SET_EACH_STEP and (n not in made or v != made[n])}
        for group, made in zip(optimizer.param_groups, built, strict=True)
    ]
    numbers = {i: {n: v for n, v in values.items() if not isinstance(v, Tensor)} for i, values in state.items()}
    return {"state": numbers, "groups": changed}


def restore_optimizer(
    optimizer: Optimizer, built: Sequence[Group], facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what ``optimizer_facts`` and ``optimizer_tensors`` took; settings from the config stay this optimizer's own."""
    state: dict[int, dict[str, Any]] = {int(i): dict(numbers) for i, numbers in facts["state"].items()}
    for name, tensor in tensors.items():
        parameter, _, key = name.partition(".")
        state[int(parameter)][key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, made, changed in zip(optimizer.param_groups, built, facts["groups"], strict=True):
        group.update({**made, **changed})
