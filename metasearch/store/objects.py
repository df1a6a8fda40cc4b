"""A store in a bucket of an object store (S3 and what speaks its protocol, Google Cloud Storage) through pyarrow."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from metasearch.core.errors import UserError, did_you_mean
from metasearch.store.locks import Holder, Lease, WriterLock
from metasearch.store.paths import checked, unavailable, without_secrets

_S3_OPTIONS = ("endpoint_override", "scheme", "region")
_SECRET_OPTIONS = ("access_key", "secret_key", "session_token")


def object_files(url: str) -> ObjectFiles:
    """Raises UserError for a URL that names no bucket, holds credentials, or has a scheme that pyarrow does not know."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path.rstrip('/')}"
    options = dict(parse_qsl(parts.query))
    if parts.username or parts.password or options.keys() & set(_SECRET_OPTIONS):
        raise UserError(
            f"The store URL {shown} holds credentials, which would end up in logs. "
            "Leave them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile) in the environment."
        )
    if not parts.netloc:
        raise UserError(f"The store URL {shown} names no bucket; expected {parts.scheme}://bucket/prefix.")
    root = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "s3":
        return ObjectFiles(_s3(options, shown), root, url)
    try:
        return ObjectFiles(pafs.FileSystem.from_uri(url)[0], root, url)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"The store URL {shown} cannot be used: {without_secrets(str(error))}.") from error


def _s3(options: dict[str, str], shown: str) -> pafs.FileSystem:
    unknown = sorted(options.keys() - set(_S3_OPTIONS))
    if unknown:
        faults = [f'there is no option "{name}".{did_you_mean(name, _S3_OPTIONS)}' for name in unknown]
        raise UserError(f"The store URL {shown} cannot be used:", faults)
    endpoint = options.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    scheme, _, host = (endpoint or "").rpartition("://")
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return pafs.S3FileSystem(
        endpoint_override=host or None,
        scheme=options.get("scheme") or scheme or "https",
        region=region or ("us-east-1" if host else None),  # with an endpoint of its own, asking AWS for the region would only hang
        connect_timeout=5,
        request_timeout=30,
        background_writes=False,
        allow_delayed_open=True,  # a small object is one request, there or not there
    )


class ObjectFiles:
    """Files under a prefix of a bucket. The bucket must exist; folders do not exist as such."""

    def __init__(self, filesystem: pafs.FileSystem, root: str, url: str) -> None:
        self._filesystem = filesystem
        self._root = root
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def read(self, path: str) -> bytes:
        try:
            with self._filesystem.open_input_file(self._at(path)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unavailable("read", path, self._url, error) from None

    def write_atomic(self, path: str, content: bytes) -> None:
        try:
            with self._filesystem.open_output_stream(self._at(path)) as stream:
                stream.write(content)
        except OSError as error:
            raise unavailable("write", path, self._url, error) from None

    def create_exclusive(self, path: str, content: bytes) -> None:
        if self.exists(path):
            raise FileExistsError(path)
        self.write_atomic(path, content)

    def names(self, folder: str) -> list[str]:
        base = self._at(folder) if folder else self._root
        try:
            found = self._filesystem.get_file_info(pafs.FileSelector(base, allow_not_found=True))
        except OSError as error:
            raise unavailable("list", folder, self._url, error) from None
        return sorted(entry.base_name for entry in found)

    def exists(self, path: str) -> bool:
        try:
            return bool(self._filesystem.get_file_info(self._at(path)).type != pafs.FileType.NotFound)
        except OSError as error:
            raise unavailable("look for", path, self._url, error) from None

    def delete(self, path: str) -> None:
        try:
            self._filesystem.delete_file(self._at(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise unavailable("delete", path, self._url, error) from None

    def lock(self, path: str) -> WriterLock:
        return Lease(self, checked(path))

    def holder(self, path: str) -> Holder | None:
        return Lease.holder(self, checked(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{checked(path)}"
