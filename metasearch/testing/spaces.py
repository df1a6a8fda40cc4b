"""Spaces that are hard in different ways, by name: every searcher must cope with each of them."""

from __future__ import annotations

from metasearch.core.config import Config
from metasearch.core.domains import Normal
from metasearch.core.space import Boolean, Choice, Fixed, Float, Int, Space

PLAIN = Space.of(lr=Float(1e-5, 1e-1, log=True), dropout=Float(0.0, 0.5), width=Int(16, 512, log=True))

CONDITIONAL = (
    Space.of(model=Choice(("lstm", "gru")), optimizer=Choice(("adamw", "sgd")), clipping=Choice(("none", "norm")))
    | Space.of(lr=Float(1e-5, 1e-2, log=True), beta2=Float(0.9, 0.9999, complement=True)).when(optimizer="adamw")
    | Space.of(lr=Float(1e-2, 10.0, log=True), nesterov=Boolean()).when(optimizer="sgd")
    | Space.of(momentum=Float(0.5, 0.99, complement=True)).when(nesterov=True)
    | Space.of(clip_norm=Float(0.1, 10.0, log=True)).when(clipping="norm")
)
"""Branches within branches; ``lr`` stands twice, with ranges that do not meet."""

_STEPPED = Space.of(
    depth=Int(1, 8, step=3),
    dropout=Float(0.0, 0.5, step=0.1),
    lr=Float(1e-4, 1e-1, log=True, prior=Normal(-3.0, 0.5)),
    heads=Choice((1, 2, 4), prior=(1.0, 2.0, 1.0)),
    vocabulary=Fixed(256),
)

_RECORDED = Space.of(lr=Float(1e-4, 1e-1, log=True), optimizer=Choice(("adamw", "sgd")), weight_decay=Float(0.0, 0.1))
_ADAMW = (Config({"lr": 10.0**-k, "optimizer": "adamw", "weight_decay": 0.02 * k}) for k in range(1, 5))
_SGD = (Config({"lr": 10.0**-k, "optimizer": "sgd"}) for k in range(1, 5))
"""Recorded configs may lack a parameter that is open."""

SPACES = {
    "plain": PLAIN,
    "conditional": CONDITIONAL,
    "stepped": _STEPPED,
    "finite": Space(_RECORDED.parameters, (*_ADAMW, *_SGD)),
    "single": Space.of(model=Choice(("lstm",)), lr=Float(1e-3, 1e-3, log=True), depth=Int(2, 2)),
    "fixed": Space.of(model=Fixed("lstm"), lr=Fixed(1e-3)),
}
