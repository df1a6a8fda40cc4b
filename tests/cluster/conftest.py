"""Where the Ray nodes of a test put their sockets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture()
def ray_folder() -> Iterator[Path]:
    """A short path: Ray's sockets lie below."""
    folder = Path(tempfile.mkdtemp(prefix="ms-nodes-"))
    yield folder / "ray"
    shutil.rmtree(folder)
