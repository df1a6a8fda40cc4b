"""A process on the head of a Ray cluster that outlives whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metasearch.backends.tune._ray import NodeAffinitySchedulingStrategy, ray
from metasearch.backends.tune.faces import one_line
from metasearch.core.errors import UserError

NAMESPACE = "metasearch"


class HeadProcess:
    """Holds one process. An actor, because Ray ends the children of its other workers with them."""

    def start(self, arguments: Sequence[str], folder: str) -> str:
        """Runs this Python with ``arguments``, in ``folder`` if there is one here; the host. The actor ends with the process."""
        place = folder if Path(folder).is_dir() else None
        child = subprocess.Popen([sys.executable, *arguments], cwd=place, stdin=subprocess.DEVNULL, env=_own_environment())
        threading.Thread(target=lambda: os._exit(min(1, abs(child.wait()))), daemon=True).start()
        return os.uname().nodename

    def address(self) -> str:
        """At which a driver on this host finds the cluster."""
        return str(ray.get_runtime_context().gcs_address)


def run_on_head(name: str, arguments: Callable[[str], Sequence[str]], folder: str) -> str:
    """Starts Python there, with ``arguments`` of the address at which it finds the cluster; the host.

    Raises UserError if a process of that ``name`` runs there.
    """
    process = _head_process(name)
    address = ray.get(process.address.remote())
    return str(ray.get(process.start.remote(list(arguments(address)), folder)))


def _head_process(name: str) -> Any:
    head = next((node for node in ray.nodes() if node["Alive"] and "node:__internal_head__" in node["Resources"]), None)
    assert head is not None, "a cluster has a head"
    kind = ray.remote(num_cpus=0, max_restarts=0)(HeadProcess)
    placed = NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)
    try:
        return kind.options(name=name, namespace=NAMESPACE, lifetime="detached", scheduling_strategy=placed).remote()
    except ValueError as error:
        raise UserError(f"The cluster runs {name} already ({one_line(error)}). Stop its sweep, or wait until it ends.") from error


def _own_environment() -> dict[str, str]:
    """Without what Ray tells its own workers: the child is a driver."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("RAY_JOB", "RAY_RAYLET", "RAY_WORKER"))}
