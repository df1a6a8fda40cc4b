"""The same store on S3, served by moto in this process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.core.history import History
from metasearch.store import Store, StoreUnavailable
from metasearch.store.locks import Lease
from metasearch.store.log import read_facts
from metasearch.store.merging import merge
from metasearch.store.patience import PatientLog
from tests.store.strategies import same, whole_sweep
from tests.store.test_thetas import CARD, THETA

ROOT = Path(__file__).parents[2]
SECRET = "not-a-real-secret"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def url(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in a fresh bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    urllib.request.urlopen(urllib.request.Request(f"http://{endpoint}/moto-api/reset", method="POST")).close()
    urllib.request.urlopen(urllib.request.Request(f"http://{endpoint}/bucket", method="PUT")).close()
    return f"s3://bucket/deep/store?endpoint_override={endpoint}&scheme=http"


def test_a_sweep_is_written_and_read(url: str) -> None:
    made = whole_sweep(trials=3)
    with Store(url).open_log("contract") as log:
        log.append(made[:1])
        for start in range(1, len(made), 10):
            log.append(made[start : start + 10])
        log.compact()
    store = Store(Store(url).url)
    assert store.sweeps() == ["contract"]
    assert same(store.facts("contract"), made)
    assert store.best(top=1)["loss"].to_pylist() == [store.query("select best_loss from sweeps")[0][0].as_py()]
    assert History.fold(made).best_loss <= store.best(top=1)["loss"][0].as_py()


def test_a_store_in_a_bucket_is_compacted_checked_and_merged(url: str, tmp_path: Path) -> None:
    store = Store(url)
    with store.open_log("contract") as log:
        log.append(whole_sweep(trials=3))
    before = store.best().to_pylist()
    assert store.compact()[0] == ["contract"]
    assert store.best().to_pylist() == before
    with store.open_log("contract") as log:
        log.append([Closed(1e9, "again")])
    assert store.query("select reason from sweeps")["reason"].to_pylist() == ["again"]
    assert list(store.check()) == []
    assert merge(store, Store(tmp_path)).copied == ["contract"]
    assert Store(tmp_path).best().to_pylist() == before


def test_the_endpoint_may_come_from_the_environment(url: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(url).put_checkpoint("it", 0, "latest", b"weights")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    assert Store("s3://bucket/deep/store").get_checkpoint("it", 0, "latest") == b"weights"


def test_files_behave_as_on_a_disk(url: str) -> None:
    files = Store(url).files
    files.create_exclusive("a/b", b"mine")
    with pytest.raises(FileExistsError):
        files.create_exclusive("a/b", b"yours")
    assert files.read("a/b") == b"mine" and files.names("a") == ["b"] and files.names("nowhere") == []
    files.write_atomic("a/large", bytes(12_000_000))
    assert len(files.read("a/large")) == 12_000_000
    for _ in range(2):
        files.delete("a/b")
    assert not files.exists("a/b")
    with pytest.raises(FileNotFoundError):
        files.read("a/b")
    for operation in (files.read, files.delete, files.exists):
        with pytest.raises(UserError, match="leads out of the store"):
            operation("../../other-bucket/x")


def test_a_second_driver_is_refused_until_the_first_is_gone(url: str) -> None:
    command = [sys.executable, "-m", "tests.store.writer", url, "it"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None and process.stdout.readline().strip().isdigit()
        assert Store(url).is_running("it")
        with pytest.raises(UserError, match=f"being run by pid {process.pid} .*its lease runs out in .* s unless it is renewed"):
            Store(url).open_log("it")
        process.kill()
        confirmed = [int(line) for line in process.stdout.read().split()]
    with Store(url).open_log("it") as log:
        held = [int(fact.time) for fact in log.read()]
    assert held == list(range(len(held))) and len(held) > max(confirmed, default=0)


def test_what_a_driver_without_its_lease_still_writes_does_not_count(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(url)
    stale = store.open_log("it")
    stale.append([Closed(0.0, "")])
    store.files.delete("sweeps/it/writer.lock")  # as if it had run out
    heir = Store(url).open_log("it")
    with monkeypatch.context() as unaware:
        unaware.setattr(Lease, "renew", lambda self: None)
        stale.append([Closed(-1.0, "on its way when the lease ran out")])
        heir.append([Closed(1.0, "")])
        stale.append([Closed(-2.0, "")])
    assert [fact.time for fact in store.facts("it")] == [0.0, 1.0]
    heir.close()
    with store.open_log("it") as third:
        third.append([Closed(2.0, "")])
    assert [fact.time for fact in store.facts("it")] == [0.0, 1.0, 2.0]


def test_a_missing_bucket_is_named_without_secrets(url: str) -> None:
    nowhere = url.replace("bucket", "nobucket")
    with pytest.raises(StoreUnavailable, match=r"nobucket.*Check that it can be reached") as refusal:
        Store(nowhere).open_log("it")
    assert SECRET not in str(refusal.value)
    with pytest.raises(StoreUnavailable, match="no sweeps at s3://nobucket"):
        Store(nowhere).history("it")


def test_an_unreachable_store_pauses_the_sweep(endpoint: str, url: str) -> None:
    """The network is cut for a while; then everything is there, once."""
    heard: list[str] = []
    with Cable(endpoint) as cable, Store(url.replace(endpoint, cable.endpoint)).open_log("it") as log:
        patient = PatientLog(log, heard.append, lambda seconds: cable.mend())
        patient.append([Closed(0.0, "before")])
        cable.cut()
        patient.append([Closed(1.0, "during")])
        patient.append([Closed(2.0, "after")])
    assert "it/log/0000000001-0000000001.000001.parquet in the store s3://bucket/deep/store" in heard[0]
    assert "Check that it can be reached" in heard[0] and "tries again in 1 s" in heard[0]
    assert len(heard) == 2
    assert [fact.time for fact in read_facts(Store(url).files, "it")] == [0.0, 1.0, 2.0]


class Cable:
    """A connection to ``endpoint`` that can be cut: bytes pass through unchanged, or not at all."""

    def __init__(self, endpoint: str) -> None:
        self._behind = endpoint.split(":")
        self._whole = True
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Cable:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        self._whole = False
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def mend(self) -> None:
        self._whole = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                if not self._whole:
                    near.close()
                    continue
                far = socket.create_connection((self._behind[0], int(self._behind[1])))
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def test_thetas_and_their_cards_are_kept(url: str) -> None:
    digest = Store(url).put_theta(THETA, CARD)
    assert Store(url).get_theta(digest).digest == digest
    assert Store(url).theta_cards() == [replace(CARD, digest=digest)]
