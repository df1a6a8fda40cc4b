"""``metasearch doctor``: what a sweep needs of this machine, and the remedy for what is missing."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from metasearch.core.errors import UserError


@dataclass
class Check:
    """One thing looked at: what was found, and what to do if it is not right. ``node``: of a cluster, else of this machine."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    node: str = ""


def check_all(store: str, address: str | None) -> list[Check]:
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("threads", _threads),
        ("ports", _ports),
        ("store", lambda: _store(store)),
        ("ray", lambda: _ray(address)),
    ]
    return [_run(name, check) for name, check in checks]


def lines(checks: list[Check]) -> list[str]:
    shown, node = [], ""
    for check in checks:
        if check.node != node:
            node = check.node
            shown.append(node)
        shown.append(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<9} {check.found}")
        if not check.ok and check.remedy:
            shown.append(f"      → {check.remedy}")
    return shown


def _run(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except UserError as error:
        return Check(name, False, error.message)
    except Exception as error:  # noqa: BLE001 — a doctor reports whatever is broken
        return Check(name, False, f"{type(error).__name__}: {error}")


def _python() -> Check:
    found = sys.version.split()[0]
    return Check("python", sys.version_info >= (3, 11), found, "metasearch needs Python 3.11 or newer.")


def _packages() -> Check:
    wanted = ("ray", "torch", "optuna", "pyarrow", "duckdb", "tokenizers", "safetensors", "schedulefree", "prodigyopt")
    missing, found = [], []
    for name in wanted:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    return Check(
        "packages", not missing, ", ".join(found) + "".join(f"; {m} is missing" for m in missing), "pip install metasearch"
    )


def _torch() -> Check:
    import torch

    began = time.perf_counter()
    torch.nn.LSTM(8, 8)(torch.zeros(2, 1, 8))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return Check(
        "torch", True, f"{torch.__version__}, GPUs: {', '.join(gpus) or 'none'}, first step {time.perf_counter() - began:.1f} s"
    )


def _threads() -> Check:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS")
    fine = asked is None or not asked.isdigit() or int(asked) <= cpus
    found = f"{cpus} CPUs usable, OMP_NUM_THREADS {asked or 'unset'}; trials get as many threads as CPUs"
    return Check("threads", fine, found, f"Set OMP_NUM_THREADS to at most {cpus}: more threads than CPUs slow every trial down.")


def _ports() -> Check:
    """Ray needs free ports on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Check("ports", True, f"loopback ports can be opened (tried {free.getsockname()[1]})")


def _store(url: str) -> Check:
    from metasearch.store.files import open_files

    files, name, content = open_files(url), f"doctor-{uuid.uuid4().hex}", os.urandom(64)
    began = time.perf_counter()
    files.write_atomic(name, content)
    same = files.read(name) == content
    files.delete(name)
    milliseconds = 1000 * (time.perf_counter() - began)
    return Check(
        "store", same, f"{url}: written, read and deleted in {milliseconds:.0f} ms", "What was read is not what was written."
    )


def _ray(address: str | None) -> Check:
    from metasearch.backends import tune

    began = time.perf_counter()
    with tune.cluster(address):
        described = tune.describe_cluster()
    resources = described["resources"]
    found = (
        f"{described['ray']}, {len(described['nodes'])} node(s), {resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU"
    )
    return Check(
        "ray", resources.get("CPU", 0) >= 1, f"{found}, started in {time.perf_counter() - began:.0f} s", "The cluster has no CPU."
    )
