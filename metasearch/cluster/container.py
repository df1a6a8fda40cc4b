"""The image that every node of a containerised cluster runs."""

from __future__ import annotations

from metasearch.cluster.config import ClusterFile

# KubeRay's readiness probes call wget; ray up with Docker copies with rsync.
_DOCKERFILE = """\
# Rendered by `metasearch cluster render dockerfile`. Build it in the folder of the sources:
#   docker build -f cluster/Dockerfile -t {image} .
FROM python:3.11-slim
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends wget rsync \\
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/metasearch
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY metasearch ./metasearch
RUN python -m pip install --no-cache-dir -c constraints.txt 'ray[default]' .
RUN useradd --create-home --uid 1000 ray
USER ray
WORKDIR /home/ray
ENV RAY_USAGE_STATS_ENABLED=0
"""


def dockerfile(config: ClusterFile) -> str:
    return _DOCKERFILE.format(image=config.image)
