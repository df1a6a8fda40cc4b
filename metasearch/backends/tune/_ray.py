"""Ray, imported without its warnings about what other programs might do with it."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray
    from ray import tune
    from ray.tune.experiment import Trial as TuneTrial
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.search import Searcher as TuneSearcher

__all__ = ["TrialScheduler", "TuneSearcher", "TuneTrial", "ray", "tune"]
