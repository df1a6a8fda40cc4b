"""How much of a GPU a trial needs, from what trials before it needed.

Peak memory is a sum of products of sizes: weights, gradients and moments grow with the square of the width, activations with batch
size, context and depth, attention with the square of the context. A trial whose sizes are r times those of a measured one needs at
most the product of r to the powers in ``GROWTH`` times as much. Of all such bounds the least is taken, and a margin on top.

Whatever is known comes from reports: ``peak_memory`` and ``gpu_memory``, bytes of the trial and of its whole GPU.
"""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.core.config import Config, Value
from metasearch.core.event import Fact, Failed, Reported
from metasearch.core.history import OUT_OF_MEMORY, Trial

SHARES = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
"""Few, because a worker process serves only trials of equal resources."""

WHOLE = 1.0

MARGIN = 1.25
"""For what the allocator cannot use. One more factor for every trial that ran out of memory: the estimates were too low."""

CONTEXT_BYTES = 640 * 2**20
"""What CUDA itself takes for each process, which no allocator counts."""

GROWTH = {"width": 2, "context": 2}
"""Largest power of each size in the sum; 1 for every other number."""

UNLIKE = 2.0
"""Bound on what each of ``KINDS`` makes of the same sizes: an optimizer keeps between 3 and 6 copies of the weights."""

KINDS = ("optimizer", "tied", "feed_forward")


class Peaks:
    """What was measured: the highest peak of each config (bytes), the smallest GPU, and which trials ran out of memory."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Config, float]] = {}
        self.gpu_bytes = 0.0
        self.overruns: set[int] = set()

    def update(self, config: Config, fact: Fact) -> None:
        """Takes in a fact of a trial of ``config``."""
        if isinstance(fact, Reported):
            peak, whole = fact.metrics.get("peak_memory", 0.0), fact.metrics.get("gpu_memory", 0.0)
            if peak > 0 and whole > 0:
                before = self.known.get(config.id, (config, 0.0))[1]
                self.known[config.id] = (config, max(before, peak))
                self.gpu_bytes = min(self.gpu_bytes or whole, whole)
        elif isinstance(fact, Failed) and fact.error.startswith(OUT_OF_MEMORY):
            self.overruns.add(fact.trial)

    def share(self, trial: Trial) -> float:
        """The least of ``SHARES`` in which ``trial`` fits for all that is known; or the whole GPU, as for a trial that ran out of
        memory before, or of whose model nothing was measured.
        """
        if trial.number in self.overruns:
            return WHOLE
        growths = [(peak, _growth(config, trial.config)) for config, peak in self.known.values()]
        bounds = [peak * growth for peak, growth in growths if growth is not None]
        if not bounds:
            return WHOLE
        needed = min(bounds) * MARGIN ** (1 + len(self.overruns)) + CONTEXT_BYTES
        return next((share for share in SHARES if needed <= share * self.gpu_bytes), WHOLE)


def _growth(measured: Mapping[str, Value], asked: Mapping[str, Value]) -> float | None:
    """How many times as much memory ``asked`` needs at most; None for another model."""
    if measured.get("model") != asked.get("model"):
        return None
    bound = 1.0
    for name in measured.keys() | asked.keys():
        before, now = measured.get(name), asked.get(name)
        if name in KINDS and before != now:
            bound *= UNLIKE
        elif _is_size(before) and _is_size(now):
            bound *= max(1.0, float(now) / float(before)) ** GROWTH.get(name, 1)  # type: ignore[arg-type]
    return bound


def _is_size(value: Value | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
