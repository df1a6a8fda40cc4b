"""The site: every page is in its menu, and it is built without a warning."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.reading import DOCS, ROOT, page


def leaves(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    else:
        for entry in menu.values() if isinstance(menu, dict) else menu:
            yield from leaves(entry)


def test_every_page_is_in_the_menu_once() -> None:
    named = list(leaves(yaml.safe_load(page("mkdocs.yml"))["nav"]))
    assert sorted(named) == sorted(["index.md", *(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))])


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="the extra docs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "What survives a crash" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    pictures = (tmp_path / "site" / "how-it-works" / "index.html").read_text(encoding="utf-8").count('<pre class="mermaid">')
    assert pictures == page("docs/how-it-works.md").count("```mermaid") > 0
