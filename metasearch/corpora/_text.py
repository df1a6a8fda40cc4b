"""Text files, read exactly: UTF-8, line ends untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from metasearch.core.errors import UserError

DIGEST_BYTES = 16


def digest(content: bytes) -> str:
    """32 hexadecimal digits: the one hash by which this room names texts, tokens and cache entries."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def fingerprint(paths: Iterable[Path]) -> str:
    """A name for the content of these files in this order, wherever they lie."""
    return "+".join(digest_file(path) for path in paths)


def read_utf8(path: Path) -> str:
    """The file's text. Raises UserError with the offset of the first byte that is not UTF-8."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start:,} (0x{content[error.start]:02x}). "
            f"Convert it, for example: iconv -f LATIN1 -t UTF-8 {path.name} > converted.txt"
        ) from error


def file_faults(path: Path) -> list[str]:
    """Why ``path`` cannot be a split: missing, a folder, unreadable or empty."""
    try:
        if path.is_dir():
            return [f"{path} is a folder, expected a text file"]
        if not path.exists():
            return [f"there is no file {path}"]
        with path.open("rb") as file:
            return [] if file.read(1) else [f"{path} is empty, expected text"]
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
