"""Commands, options, Python and links in the documentation: they exist, and all that exist are there."""

import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import metasearch
from metasearch.cli.main import app
from metasearch.sweep.file import BudgetSection
from tests.docs.reading import DOCS, PAGES, ROOT, anchors, blocks, executed, links, named_blocks, page, prose, rows, section


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every command by its words; those of a group follow its name."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{prefix}{name} ") if hasattr(command, "commands") else {f"{prefix}{name}": command}
    return found


COMMANDS = commands(typer.main.get_command(app))
COMMAND_LINE = page("docs/command-line.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_with_exactly_its_options(command: str) -> None:
    described = section(COMMAND_LINE, f"### `{command}`")
    assert f"metasearch {command}" in described, "an example is missing"
    options = {option for parameter in COMMANDS[command].params for option in parameter.opts if option.startswith("--")}
    shown = {word.strip("`,;:.") for word in prose(described).split() if word.strip("`,;:.").startswith("--")}
    assert shown == options - {"--help"}


def test_exactly_the_commands_that_exist_are_listed() -> None:
    described = [line.strip("#` ") for line in COMMAND_LINE.splitlines() if line.startswith("### `")]
    assert sorted(described) == sorted(COMMANDS)
    shown = [shlex.split(cells[0])[1:] for cells in rows(page("README.md")) if cells[0].startswith("metasearch ")]
    assert {called(words)[0] for words in shown} == set(COMMANDS)


def called(words: list[str]) -> tuple[str, list[str]]:
    """The command that a line's words begin with, and the rest of them."""
    count = 1 if words[0] in COMMANDS else 2
    return " ".join(words[:count]), words[count:]


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_every_shown_command_line_can_be_parsed(name: str) -> None:
    for line in "\n".join(blocks(page(name), "")).splitlines():
        words = shlex.split(line, comments=True) if line.startswith("metasearch ") else []
        words = words[: words.index(">")] if ">" in words else words
        if words:
            name, arguments = called(words[1:])
            COMMANDS[name].make_context(name, arguments)


def test_the_python_of_the_readme_fits_the_interface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Launching is the business of other tests; here all names and arguments have to fit."""
    called: list[str] = []

    def noting(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            inspect.signature(function).bind(*given, **named)
            called.append(function.__name__)
            return type("Outcome", (), {"reason": "", "best": None})

        return call

    for owner, name in ((metasearch, "launch"), (metasearch, "resume"), (metasearch.Store, "best"), (metasearch.Store, "query")):
        monkeypatch.setattr(owner, name, noting(getattr(owner, name)), raising=False)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(page("README.md"), "python")
    executed(block, "README.md")
    assert called == ["launch", "resume", "best", "query"]


@pytest.mark.parametrize("name", ["tuner.py", "spaces.py"])
def test_the_python_of_the_ray_page_fits_the_interface(name: str, tmp_path: Path) -> None:
    """All of it but the run itself, in a process of its own, because it imports Ray."""
    script = named_blocks(page("docs/ray.md"))[name].replace("tuner.fit()\n", "print(tuner)\n") + "\nprint(len(space))\n"
    (tmp_path / name).write_text(script, encoding="utf-8")
    command, environment = [sys.executable, "-W", "ignore", name], {**os.environ, "RAY_TRAIN_V2_ENABLED": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()[-1] in "35"
    assert name != "tuner.py" or metasearch.Store(tmp_path / "store").sweeps() == ["mine"]


def test_every_argument_of_the_ray_page_is_described_with_its_default() -> None:
    from metasearch.ray import MetaSearcher

    described = {cells[0]: cells[1] for cells in rows(section(page("docs/ray.md"), "## Arguments of `MetaSearcher`"))}
    arguments = inspect.signature(MetaSearcher).parameters
    assert set(described) - {"argument", "---"} == set(arguments)
    for name, argument in arguments.items():
        required = argument.default is inspect.Parameter.empty
        assert described[name] == ("required" if required else repr(argument.default).replace("'", '"')), name


def test_every_limit_of_a_budget_is_in_the_glossary() -> None:
    (words,) = [cells[1].lower() for cells in rows(page("docs/glossary.md")) if cells[0] == "**Budget**"]
    assert all(limit.replace("_", " ") in words for limit in BudgetSection.model_fields)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(target), f"{path.name} links to a heading {anchor} that {target.name} lacks"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path.suffix == ".md" and path.exists() and path not in reached:
            reached.add(path)
            ahead += [target / "README.md" if target.is_dir() else target for target, _ in links(path)]
    assert set(PAGES) <= reached


def test_every_decision_is_listed_in_order_and_has_its_three_parts() -> None:
    folder = DOCS / "decisions"
    files = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [target for target, _ in links(folder / "README.md")] == files
    assert len({path.name[:4] for path in files}) == len(files), "every decision has a number of its own"
    for path in files:
        text, number = path.read_text(encoding="utf-8"), int(path.name[:4])
        assert path.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number:04d} ")
        assert all(f"\n## {part}\n" in text for part in ("Context", "Decision", "Consequences"))
