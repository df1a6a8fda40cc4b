"""A Ray cluster of several nodes on this machine, each with its own processes."""

from collections.abc import Iterator
from contextlib import contextmanager

from ray.cluster_utils import Cluster


@contextmanager
def nodes(*offers: dict[str, float]) -> Iterator[Cluster]:
    """One node for each of ``offers``; the first is the head."""
    head, *others = offers
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **head})
    try:
        for offer in others:
            cluster.add_node(**offer)
        yield cluster
    finally:
        cluster.shutdown()
