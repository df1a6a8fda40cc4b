"""The command line against a cluster that is already there and a store in S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from moto.server import ThreadedMotoServer

from metasearch.backends import tune
from tests.cli.test_cli import make_place

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]


@pytest.fixture()
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a store in an empty bucket."""
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key-of-the-test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
    yield "s3://bucket/team"
    server.stop()


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "metasearch.cli.main", *arguments]
    environment = {**os.environ, "METASEARCH_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "secret-of-the-test" not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # botocore's own
def test_a_sweep_on_an_existing_cluster_with_its_store_in_s3(tmp_path: Path, s3: str) -> None:
    sweep = make_place(tmp_path).write("remote", budget={"trials": 2})
    with tune.cluster(cpus=2):
        address = ray.get_runtime_context().gcs_address
        run(tmp_path, "launch", sweep, "--store", s3, "--address", address, "-q")
        resumed = json.loads(
            run(tmp_path, "resume", "remote", "--trials", "+1", "--store", s3, "--address", address, "-q", "--json")
        )
    assert resumed["trials"] == 3
    rows = json.loads(run(tmp_path, "query", "select * from sweeps", "--store", s3, "--json"))
    assert rows[0]["sweep"] == "remote"
    assert "secret-of-the-test" not in json.dumps(rows)
    best = json.loads(run(tmp_path, "best", "--store", s3, "--json"))[0]
    assert json.loads(run(tmp_path, "show", f"remote/{best['trial']}", "--store", s3, "--json"))["loss"] == best["loss"]
