"""What a sweep ran under: enough to explain a difference between two machines, and nothing secret."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("metasearch", "ray", "torch", "optuna", "pyarrow", "duckdb", "numpy", "tokenizers", "schedulefree", "prodigyopt")


def describe() -> dict[str, Any]:
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cpus": os.cpu_count(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "git": _git_state(),
        "network": _own_network(),
    }


def own_version() -> str:
    """The version of metasearch itself; empty if it is not installed."""
    return _version("metasearch") or ""


def _own_network() -> str | None:
    """The hash of the meta-network's file, if it is not that of the package: the initial weights of trials follow from it."""
    path = Path(os.environ.get("METASEARCH_NETWORK", ""))
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Commit of the working directory, and whether it has uncommitted changes; None outside of git."""
    commit = _git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
