"""Manifests for the KubeRay operator: a RayCluster that stays, or a RayJob that lives as long as its sweep."""

from __future__ import annotations

from typing import Any

from metasearch.cluster.config import ClusterFile
from metasearch.cluster.ray_up import launch_command, plain_yaml

_HEADER = "# Rendered by `metasearch cluster render {target}`; change the cluster file and render again.\n"
_MOUNT = "/etc/metasearch"


def cluster(config: ClusterFile) -> str:
    manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": config.name, "namespace": config.kubernetes.namespace},
        "spec": _cluster_spec(config),
    }
    return _HEADER.format(target="raycluster") + plain_yaml(manifest)


def job(config: ClusterFile) -> str:
    """If the head dies, the operator starts another cluster, whose driver goes on with the sweep from the store."""
    manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": config.name, "namespace": config.kubernetes.namespace},
        "spec": {
            "entrypoint": launch_command(config, f"{_MOUNT}/sweep.yaml"),
            "backoffLimit": 3,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 60,
            "rayClusterSpec": _cluster_spec(config),
        },
    }
    return _HEADER.format(target="rayjob") + plain_yaml(manifest)


def _cluster_spec(config: ClusterFile) -> dict[str, Any]:
    workers = config.workers
    gpus = {"nvidia.com/gpu": workers.gpus} if workers.gpus else {}
    return {
        "authOptions": {"mode": "token"},  # the operator makes the token, a secret of the cluster's name
        "headGroupSpec": {
            # No CPU for trials: they would slow the driver down.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # the pod's own network; a Service only inside
            "serviceType": "ClusterIP",
            "template": _pod(config, "ray-head", _resources(config.head.cpus, config.head.memory, {}), spot=False),
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": workers.count,
                "minReplicas": workers.count,
                "maxReplicas": workers.count,
                "rayStartParams": {},
                "template": _pod(config, "ray-worker", _resources(workers.cpus, workers.memory, gpus), spot=workers.spot),
            }
        ],
    }


def _resources(cpus: int, memory: int, extra: dict[str, int]) -> dict[str, Any]:
    amounts = {"cpu": cpus, "memory": f"{memory // 2**20}Mi", **extra}
    return {"requests": amounts, "limits": amounts}


def _pod(config: ClusterFile, name: str, resources: dict[str, Any], *, spot: bool) -> dict[str, Any]:
    settings = config.kubernetes
    volumes: list[dict[str, Any]] = [{"name": "sweep", "configMap": {"name": f"{config.name}-sweep", "optional": True}}]
    mounts = [{"name": "sweep", "mountPath": _MOUNT, "readOnly": True}]
    if config.on_shared_folder:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": settings.claim}})
        mounts.append({"name": "store", "mountPath": config.store})
    container: dict[str, Any] = {"name": name, "image": config.image, "resources": resources, "volumeMounts": mounts}
    if settings.secret:
        container["envFrom"] = [{"secretRef": {"name": settings.secret}}]
    if name == "ray-worker":  # before Ray hears of it: its end is the end of the trials
        seconds = f"{min(10.0, config.grace / 2):g}"
        container["lifecycle"] = {"preStop": {"exec": {"command": ["metasearch", "cluster", "leave", "--seconds", seconds]}}}
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": int(config.grace),
        "containers": [container],
        "volumes": volumes,
    }
    if spot:
        spec["tolerations"] = [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]
        spec["nodeSelector"] = {"spot": "true"}
    return {"spec": spec}
