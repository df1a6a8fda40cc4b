"""Ray, imported without its warnings about what other programs might do with it, and without its reports of usage."""

import os
import warnings

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster opens no connection to the network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray
    from ray import tune
    from ray.tune.experiment import Trial as TuneTrial
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.search import Searcher as TuneSearcher
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["NodeAffinitySchedulingStrategy", "TrialScheduler", "TuneSearcher", "TuneTrial", "ray", "tune"]
