"""A Ray cluster of several nodes on this machine, each with its own processes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray._private.utils import get_ray_address_file
from ray.cluster_utils import Cluster


@contextmanager
def nodes(*offers: dict[str, Any]) -> Iterator[Cluster]:
    """One node for each of ``offers``; the first is the head.

    Their files lie in a folder of their own: in Ray's own, a ``ray.init()`` of another test would find this cluster.
    """
    folder = tempfile.mkdtemp(prefix="ms-nodes-")
    # Cluster notes its address in a folder that it does not make.
    Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)
    head, *others = offers
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, "temp_dir": f"{folder}/ray", **head})
    try:
        for offer in others:
            cluster.add_node(**offer)
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
