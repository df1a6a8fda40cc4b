"""docs/sweep-file.md and every sweep that the documentation shows: valid, complete, and with the defaults of the code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from metasearch.core.space import Space
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.file import OwnSweep, Section, SweepFile, read
from metasearch.sweep.resolving import resolve
from tests.docs import tables
from tests.docs.reading import ROOT, blocks, page, rows, section

PAGE = page("docs/sweep-file.md")
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
PARTS = ("selector", "optimizer", "network")
SHOWN = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", *(f"docs/{page}.md" for page in ("sweep-file", "extending", *(f"meta-{p}" for p in PARTS))))
    for number, block in enumerate(blocks(page(name), "yaml"))
]
OPTIONS = {
    "log: true": ("lr: {float: [1e-4, 1e-2]", "log: true"),
    "complement: true": ("momentum: {float: [0.8, 0.99]", "complement: true"),
    "step: S": ("dropout: {float: [0, 0.4]", "step: 0.1"),
    "prior: {center: C, spread: S}": ("dropout: {float: [0, 0.4]", "prior: {center: 0.1, spread: 0.1}"),
    "prior: [3, 1]": ("depth: {choice: [1, 2]", "prior: [3, 1]"),
    "prior: 0.8": ("tied: {boolean: true", "prior: 0.8"),
    "default: D": ("dropout: {float: [0, 0.4]", "default: 0.2"),
    "when: {optimizer: sgd}": ("lr: {float: [0.1, 0.2]", "when: {optimizer: sgd}"),
}
"""Every option of a range as the page lists it: a range that takes it, and the option in use."""


def leaves(model: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section], str, FieldInfo]]:
    """Every key of a sweep file: its dotted name, its section, its name there, its field."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", model, name, field


REFERENCES = {"docs/sweep-file.md": SweepFile, "docs/own-training.md": OwnSweep}
KEYS = {(name, key): rest for name, model in REFERENCES.items() for key, *rest in leaves(model)}
DESCRIBED = {
    (name, cells[0]): cells for name in REFERENCES for cells in rows(section(page(name), "## Every key")) if len(cells) == 4
}


def space_of(written: str, *, search_unlisted: bool = True) -> Space:
    return language_model_space({"optimizer": ["sgd", "adamw"], **yaml.safe_load(written)}, search_unlisted=search_unlisted)


@pytest.mark.parametrize("block", SHOWN)
def test_every_shown_sweep_is_valid(block: str, tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(block, encoding="utf-8")
    sweep = resolve(read(tmp_path / "shown.yaml"))
    assert not sweep.space.check(sweep.space.default())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_resolves(path: Path) -> None:
    assert resolve(read(path)).name == path.stem


def test_exactly_the_keys_that_exist_are_described() -> None:
    assert {(name, key) for name, key in DESCRIBED if key not in ("key", "---")} == set(KEYS)


@pytest.mark.parametrize(("reference", "key"), KEYS)
def test_the_default_of_every_key_is_described(reference: str, key: str) -> None:
    model, name, field = KEYS[reference, key]
    written = DESCRIBED[reference, key][2]
    if key == "name":
        assert written == "the file's name"
    elif field.is_required():
        assert written == "required"
    elif field.get_default(call_default_factory=True) in (None, {}):
        assert written == ("empty" if field.default_factory else "none")
    else:
        required = {"task": {"corpus": "x"}, "budget": {"trials": 1}, "name": "x", "corpus": "x", "steps": 1, "space": {}}
        given = {other: required[other] for other in model.model_fields if other in required}
        if model is OwnSweep:
            given |= {"task": {"name": "x"}, "trial": {"steps": 1}}
        assert getattr(model(**{**given, name: yaml.safe_load(written)}), name) == field.default


@pytest.mark.parametrize(("kind", "key"), [("count", "budget.tokens"), ("time", "budget.wall"), ("size", "resources.memory")])
def test_every_shown_quantity_is_read(kind: str, key: str) -> None:
    (shown,) = [cells[1] for cells in rows(section(PAGE, "### Quantities")) if cells[0] == kind]
    place, _, name = key.partition(".")
    for written in shown.split("`")[::2]:
        sections: dict[str, dict[str, Any]] = {"budget": {"trials": 1}, place: {name: written}}
        SweepFile(name="x", task={"corpus": "x"}, **sections)


@pytest.mark.parametrize(
    "made",
    [
        tables.parameters,
        lambda: tables.algorithms("SEARCHER"),
        lambda: tables.algorithms("SCHEDULER"),
        tables.corpora,
        tables.tokenizers,
    ],
    ids=["parameters", "searchers", "schedulers", "corpora", "tokenizers"],
)
def test_the_tables_of_plug_ins_follow_from_the_code(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METASEARCH_PLUGINS")
    expected = "\n".join(made())
    assert f"|\n{expected}\n\n" in PAGE, "print the tables anew: python -m tests.docs.tables"


def test_the_strategy_of_a_pinned_sweep_is_as_described() -> None:
    *most, last = (f"`{name}`" for name in language_model_space({}, search_unlisted=False).default().strategy.split("/"))
    assert f"{', '.join(most)} and {last}" in " ".join(PAGE.split())


def test_every_way_to_write_a_parameter_is_described_and_read() -> None:
    written = [cells[0] for cells in rows(section(PAGE, "## The space")) if len(cells) == 2 and ": " in cells[0]]
    assert len(written) == 9
    for piece in written:
        unlike = [space_of(piece, search_unlisted=mode) != space_of("{}", search_unlisted=mode) for mode in (True, False)]
        assert any(unlike), f"{piece} says nothing"
        (name,) = yaml.safe_load(piece)
        assert not isinstance(space_of(piece).default()[name], str), f"{piece} is taken for a value"


def test_every_option_of_a_range_is_described_and_read() -> None:
    listed = [cells[0] for cells in rows(section(PAGE, "## The space")) if len(cells) == 3 and ": " in cells[0]]
    assert listed == list(OPTIONS)
    for option, (opening, used) in OPTIONS.items():
        assert space_of(f"{opening}, {used}}}") != space_of(f"{opening}}}"), option
