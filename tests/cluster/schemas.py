"""Manifests against published schemas, strictly: a key that a schema does not know is a fault."""

from collections.abc import Iterator
from typing import Any


def unknown_keys(content: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Every key of ``content`` that an OpenAPI schema neither names nor leaves open."""
    if isinstance(content, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        rest = schema.get("additionalProperties")
        for key, value in content.items():
            if key in schema.get("properties", {}):
                yield from unknown_keys(value, schema["properties"][key], f"{where}.{key}")
            elif isinstance(rest, dict):
                yield from unknown_keys(value, rest, f"{where}.{key}")
            elif not rest and schema.get("type") == "object" and "properties" in schema:
                yield f"{where}.{key}"
    elif isinstance(content, list):
        for index, item in enumerate(content):
            yield from unknown_keys(item, schema.get("items", {}), f"{where}[{index}]")
