"""The state of anybody's training as bytes: tensors and arrays as safetensors, all else as JSON. No pickle.

What JSON would change on the way (tuples, keys that are numbers, bytes) is written with its kind, so that an optimizer's
``state_dict()`` comes back as it went in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasearch.core.errors import UserError
from metasearch.training.checkpoint import Packed, pack, unpack

KIND = "own state"


def encode(state: Any) -> bytes:
    """Mappings, lists and tuples of tensors, numpy arrays, numbers, text, bytes, truth values and None, nested to any depth.

    Raises UserError for anything else, with its place.
    """
    tensors: dict[str, Tensor] = {}
    facts = _plain(state, tensors, "state")
    return pack(Packed(KIND, {"state": facts}, tensors))


def decode(data: bytes) -> Any:
    """What ``encode`` was given; mappings as dicts, tensors on the CPU."""
    packed = unpack(data, KIND)
    return _whole(packed.facts["state"], packed.tensors)


def _plain(value: Any, tensors: dict[str, Tensor], place: str) -> Any:
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):
        number = str(len(tensors))
        # A copy of its own: tied weights share memory, which safetensors refuses to write.
        tensors[number] = value.detach().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        return ["tensor" if isinstance(value, Tensor) else "array", number]
    if isinstance(value, np.generic):
        return _plain(value.item(), tensors, place)
    if isinstance(value, bytes):
        return ["bytes", _plain(np.frombuffer(value, np.uint8), tensors, place)[1]]
    if isinstance(value, Mapping):
        return ["dict", [[_plain(k, tensors, place), _plain(v, tensors, f"{place}[{k!r}]")] for k, v in value.items()]]
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [kind, [_plain(item, tensors, f"{place}[{i}]") for i, item in enumerate(value)]]
    raise UserError(
        f"A checkpoint holds tensors, arrays, numbers, text, bytes, lists and mappings; {place} is a {type(value).__name__}. "
        "Save its state_dict() or its numbers instead."
    )


def _whole(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind in ("tensor", "array"):
        return tensors[content] if kind == "tensor" else tensors[content].numpy()
    if kind == "bytes":
        return tensors[content].numpy().tobytes()
    if kind == "dict":
        return {_whole(k, tensors): _whole(v, tensors) for k, v in content}
    items = [_whole(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
