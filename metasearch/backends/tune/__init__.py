"""Ray Tune as a pair of hands, and the only room that knows Ray.

Two faces share one engine: the searcher face hands out what the engine wants to start, the scheduler face tells it what was
reported and passes its verdict on. Ray's own state is never the truth: it is thrown away, and everything resumes from the log.

Facts about Ray Tune 2.60 that shape this room:

- a searcher never sees the report that led to a stop, so all news goes through the scheduler face;
- ``suggest`` is called one trial ahead unless it answers None, so it does while every slot is busy;
- an exception in a face is booked on some trial, so faces catch everything, end the run, and it is raised again outside;
- a fresh actor that imports torch costs seconds, a reused one milliseconds, so every leg is a Tune trial on a reused actor;
- Tune's bookkeeping grows with the number of trials, so after some of them a new ``Tuner`` takes over on the same cluster;
- a class trainable is checkpointed at its end unless that is switched off.
"""

from metasearch.backends.tune.cluster import cluster, describe_cluster
from metasearch.backends.tune.driver import Observer, run
from metasearch.backends.tune.head import run_on_head
from metasearch.backends.tune.nodes import NodeFound, look_at_nodes, versions
from metasearch.backends.tune.plain import MetaScheduler, MetaSearcher

__all__ = [
    "MetaScheduler",
    "MetaSearcher",
    "NodeFound",
    "Observer",
    "cluster",
    "describe_cluster",
    "look_at_nodes",
    "run",
    "run_on_head",
    "versions",
]
