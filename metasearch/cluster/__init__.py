"""What starts a Ray cluster somewhere, written from one small config."""

from metasearch.cluster.config import ClusterFile, read
from metasearch.cluster.render import TARGETS, render

__all__ = ["TARGETS", "ClusterFile", "read", "render"]
