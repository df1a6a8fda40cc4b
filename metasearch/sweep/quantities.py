"""Numbers as people write them: 5M tokens, 90s, 2h, 4GiB."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from metasearch.core.errors import UserError

_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}


def _parser(units: dict[str, float], example: str) -> BeforeValidator:
    def parse(given: object) -> object:
        if given is None or (isinstance(given, int | float) and not isinstance(given, bool)):
            return given
        match = re.fullmatch(r"\s*([0-9._]+)\s*([A-Za-z]*)\s*", str(given))
        if match is None or match[2].lower() not in units:
            raise ValueError(f"expected {example}")
        number = float(match[1].replace("_", "")) * units[match[2].lower()]
        return int(number) if number == int(number) else number

    return BeforeValidator(parse, json_schema_input_type=int | float | str)


def count(text: str) -> int:
    """A whole number above 0 such as 5M. Raises UserError for anything else."""
    try:
        found = TypeAdapter(Count).validate_python(text)
    except ValidationError:
        found = 0
    if found < 1:
        raise UserError(f'Expected a whole number above 0, such as 200000, 200k or 5M; found "{text}".')
    return found


Count = Annotated[int, _parser(_COUNTS, "a whole number such as 200000, 200k or 5M")]
Seconds = Annotated[float, _parser(_SECONDS, "a time such as 90s, 3m or 2h")]
Bytes = Annotated[int, _parser(_BYTES, "a size such as 512MB or 4GiB")]
