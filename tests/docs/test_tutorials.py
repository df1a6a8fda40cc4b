"""docs/tutorials: every file is written and every command is run, in a fresh folder, in the order in which a reader meets them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reading import DOCS

TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
NAME = re.compile(r"# (\S+\.(?:ya?ml|py))\n")


@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_works_as_it_is_shown(path: Path, tmp_path: Path, running_cluster: str) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METASEARCH_")}
    environment |= {"PATH": programs, "METASEARCH_CACHE": str(tmp_path.parent / "cache"), "RAY_ADDRESS": running_cluster}
    folder = tmp_path / "fresh"
    folder.mkdir()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        name = NAME.match(block)
        if name:
            (folder / name[1]).write_text(block, encoding="utf-8")
        elif language == "":
            done = subprocess.run(
                ["sh", "-e", "-c", block], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, block + done.stdout + done.stderr
        else:
            assert language == "text", f"nothing is done with a block of {language} without a file's name"
