"""What makes the site from the pages as they are: the README is its front page, links to source files become text, and Mermaid's
pictures are drawn in the reader's browser, which needs a network for it; without one their source is shown.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pymdownx.superfences import fence_code_format

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_config(config: Any) -> Any:
    drawn = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [drawn]}
    return config


def on_files(files: Files, config: Any) -> Files:
    """The README of the project as ``index.md``; this file is no page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=rebased(readme, ROOT, ROOT / "docs")))
    files.remove(files.src_uris["site.py"])
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri == "index.md":
        return markdown
    folder = (ROOT / "docs" / page.file.src_uri).parent
    return rebased(markdown, folder, folder)


def rebased(text: str, folder: Path, seen_from: Path) -> str:
    """The text with its links, relative to ``folder``, made relative to a folder of the site; those that leave it are text."""

    def link(found: re.Match[str]) -> str:
        words, target = found.groups()
        place, mark, anchor = target.partition("#")
        if "://" in target or not place:
            return found[0]
        path = Path(os.path.normpath(folder / place))
        if path == ROOT / "README.md":
            path = ROOT / "docs" / "index.md"
        elif path.is_dir():
            path /= "README.md"
        if not path.is_relative_to(ROOT / "docs"):
            return words
        return f"[{words}]({Path(os.path.relpath(path, seen_from)).as_posix()}{mark}{anchor})"

    return LINK.sub(link, text)
