"""What is rendered holds against the schemas of those who read it, and is what lies in cluster/."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from metasearch.cli.main import app
from metasearch.cluster import TARGETS, ClusterFile, read, render
from metasearch.core.errors import UserError
from tests.cluster.schemas import unknown_keys

ROOT = Path(__file__).parents[2]
CRDS = os.environ.get("METASEARCH_CRDS")
VARIANTS = {
    "plain": ClusterFile(store="s3://bucket/sweeps"),
    "folder": ClusterFile(store="/shared/store", name="other", workers={"gpus": 0, "count": 1}),
    "spot": ClusterFile(
        store="gs://bucket", workers={"spot": True, "gpus": 8}, kubernetes={"secret": "keys"}, aws={"image": "ami-1"}
    ),
}


def manifest(target: str, variant: str) -> Any:
    return yaml.safe_load(render(target, VARIANTS[variant]))


@pytest.mark.parametrize("target", TARGETS)
def test_the_examples_are_what_the_example_config_renders(target: str) -> None:
    config = read(ROOT / "cluster" / "cluster.yaml")
    assert (ROOT / "cluster" / TARGETS[target][0]).read_text() == render(target, config)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", ["aws", "gcp", "on-premise"])
def test_ray_up_configs_hold_against_rays_own_schema(target: str, variant: str) -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    config = manifest(target, variant)
    jsonschema.validate(config, schema)
    types = config.get("available_node_types")
    assert types is None or config["head_node_type"] in types


@pytest.mark.skipif(CRDS is None, reason="METASEARCH_CRDS names the folder of KubeRay's CRDs")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", ["rayjob", "raycluster"])
def test_manifests_hold_against_the_schemas_of_kuberay(target: str, variant: str) -> None:
    assert CRDS is not None
    definition = yaml.load((Path(CRDS) / f"ray.io_{target}s.crd.yaml").read_text(), yaml.CSafeLoader)
    (version,) = [found for found in definition["spec"]["versions"] if found["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    config = manifest(target, variant)
    config.pop("metadata")  # the API server's own business
    jsonschema.validate(config, schema)
    assert list(unknown_keys(config, schema)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_kubernetes_the_head_runs_no_trials_and_every_volume_that_is_mounted_exists(variant: str) -> None:
    job, config = manifest("rayjob", variant), VARIANTS[variant]
    spec = job["spec"]["rayClusterSpec"]
    assert spec == manifest("raycluster", variant)["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = spec["workerGroupSpecs"]
    assert workers["replicas"] == config.workers.count
    for group in (spec["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert ("envFrom" in container) == bool(config.kubernetes.secret)
        assert pod["terminationGracePeriodSeconds"] == 120
    asked = workers["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0)
    assert asked == config.workers.gpus
    assert "nvidia.com/gpu" not in spec["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"]["limits"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", ["aws", "gcp", "rayjob", "slurm", "ssh"])
def test_the_rendered_command_launches_the_sweep_and_can_be_given_twice(target: str, variant: str) -> None:
    text = render(target, VARIANTS[variant])
    line = next(part for part in text.splitlines() if "metasearch launch" in part)
    words = shlex.split(line[line.index("launch") :].partition(">")[0].rstrip("'&"))
    launch = typer.main.get_command(app).commands["launch"]  # type: ignore[attr-defined]
    given = launch.make_context("launch", words[1:]).params
    assert given["store"] == VARIANTS[variant].store
    assert given["or_resume"] is True


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", ["slurm", "ssh"])
def test_shellcheck_finds_nothing_in_the_scripts(target: str, variant: str, tmp_path: Path) -> None:
    script = tmp_path / TARGETS[target][0]
    script.write_text(render(target, VARIANTS[variant]))
    # SC1091: the environment that the setup line enters is not here.
    command = [Path(sys.executable).with_name("shellcheck"), "--exclude=SC1091", "--enable=all", "--severity=warning", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_all_faults_of_a_cluster_file_are_shown_at_once(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("store: ./store\nworkers: {gpu: 8}\nname: Two Words\nsweep: 'x.yaml; reboot'\n")
    with pytest.raises(UserError) as caught:
        read(file)
    assert len(caught.value.faults) == 4
    assert 'Did you mean "gpus"?' in str(caught.value)
    assert "absolute path that every node sees" in str(caught.value)


def test_flags_change_the_file_and_a_mistyped_target_is_named(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "metasearch.cli.main", "cluster", "render", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    done = run("slurm", "--store", "/shared", "--gpus", "8", "--workers", "3", "-o", "slurm.time=2h", "--out", "made")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "made" / "slurm.sh").read_text()
    assert all(option in text for option in ("--nodes=3\n", "--gpus-per-node=8\n", "--time=120\n"))
    wrong = run("slum", "--store", "/shared")
    assert wrong.returncode == 2
    assert 'Did you mean "slurm"?' in wrong.stderr
