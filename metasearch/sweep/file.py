"""The sweep file: its schema, its defaults, and all of its faults at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.task import LANGUAGE_MODEL
from metasearch.corpora import EXAMPLE_KINDS, HIGHER_IS_BETTER, LOSS
from metasearch.sweep.pairing import paired
from metasearch.sweep.quantities import Bytes, Count, Seconds

Plugin = str | dict[str, Any]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSection(Section):
    """What is to be learned."""

    corpus: Annotated[str | dict[str, Any], Field(description="A built-in corpus (cpython/docstrings), a text file, a folder, …")]
    tokenizer: Annotated[Plugin, Field(description="byte, char, word or bpe; options as {name: bpe, vocab_size: 1024}")] = "byte"
    kind: Annotated[
        Literal["language_model", "classify", "translate"] | None,
        Field(description="Text that runs on (also if left out), examples of classes, or of translations."),
    ] = None
    valid: Annotated[
        str | dict[str, str] | None, Field(description="Examples for validation; a tenth of `corpus` if left out.")
    ] = None
    columns: Annotated[
        dict[str, str] | None, Field(description="What the columns text and label, or source and target, are called in the file.")
    ] = None
    metric: Annotated[
        str | None, Field(description="What is searched for: val_loss, accuracy or macro_f1 of classes, bleu of translations.")
    ] = None

    @field_validator("kind")
    @classmethod
    def _usual(cls, kind: str | None) -> str | None:
        """Written out or left out, it is the same sweep."""
        return None if kind == LANGUAGE_MODEL else kind

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        known = (LOSS, *HIGHER_IS_BETTER[self.kind]) if self.kind else ()
        if self.kind and self.metric not in (None, *known):
            raise ValueError(f"the metric of this kind must be one of {', '.join(known)}")
        alone = [name for name in ("valid", "columns", "metric") if getattr(self, name) is not None]
        if alone and self.kind is None:
            raise ValueError(f"expected kind: {' or '.join(EXAMPLE_KINDS)} beside {' and '.join(alone)}")
        return self


def _or_a_name(schema: dict[str, Any]) -> None:
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string", "description": "A searcher, with the scheduler that fits it."}, mapping]


class SearchSection(Section):
    """The algorithms: each a name, or a mapping with ``name`` and its options. A name alone is a searcher with what fits it."""

    model_config = ConfigDict(json_schema_extra=_or_a_name)

    searcher: Annotated[Plugin, Field(description="Chooses what to try next.")] = "tpe"
    scheduler: Annotated[Plugin, Field(description="Decides which trial deserves the next slice of compute.")] = "asha"
    controller: Annotated[
        str | None, Field(description="Changes learning rate, decay and clipping of running trials: meta, or nobody.")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, written: Any) -> Any:
        """So that both ways to write it are the same sweep."""
        return dict(zip(("searcher", "scheduler"), paired(written), strict=True)) if isinstance(written, str) else written


class _Limits(Section):
    trials: Annotated[Count | None, Field(gt=0)] = None
    wall: Annotated[Seconds | None, Field(gt=0, description="Time on the clock while a driver runs.")] = None
    cpu_hours: Annotated[float | None, Field(gt=0)] = None
    gpu_hours: Annotated[float | None, Field(gt=0)] = None

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if not any(limit is not None for limit in self.__dict__.values()):
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        return self


class BudgetSection(_Limits):
    """Limits of the whole sweep; at least one. The first that is reached ends it."""

    tokens: Annotated[Count | None, Field(gt=0, description="Training tokens over all trials.")] = None


class _Trial(Section):
    max_failures: Annotated[int, Field(ge=0, description="Crashes after which a trial is given up.")] = 2
    keep: Annotated[int, Field(ge=1, description="Of how many ended trials the checkpoints stay: the best ones.")] = 10
    silence: Annotated[Seconds, Field(gt=0, description="Time without a report after which a trial counts as hanging.")] = 1800.0


class TrialSection(_Trial):
    """One full trial."""

    tokens: Annotated[Count, Field(gt=0, description="Training tokens of a full trial; schedules end there.")] = 1_000_000
    reports: Annotated[int, Field(gt=0, le=10_000, description="Evaluations, evenly spaced; schedulers decide at these.")] = 10


class ResourcesSection(Section):
    """What one trial gets."""

    cpu: Annotated[float, Field(ge=0)] = 1.0
    gpu: Annotated[float, Field(ge=0, description="May be a fraction: 0.5 puts two trials on one GPU.")] = 0.0
    memory: Annotated[Bytes | None, Field(gt=0)] = None
    gpu_memory: Annotated[
        Literal["auto"] | None, Field(description="auto: as many trials on one GPU as its memory holds, by what was measured.")
    ] = None
    concurrency: Annotated[int | None, Field(gt=0, description="Trials at a time; as many as the cluster holds if left out.")] = (
        None
    )

    @model_validator(mode="after")
    def _something(self) -> ResourcesSection:
        if self.cpu <= 0 and self.gpu <= 0:
            raise ValueError("a trial needs some cpu or some gpu")
        if self.gpu_memory is not None and self.gpu != 1:
            raise ValueError(f"gpu_memory: auto divides whole GPUs and needs gpu: 1, found gpu: {self.gpu:g}")
        return self


class Question(Section):
    """What every sweep says, whatever is trained."""

    name: Annotated[str, Field(description="Names the sweep in the store.")]
    search: SearchSection = SearchSection()
    resources: ResourcesSection = ResourcesSection()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("expected letters, digits, '.', '_' and '-', starting with a letter or digit, at most 100")
        return name

    def __init__(self, **fields: Any) -> None:
        """Raises UserError with every fault."""
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise UserError(
                "This sweep does not hold together:", [fault_of(entry, type(self)) for entry in error.errors()]
            ) from error


class SweepFile(Question):
    """The question a sweep of language models asks, as a user writes it."""

    task: TaskSection
    space: Annotated[dict[str, Any], Field(description="What may be tried; see the sweep-file reference.")] = Field(
        default_factory=dict
    )
    unlisted: Annotated[
        Literal["search", "default"], Field(description="What happens to strategies and parameters that `space` does not name.")
    ] = "search"
    budget: BudgetSection
    trial: TrialSection = TrialSection()


class OwnTaskSection(Section):
    """What one's own training learns, and how it is scored."""

    name: Annotated[str, Field(min_length=1, description="Trials of tasks of one name, metric and unit are compared.")]
    metric: Annotated[str, Field(min_length=1, description="What the reported loss is called.")] = "loss"
    mode: Annotated[Literal["min", "max"], Field(description="Whether lower or higher is better.")] = "min"
    unit: Annotated[str, Field(min_length=1, description="What a step counts.")] = "steps"
    descriptor: Annotated[
        dict[str, float] | None, Field(description="Numbers that describe the task, for searches that learn from other tasks.")
    ] = None


class OwnBudgetSection(_Limits):
    """Limits of the whole sweep; at least one. The first that is reached ends it."""

    steps: Annotated[Count | None, Field(gt=0, description="Steps over all trials.")] = None


class OwnTrialSection(_Trial):
    """One full trial."""

    steps: Annotated[Count, Field(gt=0, description="The step at which a full trial is complete.")]


class OwnSweep(Question):
    """The question of a sweep over one's own training. ``train``: ``FILE.py:NAME`` or ``MODULE:NAME``, unless it is given in Python
    or the trials are run by whoever asks for them.
    """

    train: Annotated[str | None, Field(description="The training function or class: FILE.py:NAME or MODULE:NAME.")] = None
    task: OwnTaskSection
    space: Annotated[dict[str, Any], Field(description="What may be tried: every parameter.")]
    budget: OwnBudgetSection
    trial: OwnTrialSection


AnySweep = SweepFile | OwnSweep


def is_own(content: Mapping[str, Any]) -> bool:
    """Is this the file of a sweep over one's own training? A corpus is learned by a language model of ours."""
    task = content.get("task")
    return "train" in content or (isinstance(task, Mapping) and "corpus" not in task and "name" in task)


def schema() -> dict[str, Any]:
    """The JSON Schema of both kinds of sweep file."""
    return TypeAdapter(AnySweep).json_schema()


def read(path: str | Path, overrides: Sequence[str] = ()) -> AnySweep:
    """A sweep file with ``a.b=c`` overrides. Raises UserError with every fault of the file's form."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no sweep file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The sweep file {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"The sweep file {path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"The sweep file {path} must hold a mapping with name, task, space and budget, found {type(content).__name__}."
        )
    for override in overrides:
        apply_override(content, override)
    content.setdefault("name", path.stem)
    try:
        kind = OwnSweep if is_own(content) else SweepFile
        return kind(**{str(key): value for key, value in content.items()})
    except UserError as error:
        raise UserError(f"The sweep file {path} does not hold together:", error.faults) from error


def apply_override(content: dict[str, Any], override: str) -> None:
    """Sets the key that ``a.b=c`` names. Raises UserError if it is written otherwise."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise UserError(f'An override is written a.b=c, found "{override}".')
    *parents, last = dotted.split(".")
    for parent in parents:
        if not isinstance(content.setdefault(parent, {}), dict):
            raise UserError(f'"{override}" goes into "{parent}", which is a value and not a section.')
        content = content[parent]
    try:
        content[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f'The value of "{override}" is not YAML: {error}') from error


def fault_of(entry: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One error of pydantic's about a ``model`` in the user's terms."""
    where = ".".join(str(part) for part in entry["loc"] if part not in ("str", "dict[str,any]"))
    if entry["type"] == "extra_forbidden":
        return f"{where}: there is no such key.{did_you_mean(str(entry['loc'][-1]), _keys_beside(entry['loc'], model))}"
    if entry["type"] == "missing":
        return f"{where}: is missing"
    message = entry["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" + ("" if entry["type"] == "value_error" and not where else f", found {entry['input']!r}")


def _keys_beside(location: Sequence[str | int], root: type[BaseModel]) -> Iterator[str]:
    model: Any = root
    for part in location[:-1]:
        model = model.model_fields[str(part)].annotation
    yield from model.model_fields
