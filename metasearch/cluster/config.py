"""The cluster file: where a cluster runs, how many workers it has, and which sweep it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator

from metasearch.core.errors import UserError
from metasearch.sweep.file import Section, apply_override, fault_of
from metasearch.sweep.quantities import Bytes, Seconds

# What may stand in a shell word, a host name and a YAML value without any quoting.
_WORD = r"[A-Za-z0-9][A-Za-z0-9._:/@=-]*"
Word = Annotated[str, Field(pattern=f"^{_WORD}$")]
OptionalWord = Annotated[str, Field(pattern=f"^({_WORD})?$")]
Name = Annotated[str, Field(pattern="^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]


def _one_line(line: str) -> str:
    if "\n" in line:
        raise ValueError("expected one line of shell")
    return line


Line = Annotated[str, AfterValidator(_one_line)]


class HeadSection(Section):
    """The node that runs Ray's own services and the driver, and no trials."""

    cpus: Annotated[int, Field(gt=0)] = 4
    memory: Annotated[Bytes, Field(ge=2**30)] = 16 * 2**30


class WorkerSection(Section):
    """The nodes that run trials, all alike."""

    count: Annotated[int, Field(gt=0, description="How many there are.")] = 2
    cpus: Annotated[int, Field(gt=0)] = 8
    gpus: Annotated[int, Field(ge=0, description="Of each worker.")] = 1
    memory: Annotated[Bytes, Field(ge=2**30)] = 64 * 2**30
    spot: Annotated[bool, Field(description="Cheaper machines that may be taken away (AWS, GCP, Kubernetes).")] = False


class AwsSection(Section):
    region: Word = "us-east-1"
    head_type: Word = "m5.xlarge"
    worker_type: Word = "g5.2xlarge"
    image: Annotated[OptionalWord, Field(description="AMI of the nodes; Ray's choice for the region if empty.")] = ""


class GcpSection(Section):
    project: Word = "my-project"
    zone: Annotated[str, Field(pattern="^[a-z]+-[a-z]+[0-9]-[a-z]$")] = "us-central1-a"
    head_type: Word = "n1-standard-4"
    worker_type: Word = "n1-standard-8"
    accelerator: Word = "nvidia-tesla-t4"
    image: Word = "projects/deeplearning-platform-release/global/images/family/common-cu123-debian-11"


class OnPremiseSection(Section):
    user: Word = "ubuntu"
    head: Word = "10.0.0.10"
    workers: Annotated[list[Word], Field(min_length=1)] = ["10.0.0.11", "10.0.0.12"]
    setup: Annotated[Line, Field(description="Shell line that makes metasearch available on a host (ssh).")] = (
        ". .venv/bin/activate"
    )


class KubernetesSection(Section):
    namespace: Name = "default"
    claim: Annotated[OptionalWord, Field(description="Volume claim mounted at a store that is a path.")] = "metasearch-store"
    secret: Annotated[OptionalWord, Field(description="Secret whose keys become environment variables, for a bucket.")] = ""


class SlurmSection(Section):
    partition: OptionalWord = ""
    account: OptionalWord = ""
    time: Annotated[Seconds, Field(ge=60, description="Of the whole job; a resubmitted one goes on.")] = 24 * 3600
    setup: Annotated[Line, Field(description="Shell line that makes metasearch available on a node.")] = ". .venv/bin/activate"


class ClusterFile(Section):
    """One cluster for one sweep. Only the section of the rendered target is read besides the first ones."""

    name: Name = "metasearch"
    sweep: Annotated[Word, Field(description="Sweep file, relative to the folder the cluster is started from.")] = "sweep.yaml"
    store: Annotated[str, Field(description="Folder that every node sees under the same path, or s3://bucket/prefix.")]
    image: Annotated[Word, Field(description="Container image, as built from the rendered Dockerfile.")] = "metasearch:latest"
    install: Annotated[Line, Field(description="Shell line that installs metasearch on a fresh machine.")] = (
        "python3 -m pip install metasearch"
    )
    port: Annotated[int, Field(ge=1024, le=65535)] = 6379
    grace: Annotated[Seconds, Field(gt=0, description="Notice before a node or job is ended.")] = 120
    head: HeadSection = HeadSection()
    workers: WorkerSection = WorkerSection()
    aws: AwsSection = AwsSection()
    gcp: GcpSection = GcpSection()
    on_premise: OnPremiseSection = OnPremiseSection()
    kubernetes: KubernetesSection = KubernetesSection()
    slurm: SlurmSection = SlurmSection()

    @field_validator("store")
    @classmethod
    def _seen_by_all(cls, store: str) -> str:
        if not re.fullmatch(rf"(/|(s3|gs)://){_WORD}", store):
            raise ValueError("expected an absolute path that every node sees, or a URL such as s3://bucket/prefix")
        return store

    @property
    def on_shared_folder(self) -> bool:
        return self.store.startswith("/")


def read(path: Path | None, overrides: Sequence[str] = ()) -> ClusterFile:
    """The cluster file at ``path``, or the defaults, with ``a.b=c`` overrides. Raises UserError with every fault."""
    content: Any = {}
    where = "The cluster config" if path is None else f"The cluster file {path}"
    if path is not None:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{where} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{where} must hold a mapping with at least store, found {type(content).__name__}.")
    for override in overrides:
        apply_override(content, override)
    try:
        return ClusterFile(**{str(key): value for key, value in content.items()})
    except ValidationError as error:
        raise UserError(f"{where} does not hold together:", [fault_of(entry, ClusterFile) for entry in error.errors()]) from error
