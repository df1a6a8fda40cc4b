"""A cluster of machines that share no loopback, as far as the kernel can pretend that. Where it may not, nothing is tested."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STUDIES = Path(__file__).parents[2] / "experiments" / "studies"

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Any]]:
    """Three, each with a Ray node that wants the token; the first has the head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDIES))
        import hosts

        if not hosts.able():
            pytest.skip("no network namespaces can be made here")
        folder = Path(tempfile.mkdtemp(prefix="ms-h-"))
        patch.setenv("HOME", str(folder))
        patch.setenv("RAY_AUTH_MODE", "token")
        hosts.key()
        with hosts.hosts(3, folder) as made:
            for host in made:
                host.start_node(head=None if host is made[0] else made[0])
            for host in made:
                host.wait()
            yield made
    shutil.rmtree(folder, ignore_errors=True)


def metasearch(host: Any, folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of a command on one of the machines."""
    command = [sys.executable, "-m", "metasearch.cli.main", *arguments]
    process = host.start(command, env={**os.environ, **environment}, cwd=folder, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=100)
    return process.returncode, output.decode()


def test_machines_reach_each_other_and_whoever_has_no_token_is_told_of_it(machines: list[Any], tmp_path: Path) -> None:
    address, store = f"{machines[0].address}:6379", str(tmp_path / "store")
    asks = ("doctor", "--cluster", "--address", address, "--store", store)
    status, output = metasearch(machines[1], tmp_path, *asks, "--json")
    checks = json.loads(output)
    assert status == 0 and len(checks) == 3 * 5, output
    assert all("2 other" in check["found"] for check in checks if check["name"] == "network")
    assert {check["node"].split()[1].strip("(,") for check in checks} == {host.address for host in machines}
    status, output = metasearch(machines[0], tmp_path, *asks, RAY_AUTH_MODE="disabled")
    assert status == 1 and "does not let this process in" in output and "RAY_AUTH_MODE=token" in output
