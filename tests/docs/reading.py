"""Markdown as data: fenced blocks, tables, links, headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metasearch.catalog import ROOMS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The content of every fenced block of a language, in order; "" is a block without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [content for found, content in fenced if found == language]


def named_blocks(text: str) -> dict[str, str]:
    """Every Python block that begins with a file's name in a comment, by that name."""
    found = {}
    for block in blocks(text, "python"):
        first = re.match(r"# (\S+\.py)\n", block)
        if first:
            found[first[1]] = block
    return found


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, without backticks."""
    for line in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        yield [cell.strip().strip("`") for cell in line.split("|")]


def section(text: str, heading: str) -> str:
    """From a heading, given with its marks, to the next one of the same or a higher level."""
    level = len(heading.split()[0])
    start = text.index(f"\n{heading}\n")
    end = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, start + len(heading) + 2)
    return text[start : end.start() if end else None]


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Every relative link of a page: the file that it leads to, and the heading, empty if none."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if "://" not in target:
            place, _, anchor = target.partition("#")
            yield (path.parent / place).resolve() if place else path, anchor


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown_plugins() -> dict[str, str]:
    """The plug-in files of docs/extending.md, by their paths in a folder of plug-ins."""
    return {name: block for name, block in named_blocks(page("docs/extending.md")).items() if Path(name).parent.name in ROOMS}


def executed(block: str, name: str) -> dict[str, Any]:
    """The names that a shown script defines."""
    names: dict[str, Any] = {"__name__": "shown"}
    exec(compile(block, name, "exec"), names)
    return names
