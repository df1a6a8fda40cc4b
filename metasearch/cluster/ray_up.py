"""Configs of ``ray up``: AWS, Google Cloud, and hosts of one's own that are reached by ssh."""

from __future__ import annotations

from typing import Any

import yaml

from metasearch.cluster.config import ClusterFile

_TOKEN = "~/.ray/auth_token"
"""Where Ray looks for the token; ``ray up`` copies it to every node."""

_HEADER = """\
# Rendered by `metasearch cluster render {target}`; change the cluster file and render again.
#   (umask 077 && ray get-auth-token --generate)    once, on the machine that runs ray up
#   ray up {file}
#   ray exec {file} --tmux '{launch}'
#   ray down {file}
"""


def launch_command(config: ClusterFile, sweep: str | None = None) -> str:
    """Starts the sweep on a machine of the cluster, or goes on with it."""
    return f"metasearch launch {sweep or config.sweep} --store {config.store} --address auto --or-resume -q"


def aws(config: ClusterFile) -> str:
    image = {"ImageId": config.aws.image} if config.aws.image else {}
    market = {"InstanceMarketOptions": {"MarketType": "spot"}} if config.workers.spot else {}
    return _cloud(
        "aws",
        config,
        {"type": "aws", "region": config.aws.region, "cache_stopped_nodes": False},
        {"InstanceType": config.aws.head_type, **image},
        {"InstanceType": config.aws.worker_type, **image, **market},
    )


def gcp(config: ClusterFile) -> str:
    settings, gpus = config.gcp, config.workers.gpus
    boot = {"boot": True, "autoDelete": True, "type": "PERSISTENT"}
    disks = {"disks": [{**boot, "initializeParams": {"diskSizeGb": 100, "sourceImage": settings.image}}]}
    accelerator = f"projects/{settings.project}/zones/{settings.zone}/acceleratorTypes/{settings.accelerator}"
    accelerators = {"guestAccelerators": [{"acceleratorType": accelerator, "acceleratorCount": gpus}]} if gpus else {}
    scheduling: list[dict[str, Any]] = [{"preemptible": True}] if config.workers.spot else []
    if gpus:
        scheduling.append({"onHostMaintenance": "TERMINATE"})  # machines with GPUs cannot be moved while they run
    worker = {"machineType": settings.worker_type, **disks, **accelerators}
    return _cloud(
        "gcp",
        config,
        {
            "type": "gcp",
            "region": settings.zone.rpartition("-")[0],
            "availability_zone": settings.zone,
            "project_id": settings.project,
        },
        {"machineType": settings.head_type, **disks},
        {**worker, "scheduling": scheduling} if scheduling else worker,
    )


def on_premise(config: ClusterFile) -> str:
    hosts = config.on_premise
    provider = {"type": "local", "head_ip": hosts.head, "worker_ips": hosts.workers}
    return _text(
        "on-premise",
        config,
        {
            "cluster_name": config.name,
            "max_workers": len(hosts.workers),
            "provider": provider,
            "auth": {"ssh_user": hosts.user},
            **_commands(config, head="--num-cpus 0 --num-gpus 0"),
        },
    )


def _cloud(target: str, config: ClusterFile, provider: dict[str, Any], head: dict[str, Any], worker: dict[str, Any]) -> str:
    """The head offers no CPU, so that no trial slows the driver down."""
    workers = config.workers
    offered = {"CPU": workers.cpus, **({"GPU": workers.gpus} if workers.gpus else {})}
    return _text(
        target,
        config,
        {
            "cluster_name": config.name,
            "max_workers": workers.count,
            "provider": provider,
            "auth": {"ssh_user": "ubuntu"},
            "head_node_type": "head",
            "available_node_types": {
                "head": {"resources": {"CPU": 0}, "node_config": head},
                # As many as are asked for, at once: a sweep starts as many trials as there is room for, and asks for no more nodes.
                "worker": {"min_workers": workers.count, "max_workers": workers.count, "resources": offered, "node_config": worker},
            },
            **_commands(config, head="--autoscaling-config=~/ray_bootstrap_config.yaml"),
        },
    )


def _commands(config: ClusterFile, head: str) -> dict[str, Any]:
    """The nodes are the cluster's own, so ``ray stop`` ends nobody else's Ray there. The dashboard listens on loopback only."""
    start = f"RAY_AUTH_MODE=token ray start --port={config.port}"
    join = f"RAY_AUTH_MODE=token ray start --address=$RAY_HEAD_IP:{config.port}"
    return {
        "file_mounts": {_TOKEN: _TOKEN, f"~/{config.sweep}": config.sweep},
        "setup_commands": [config.install],
        "head_start_ray_commands": ["ray stop", f"{start} --head --dashboard-host=127.0.0.1 {head}"],
        "worker_start_ray_commands": ["ray stop", join],
    }


def _text(target: str, config: ClusterFile, content: dict[str, Any]) -> str:
    launch = f"RAY_AUTH_MODE=token {launch_command(config)}"
    header = _HEADER.format(target=target, file=f"{target}.yaml", launch=launch)
    return header + plain_yaml(content)


def plain_yaml(content: Any) -> str:
    """In the order written, without anchors."""
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, node: True})
    return yaml.dump(content, Dumper=dumper, sort_keys=False, width=1000)
