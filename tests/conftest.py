"""Tests run side by side: none may take more threads than its share, and none may read or leave a cache of the user's."""

import os
from collections.abc import Iterator

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["METASEARCH_SHIPPED"] = "none"  # stores begin empty
os.environ["RAYON_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two CPUs, for commands that need not start one of their own."""
    from tests.cluster.nodes import nodes

    with nodes({"num_cpus": 2}) as cluster:
        yield cluster.address
