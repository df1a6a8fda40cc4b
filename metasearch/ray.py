"""For users of plain Ray Tune: ``MetaSearcher`` and ``MetaScheduler`` for their own ``tune.Tuner``."""

from metasearch.backends.tune.plain import MetaScheduler, MetaSearcher

__all__ = ["MetaScheduler", "MetaSearcher"]
