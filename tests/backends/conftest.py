"""One local Ray cluster for all tests of a module."""

from collections.abc import Iterator

import pytest

from metasearch.backends import tune


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with tune.cluster(cpus=2):
        yield
