"""Connecting to a Ray cluster, and how many trials it has room for."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from metasearch.backends.tune._ray import ray
from metasearch.backends.tune.faces import one_line
from metasearch.backends.tune.scratch import scratch_folder
from metasearch.core.errors import UserError
from metasearch.core.sweep import LOCAL, Resources


@contextmanager
def cluster(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """A Ray cluster for the time of the block: the one already connected, the one at ``address``, else at ``RAY_ADDRESS``, or a
    local one on loopback (``LOCAL``, or neither is set).

    A local cluster opens no port to the network, shows no dashboard, and leaves no folder behind.
    """
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    # Idle OpenMP threads that spin would slow other trials on the node down by orders of magnitude.
    workers = {"env_vars": {"OMP_WAIT_POLICY": "passive", **_own_environment()}}
    with scratch_folder() as folder:
        try:
            if address != LOCAL:
                _connect(address, runtime_env=workers, **quiet)
            else:
                ray.init(
                    address=LOCAL,
                    num_cpus=cpus,
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=folder,
                    object_store_memory=256 * 1024**2,
                    runtime_env=workers,
                    **quiet,
                )
            yield
        finally:
            ray.shutdown()


def _connect(address: str, **options: Any) -> None:
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise UserError(f"Ray's client, which reaches {address}, is not installed: pip install 'metasearch[cluster]'.")
    listens = False
    try:
        listens = _knock(address)
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        if listens:
            raise UserError(f'What listens at "{address}" does not let this process in ({one_line(error)}). {_key()}') from error
        raise UserError(
            f'No Ray cluster answers at address "{address}" ({one_line(error)}). '
            "Start one with `ray start --head`, give its address, or run on this machine: --address local."
        ) from error


def _key() -> str:
    """Ray asks for a token by default where one was ever made, but shows its own only to a cluster that it found by itself."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        return "Is it a Ray cluster of this version, and the token of this machine (`ray get-auth-token`) the cluster's?"
    return (
        "If it is a Ray cluster, it may ask for a token: set RAY_AUTH_MODE=token, with the cluster's token in ~/.ray/auth_token "
        "or RAY_AUTH_TOKEN (`ray get-auth-token` prints it on a machine of the cluster)."
    )


def _knock(address: str) -> bool:
    """Whether something listens; False if the address does not say where. Ray would try for minutes.

    Raises ConnectionError or ValueError if nothing listens at a host and port.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()
        except OSError as error:
            raise ConnectionError(error.strerror or str(error)) from error
    return bool(colon)


def describe_cluster() -> dict[str, Any]:
    """Resources and nodes of the connected cluster."""
    nodes = [{"host": n["NodeManagerHostname"], "alive": n["Alive"], "resources": n["Resources"]} for n in ray.nodes()]
    return {"ray": ray.__version__, "resources": ray.cluster_resources(), "nodes": nodes}


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("METASEARCH_")}


def slot_counter(needs: Resources, concurrency: int | None) -> Callable[[], int]:
    """How many trials fit on the cluster now; nodes come and go, so it is asked again every second.

    Raises UserError if it is none and no ``concurrency`` says that nodes will come.
    """
    known, at = 0, 0.0

    def slots() -> int:
        nonlocal known, at
        if time.time() - at > 1.0:
            known, at = concurrency or _room(needs), time.time()
        return known

    if slots() < 1:
        raise UserError(
            f"A trial asks for {needs.cpu:g} CPU and {needs.gpu:g} GPU, but the cluster offers {_offer()}. "
            "Lower `resources`, or connect to a larger cluster with --address."
        )
    return slots


def _room(needs: Resources) -> int:
    """Trials that fit, node by node: one trial never spans two nodes."""
    asked = {"CPU": needs.cpu, "GPU": needs.gpu, "memory": float(needs.memory or 0)}
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in asked.items() if amount > 0) for node in alive)


def _offer() -> str:
    offered = ray.cluster_resources()
    return f"{offered.get('CPU', 0):g} CPU and {offered.get('GPU', 0):g} GPU on {len(ray.nodes())} node(s)"
