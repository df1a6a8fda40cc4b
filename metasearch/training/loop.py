"""One trial of any objective, resumable to the last bit.

A trial is a function of its config, corpus, budget and seed. What has happened so far is ``Standing`` (plain values) and tensors;
the position in the texts follows from the tokens trained on, and every random number from the seed and those tokens. On a CPU a
trial that is stopped and continued gives the same losses to the last bit, if the number of threads is the same.

Shapes: N steps, S = 3 sums over steps (loss, gradient norm, clipped).
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from metasearch.core.config import Value
from metasearch.core.control import Control, Schedule
from metasearch.core.errors import UserError
from metasearch.core.event import Directive
from metasearch.core.protocols import Halted
from metasearch.core.rng import derive_seed
from metasearch.corpora import ExampleCorpus
from metasearch.models._language_model import LanguageModel
from metasearch.models._text_model import TextModel
from metasearch.training import checkpoint
from metasearch.training._strategy import load_strategy
from metasearch.training.checkpoint import Packed
from metasearch.training.clipping._shared import HISTORY, Clipping, global_norm, gradients
from metasearch.training.corpus import TokenizedCorpus
from metasearch.training.evaluation import exploded, parameter_count
from metasearch.training.objectives import objective_of, space_of
from metasearch.training.objectives._shared import Score
from metasearch.training.report import Report, Trace, TrialBudget

STEPS_BETWEEN_CHECKS = 64
"""How often training looks whether the loss is still finite: often enough to save time, seldom enough not to cost any on a GPU."""


NO_STEPS = Trace(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Standing:
    """How far a trial has come. ``tokens``: trained on so far. ``val_losses``: one per report. ``seconds``: all legs.

    ``steps`` and ``sums_S``: of the trace since the last report; not 0 only where training was halted between two.
    """

    tokens: int = 0
    val_losses: tuple[float, ...] = ()
    trace: Trace = NO_STEPS
    seconds: float = 0.0
    diverged: bool = False
    steps: int = 0
    sums_S: tuple[float, ...] = (0.0, 0.0, 0.0)

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Standing:
        return Standing(**{**facts, "val_losses": tuple(facts["val_losses"]), "trace": Trace(**facts["trace"])})


class Trainer:
    """Trains one config from report to report: ``while not trainer.done: report = trainer.advance()``.

    Raises UserError if the config is incomplete or names an unknown plug-in, or if the corpus is too small. Divergence is no error:
    the report says so and the trial is done.
    """

    def __init__(
        self,
        config: Mapping[str, Value],
        corpus: TokenizedCorpus | ExampleCorpus,
        budget: TrialBudget,
        seed: int,
        device: torch.device,
        *,
        keep_lowest: bool = False,
    ) -> None:
        self._space = space_of(corpus.kind if isinstance(corpus, ExampleCorpus) else "")
        plugins = load_strategy(config, self._space)
        self.config, self.corpus, self.budget, self.seed, self.device = dict(config), corpus, budget, seed, device
        self.standing, self.control = Standing(), Control()
        self._objective = objective_of(corpus, config, seed, budget.valid_tokens, device)
        self.model: TextModel = self._fresh_model()
        self._parameters = list(self.model.parameters())
        self._optimizer: Optimizer = plugins["optimizer"].build(config, self.model)
        self._built = checkpoint.built_groups(self._optimizer)
        self._schedule: Schedule = plugins["schedule"].build(config)
        self._clip: Clipping = plugins["clipping"].build(config, self.model)
        self._state = self._objective.initial_state(self.model)
        self._norms_N = torch.zeros(0, device=device)
        self._lowest = Packed("lowest", {}, {}) if keep_lowest else None
        self._halted = False
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def done(self) -> bool:
        return self.standing.diverged or self._spent

    @property
    def may_go_back(self) -> bool:
        """Could a directive still send it back to its lowest loss, diverged or not?"""
        return self._lowest is not None and not self._spent

    @property
    def _spent(self) -> bool:
        return len(self.standing.val_losses) == self.budget.reports

    def advance(self) -> Report:
        """Trains a whole number of batches up to the next report point, then evaluates. Not to be called when done.

        Raises Halted after ``halt``, between two steps.
        """
        assert not self.done, "advance() was called on a trial that is done"
        began = time.perf_counter()
        step = self.budget.step(len(self.standing.val_losses) + 1)
        with self._randomness():
            cut_off = not self._train(step)
        if cut_off:
            self.standing = replace(self.standing, seconds=self.standing.seconds + time.perf_counter() - began)
            raise Halted
        score = self._objective.evaluate(self.model)
        loss = score.loss
        self.standing = replace(
            self.standing,
            val_losses=(*self.standing.val_losses, loss),
            seconds=self.standing.seconds + time.perf_counter() - began,
            diverged=exploded(loss, self._objective.guess) or not math.isfinite(self.standing.trace.train_loss),
        )
        finite = [known for known in self.standing.val_losses if math.isfinite(known)]
        if self._lowest is not None and not self.standing.diverged and loss == min(finite):
            self._lowest = self._learned()
        return self._report(step, score)

    def halt(self) -> None:
        """Ends a running ``advance`` after its current step, and every later one at once."""
        self._halted = True

    def obey(self, directive: Directive) -> None:
        """Changes learning rate, clipping threshold or weight decay from the very next step on.

        A ``roll_back`` needs a trainer that keeps what it had at its lowest loss; others leave their weights alone. If no loss was
        finite, that is the start. A trial that diverged and is sent back is no longer done.
        """
        progress = min(1.0, self.standing.tokens / self.budget.tokens)
        self.control = self.control.obey(directive, self._schedule, progress, self.standing.val_losses)
        back = directive.roll_back and self._lowest is not None
        if back and self._lowest is not None and self._lowest.tensors:
            self._relearn(self._lowest)
        elif back or directive.restart:
            self._restart()

    def checkpoint(self) -> bytes:
        """Everything from which ``restore`` continues, in a Trainer made with the same arguments."""
        facts = {
            "trial": self._identity(),
            "standing": asdict(self.standing),
            "control": asdict(self.control),
            "optimizer": checkpoint.optimizer_facts(self._optimizer, self._built),
            "lowest": {} if self._lowest is None else self._lowest.facts,
        }
        tensors = {
            **_named("model", dict(self.model.named_parameters())),
            **_named("optimizer", checkpoint.optimizer_tensors(self._optimizer)),
            **_named("lowest", {} if self._lowest is None else self._lowest.tensors),
            **_named("state", {str(i): tensor for i, tensor in enumerate(self._state)}),
            "norms": self._norms_N,
        }
        return checkpoint.pack(Packed("trial", facts, tensors))

    def restore(self, data: bytes) -> None:
        """Continues where ``checkpoint`` was taken. Raises UserError if the bytes are damaged or of a trial set up differently."""
        packed = checkpoint.unpack(data, "trial")
        recorded, own = packed.facts["trial"], self._identity()
        faults = [f"{name}: {recorded[name]!r} there, {own[name]!r} here" for name in own if recorded[name] != own[name]]
        if faults:
            raise UserError("This checkpoint is of another trial:", faults)
        self._take_over(packed, Standing.from_facts(packed.facts["standing"]))
        self.control = Control(**packed.facts["control"])
        if self._lowest is not None:
            self._lowest = Packed("lowest", packed.facts.get("lowest", {}), packed.under("lowest"))

    def adopt(self, data: bytes) -> None:
        """Starts from the checkpoint of a parent: its weights, its place in the text, its curve; but with this trial's own config.

        The optimizer's moments come along where the optimizer is the same, the carried state where the batch size is. Directives
        given to the parent and the time it took do not. Raises UserError if the weights do not fit this trial's model.
        """
        packed = checkpoint.unpack(data, "trial")
        self._take_over(packed, replace(Standing.from_facts(packed.facts["standing"]), seconds=self.standing.seconds))
        if self._lowest is not None:
            self._lowest = self._learned()

    def weights(self) -> bytes:
        """The model alone: its weights, and in the metadata the config and vocabulary size it is built from."""
        facts = {"config": self.config, "vocab_size": self.corpus.vocab_size}
        return checkpoint.pack(Packed("weights", facts, _named("model", dict(self.model.named_parameters()))))

    def _learned(self) -> Packed:
        """Weights and moments as they are now, copied."""
        tensors = {**_named("model", dict(self.model.named_parameters()))}
        tensors |= _named("optimizer", checkpoint.optimizer_tensors(self._optimizer))
        facts = {"optimizer": checkpoint.optimizer_facts(self._optimizer, self._built), "trace": asdict(self.standing.trace)}
        return Packed("lowest", facts, {name: tensor.detach().clone() for name, tensor in tensors.items()})

    def _fresh_model(self) -> TextModel:
        """The model as it is before the first step: of the seed alone."""
        plugins = load_strategy(self.config, self._space)

        def build() -> LanguageModel:
            model: LanguageModel = plugins["model"].build(self.config, self.corpus.vocab_size)
            plugins["init"].build(self.config)(model, self.corpus)
            return model

        with self._randomness():
            self._reseed("init", 0)
            return self._objective.model(build).to(self.device)

    def _restart(self) -> None:
        weights = _named("model", dict(self._fresh_model().named_parameters()))
        trace = replace(NO_STEPS, train_loss=self._objective.guess)
        facts = {"optimizer": {"state": {}, "groups": [{} for _ in self._built]}, "trace": asdict(trace)}
        self._relearn(Packed("start", facts, weights))

    def _relearn(self, learned: Packed) -> None:
        """Weights and moments become what they were; what else may no longer be finite begins anew."""
        self._put_weights(learned.under("model"))
        moments = {name: tensor.clone() for name, tensor in learned.under("optimizer").items()}
        checkpoint.restore_optimizer(self._optimizer, self._built, learned.facts["optimizer"], moments)
        self._state = self._objective.initial_state(self.model)
        self._norms_N = self._norms_N[torch.isfinite(self._norms_N)]
        self.standing = replace(self.standing, diverged=False, trace=Trace(**learned.facts["trace"]))

    def _put_weights(self, weights: Mapping[str, Tensor]) -> None:
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, weight in weights.items():
                own[name].copy_(weight)

    def _train(self, until: int) -> bool:
        """Steps until at least ``until`` tokens have been trained on or the loss is no longer finite; False if halted before.

        Leaves the trace of the last report in place if a batch reached past this one.
        """
        self.model.train()
        _switch(self._optimizer, "train")
        sums_S = torch.tensor(self.standing.sums_S, dtype=torch.float64, device=self.device)
        steps, lr = self.standing.steps, self.standing.trace.lr
        while self.standing.tokens < until and not self._halted:
            lr = self._set_rates()
            sums_S += self._step()
            steps += 1
            self.standing = replace(self.standing, tokens=self.standing.tokens + self._objective.tokens_per_step)
            if steps % STEPS_BETWEEN_CHECKS == 0 and not math.isfinite(sums_S[0].item()):
                break
        if self._halted:  # switching back and forth would round the weights
            trace = replace(self.standing.trace, lr=lr)
            self.standing = replace(self.standing, trace=trace, steps=steps, sums_S=tuple(sums_S.tolist()))
            return False
        _switch(self._optimizer, "eval")
        if steps:
            train_loss, grad_norm, clip_fraction = (sums_S / steps).tolist()
            trace = Trace(train_loss, grad_norm, clip_fraction, lr)
            self.standing = replace(self.standing, trace=trace, steps=0, sums_S=Standing.sums_S)
        return True

    def _step(self) -> Tensor:
        """One update. Loss (nats per token), gradient norm before clipping, 1 or 0 for clipped: (S,), still on the device."""
        self._reseed("step", self.standing.tokens)
        loss, self._state = self._objective.loss(self.model, self.standing.tokens, self._state)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = global_norm(gradients(self._parameters))
        self._norms_N = torch.cat((self._norms_N, norm[None]))[-HISTORY:]
        clipped = self._clip(self._norms_N, self.control.clip_scale)
        self._optimizer.step()
        return torch.stack((loss.detach(), norm, clipped))

    def _set_rates(self) -> float:
        """Sets learning rate and weight decay for the next step; the learning rate.

        The schedule is read in the middle of the step, so that neither the first nor the last is lost to a factor of 0.
        """
        middle = self.standing.tokens + self._objective.tokens_per_step / 2
        progress = min(1.0, middle / self.budget.tokens)
        factor = self.control.lr_factor(self._schedule, progress, self.standing.val_losses)
        for group, built in zip(self._optimizer.param_groups, self._built, strict=True):
            group["lr"] = built["lr"] * factor
            group["weight_decay"] = built["weight_decay"] * self.control.weight_decay_scale
        return float(self._built[0]["lr"] * factor)

    def _report(self, step: int, score: Score) -> Report:
        standing = self.standing
        return Report(
            step=step,
            tokens=standing.tokens,
            val_loss=standing.val_losses[-1],
            scores=score.others,
            **asdict(standing.trace),
            seconds=standing.seconds,
            peak_memory=_peak_memory(self.device),
            parameters=parameter_count(self.model),
            diverged=standing.diverged,
        )

    def _identity(self) -> dict[str, Any]:
        corpus = {"corpus": self.corpus.name, "vocab_size": self.corpus.vocab_size}
        return {"config": self.config, "seed": self.seed, "budget": asdict(self.budget), **corpus}

    def _take_over(self, packed: Packed, standing: Standing) -> None:
        own, weights = dict(self.model.named_parameters()), packed.under("model")
        if {n: p.shape for n, p in own.items()} != {n: w.shape for n, w in weights.items()}:
            config = packed.facts["trial"]["config"]
            raise UserError(f"These weights do not fit a {self.config['model']} of this config; they are of {config}.")
        self._put_weights(weights)
        if packed.facts["trial"]["config"]["optimizer"] == self.config["optimizer"]:
            moments = packed.under("optimizer")
            checkpoint.restore_optimizer(self._optimizer, self._built, packed.facts["optimizer"], moments)
        carried = packed.under("state")
        state = tuple(carried[str(i)].to(self.device) for i in range(len(carried)))
        if [tensor.shape for tensor in state] == [tensor.shape for tensor in self._state]:
            self._state = state
        self._norms_N = packed.tensors["norms"].to(self.device)
        self.standing = standing

    @contextmanager
    def _randomness(self) -> Iterator[None]:
        """Inside, torch's generators are this trial's; outside, they are as they were."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            yield

    def _reseed(self, purpose: str, tokens: int) -> None:
        # Not torch.manual_seed, which walks through every kind of device and takes longer than a small step.
        seed = derive_seed(self.seed, purpose, tokens)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _switch(optimizer: Optimizer, mode: str) -> None:
    """Tells an optimizer that trains at another point than it is evaluated at where it should be; others do not listen."""
    listener = getattr(optimizer, mode, None)
    if listener is not None:
        listener()


def _peak_memory(device: torch.device) -> int:
    """Bytes. ``ru_maxrss`` is in kilobytes, but on macOS in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
