"""Files of a store: durable or not there, inside the store, and clear about what is wrong."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metasearch.core.errors import UserError
from metasearch.core.event import Closed
from metasearch.store import Store, StoreUnavailable
from metasearch.store.files import open_files
from metasearch.store.local import LocalFiles
from metasearch.store.paths import without_secrets
from metasearch.store.patience import PatientLog


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path / "store")


def test_what_is_written_is_read_listed_and_deleted(files: LocalFiles) -> None:
    files.write_atomic("a/b/c", b"one")
    files.write_atomic("a/b/c", b"two")
    assert files.read("a/b/c") == b"two"
    assert files.names("a/b") == ["c"] and files.names("") == ["a"] and files.names("nowhere") == []
    assert files.exists("a/b/c") and not files.exists("a/b/d")
    files.delete("a/b/c")
    files.delete("a/b/c")
    with pytest.raises(FileNotFoundError):
        files.read("a/b/c")


def test_an_exclusive_file_is_made_once(files: LocalFiles) -> None:
    files.create_exclusive("a", b"mine")
    with pytest.raises(FileExistsError):
        files.create_exclusive("a", b"yours")
    assert files.read("a") == b"mine"
    assert files.names("") == ["a"], "no temporary file is left"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a/./b", "a\\..\\b", "a\0"])
def test_no_path_leaves_the_store(files: LocalFiles, path: str) -> None:
    for operation in (files.read, files.exists, files.delete, lambda p: files.write_atomic(p, b"")):
        with pytest.raises(UserError, match="leads out of the store"):
            operation(path)


def test_a_url_opens_the_same_store_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = open_files("store")
    files.write_atomic("a", b"here")
    monkeypatch.chdir("/")
    assert open_files(files.url).read("a") == b"here"
    assert open_files(f"file://{tmp_path}/store").read("a") == b"here"


def test_a_store_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    with pytest.raises(StoreUnavailable, match=r"Cannot write a/b in the store .*Not a directory.*Name a folder"):
        LocalFiles(tmp_path / "store").write_atomic("a/b", b"")
    with pytest.raises(StoreUnavailable, match="Name a folder"):
        Store(tmp_path / "store").open_log("it")
    with pytest.raises(StoreUnavailable, match="Name a folder"):
        Store(tmp_path / "store").sweeps()


def test_files_of_others_in_the_store_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / ".DS_Store").write_bytes(b"")
    with Store(tmp_path).open_log("it") as log:
        log.append([Closed(0.0, "")])
    (tmp_path / "sweeps" / "it" / "log" / "notes.txt").write_bytes(b"")
    assert Store(tmp_path).sweeps() == ["it"]
    assert len(list(Store(tmp_path).facts("it"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_store_without_the_right_to_write_is_refused_with_the_remedy() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(StoreUnavailable, match=r"Cannot lock .*Permission denied\. Give this user the right to write"):
                Store(folder).open_log("it")
        finally:
            os.seteuid(0)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_pauses_the_sweep_and_nothing_is_lost(tiny_disk: Path) -> None:
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    troubles: list[str] = []

    def wait(seconds: float) -> None:
        ballast.unlink(missing_ok=True)

    with Store(tiny_disk / "store").open_log("it") as log:
        patient = PatientLog(log, troubles.append, wait)
        for number in range(60):
            patient.append([Closed(float(number), "x" * 500)])
    assert troubles[0].startswith("Cannot write sweeps/it/log/")
    assert "No space left on device. Free some space there" in troubles[0]
    assert "The sweep waits and tries again in 1 s." in troubles[0]
    assert troubles[-1] == "The store works again after 1 s; the sweep goes on."
    assert [int(fact.time) for fact in Store(tiny_disk / "store").facts("it")] == list(range(60))


def test_a_write_that_fails_half_way_leaves_nothing(files: LocalFiles) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    files.write_atomic("a", b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(StoreUnavailable, match=r"File too large\. Free some space"):
            files.write_atomic("a", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files.names("") == ["a"] and files.read("a") == b"old"


def test_secrets_never_stand_in_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    assert without_secrets("signature of wJalrXUtnFEMI is wrong.") == "signature of *** is wrong"


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "s3://bucket/x?access_key=key&secret_key=secret"])
def test_credentials_in_a_url_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UserError, match="set AWS_ACCESS_KEY_ID") as refusal:
        Store(url)
    assert "secret@" not in str(refusal.value) and "=secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url, message",
    [
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket/x?endpoint=here", 'no option "endpoint".*Did you mean "endpoint_override"'),
        ("ftp://host/x", "cannot be used"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        Store(url)


def test_a_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get_checkpoint("it", 3, "latest") is None
    store.put_checkpoint("it", 3, "latest", b"one")
    left = tmp_path / "sweeps/it/trials/3/.latest.ab.tmp"
    left.write_bytes(b"of a worker that was killed")
    store.put_checkpoint("it", 3, "latest", b"two")
    store.put_checkpoint("it", 3, "best", b"one")
    assert store.get_checkpoint("it", 3, "latest") == b"two"
    assert sorted(os.listdir(left.parent)) == ["best", "latest"]
    with pytest.raises(UserError, match="cannot name"):
        store.put_checkpoint("it", 3, "../../escape", b"")


def test_a_stop_is_requested_seen_and_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.clear_stop("it")
    assert not store.stop_requested("it")
    Store(tmp_path).request_stop("it")
    assert store.stop_requested("it")
    store.clear_stop("it")
    assert not store.stop_requested("it")
