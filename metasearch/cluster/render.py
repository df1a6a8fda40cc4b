"""Targets by name, and writing what they consist of."""

from __future__ import annotations

from collections.abc import Callable

from metasearch.cluster import container, kuberay, ray_up, slurm, ssh
from metasearch.cluster.config import ClusterFile
from metasearch.core.errors import UserError, did_you_mean

TARGETS: dict[str, tuple[str, Callable[[ClusterFile], str]]] = {
    "aws": ("aws.yaml", ray_up.aws),
    "gcp": ("gcp.yaml", ray_up.gcp),
    "on-premise": ("on-premise.yaml", ray_up.on_premise),
    "rayjob": ("rayjob.yaml", kuberay.job),
    "raycluster": ("raycluster.yaml", kuberay.cluster),
    "slurm": ("slurm.sh", slurm.script),
    "ssh": ("ssh.sh", ssh.script),
    "dockerfile": ("Dockerfile", container.dockerfile),
}
"""What can be rendered: the name of its file, and the function that gives its text."""


def render(target: str, config: ClusterFile) -> str:
    """The whole text of a target. Raises UserError if there is no such target."""
    if target not in TARGETS:
        raise UserError(f'There is no cluster target "{target}".{did_you_mean(target, TARGETS)}')
    return TARGETS[target][1](config)
