"""The plug-ins that docs/extending.md shows, as files."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.docs.reading import shown_plugins


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the shown plug-ins and a cache of its own, and one thread."""
    folder = tmp_path_factory.mktemp("docs")
    for name, block in shown_plugins().items():
        path = folder / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METASEARCH_PLUGINS", str(folder / "plugins"))
        patch.setenv("METASEARCH_CACHE", str(folder / "cache"))
        yield folder
    for module in [name for name in sys.modules if name.startswith("metasearch_plugins.")]:
        del sys.modules[module]
