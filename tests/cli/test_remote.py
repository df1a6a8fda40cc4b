"""The command line against a cluster that is already there and a store in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from moto.server import ThreadedMotoServer

from metasearch.backends import tune
from tests.cli.place import Place, make_place

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


def run(place: Place, *arguments: str) -> str:
    command = place.start(*arguments)
    out, err = command.communicate(timeout=200)
    assert command.poll() == 0, out + err
    assert "secret-of-the-test" not in out + err
    return out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # botocore's own
def test_a_sweep_on_an_existing_cluster_with_its_store_in_s3(tmp_path: Path, s3: str) -> None:
    place = make_place(tmp_path)
    sweep = place.write("remote", budget={"trials": 2})
    with tune.cluster(cpus=2):
        address = ray.get_runtime_context().gcs_address
        run(place, "launch", sweep, "--store", s3, "--address", address, "-q")
        resumed = json.loads(run(place, "resume", "remote", "--trials", "+1", "--store", s3, "--address", address, "-q", "--json"))
    assert resumed["trials"] == 3
    rows = json.loads(run(place, "query", "select * from sweeps", "--store", s3, "--json"))
    assert rows[0]["sweep"] == "remote"
    assert "secret-of-the-test" not in json.dumps(rows)
    best = json.loads(run(place, "best", "--store", s3, "--json"))[0]
    assert json.loads(run(place, "show", f"remote/{best['trial']}", "--store", s3, "--json"))["loss"] == best["loss"]
