"""``metasearch doctor --cluster``: every node of a Ray cluster, and the remedy for what is wrong there."""

from __future__ import annotations

from collections.abc import Mapping

from metasearch.backends.tune import NodeFound, cluster, look_at_nodes, versions
from metasearch.cli.doctor import Check
from metasearch.core.errors import UserError

CLOCK_SECONDS = 5.0
"""A quarter of a lease's term is 15 s; this leaves room for a clock that drifts on."""

SLOW_MILLISECONDS = 100.0


def check_nodes(store: str, address: str | None) -> list[Check]:
    """Every node of the cluster at ``address``, else of the one that this machine belongs to."""
    try:
        with cluster(address or "auto"):
            found = look_at_nodes(store)
    except UserError as error:
        return [Check("cluster", False, error.message)]
    return [check for node in found for check in checks_of(node, versions())]


def checks_of(node: NodeFound, own: Mapping[str, str]) -> list[Check]:
    """``own``: the versions on this machine."""
    if node.fault:
        remedy = "See Ray's logs on that node; `metasearch` must be installed in the environment in which its Ray was started."
        return [Check("node", False, node.fault, remedy, node.name)]
    checks = [_versions(node, own), _gpus(node), _clock(node), _store(node), _network(node)]
    for check in checks:
        check.node = node.name
    return checks


def _versions(node: NodeFound, own: Mapping[str, str]) -> Check:
    other = [f"{name} is {own[name]} here" for name, found in node.versions.items() if _plain(found) != _plain(own[name])]
    found = ", ".join(f"{name} {version}" for name, version in node.versions.items())
    remedy = "Install the same versions on every node (pip install -c constraints.txt), then start Ray there again."
    return Check("versions", not other, "; ".join([found, *other]), remedy)


def _plain(version: str) -> str:
    """A head without GPUs may have another build of the same torch."""
    return version.partition("+")[0]


def _gpus(node: NodeFound) -> Check:
    found = f"torch sees {', '.join(node.gpus) or 'none'}; Ray offers {node.promised_gpus:g}"
    remedy = "Install torch's CUDA build and the driver on that node, or start Ray there with --num-gpus as many as there are."
    return Check("gpus", len(node.gpus) >= node.promised_gpus, found, remedy)


def _clock(node: NodeFound) -> Check:
    fine = abs(node.clock_seconds) - node.clock_error <= CLOCK_SECONDS
    found = f"{node.clock_seconds:+.3f} s against this machine, to within {node.clock_error:.3f} s"
    return Check("clock", fine, found, "Let NTP set the clocks (chronyd or systemd-timesyncd): leases on the store go by time.")


def _store(node: NodeFound) -> Check:
    if isinstance(node.store, float):
        return Check("store", True, f"written and read from both sides in {node.store:.0f} ms")
    remedy = "Mount the shared folder there under the same path, or give the node the bucket's credentials in its environment."
    return Check("store", False, node.store, remedy)


def _network(node: NodeFound) -> Check:
    cut = [f"{name}: {fault}" for name, fault in node.peers.items() if isinstance(fault, str)]
    times = [milliseconds for milliseconds in node.peers.values() if isinstance(milliseconds, float)]
    if cut:
        remedy = "Open all TCP ports between the nodes of the cluster: Ray's workers take any of them."
        return Check("network", False, f"reaches {len(times)} of {len(node.peers)} other nodes; not {'; '.join(cut)}", remedy)
    if not times:
        return Check("network", True, "no other node")
    found = f"reaches {len(times)} other node(s), the farthest in {max(times):.1f} ms"
    return Check("network", max(times) <= SLOW_MILLISECONDS, found, "Put all nodes into one zone of one network.")
