"""The tables of docs/sweep-file.md that follow from the code: ``python -m tests.docs.tables`` prints them anew."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from metasearch import catalog
from metasearch.core.domains import Boolean, Choice, Domain, Fixed, Float, Int
from metasearch.core.space import Parameter, Space
from metasearch.corpora import describe_sources
from metasearch.corpora.tokenizers import TRAINED, VOCAB_SIZES
from metasearch.training.objectives.language_model import SPACE as TRAINING

ALGORITHMS = {"SEARCHER": catalog.searchers, "SCHEDULER": catalog.schedulers}


def parameters() -> Iterator[str]:
    """One row per plug-in and parameter, those of the training loop first."""
    yield from (_row("every sweep", "", parameter) for parameter in TRAINING)
    for part, room in catalog.STRATEGY_ROOMS.items():
        for name in catalog.names(room):
            space: Space = catalog.load(room, name).SPACE
            yield from (_row(part, name, parameter) for parameter in space)
            if not len(space):
                yield f"| {part} | `{name}` | – | – | – |"


def algorithms(attribute: str) -> Iterator[str]:
    """One row per searcher or scheduler with its options and their defaults."""
    for name in ALGORITHMS[attribute]():
        own = fields(getattr(catalog.load("search", name), attribute))
        defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in own}
        options = [f"`{option}: {_value(default)}`" for option, default in defaults.items()]
        yield f"| `{name}` | {', '.join(options) or '–'} |"


def corpora() -> Iterator[str]:
    """One row for everything that can be written as a corpus on any machine."""
    yield from (f"| `{name}` | {line} |" for name, line in describe_sources().items() if not name.startswith("corpora/"))


def tokenizers() -> Iterator[str]:
    for name in TRAINED:
        yield f"| `{name}` | " + (f"`vocab_size: {VOCAB_SIZES[name].default}` |" if name in VOCAB_SIZES else "– |")


def _row(part: str, name: str, parameter: Parameter) -> str:
    shown = f"`{name}`" if name else "–"
    return f"| {part} | {shown} | `{parameter.name}` | {_range(parameter.domain)} | {_value(parameter.domain.default)} |"


def _range(domain: Domain) -> str:
    if isinstance(domain, Float | Int):
        scale = ", log" if getattr(domain, "log", False) else ", complement" if getattr(domain, "complement", False) else ""
        kind = "float" if isinstance(domain, Float) else "int"
        return f"{kind} {_value(domain.low)} … {_value(domain.high)}{scale}"
    if isinstance(domain, Choice):
        return " or ".join(_value(option) for option in domain.options)
    assert isinstance(domain, Boolean | Fixed)
    return "true or false" if isinstance(domain, Boolean) else _value(domain.value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    for title, rows in (
        ("parameters", parameters()),
        ("searchers", algorithms("SEARCHER")),
        ("schedulers", algorithms("SCHEDULER")),
        ("corpora", corpora()),
        ("tokenizers", tokenizers()),
    ):
        print(f"\n{title}\n", *rows, sep="\n")


if __name__ == "__main__":
    main()
