"""All sweeps ever run, as one object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.event import Fact
from metasearch.core.history import History
from metasearch.store.files import Files, checked_name, open_files
from metasearch.store.local import TEMPORARY
from metasearch.store.log import SegmentLog, read_facts
from metasearch.store.segments import TornTail, list_segments, lock_path


class Store:
    """A store by its path or URL. Making it touches nothing; the first write makes the folder."""

    def __init__(self, url: str | os.PathLike[str] | Files) -> None:
        self.files: Files = open_files(url) if isinstance(url, str | os.PathLike) else url

    @property
    def url(self) -> str:
        return self.files.url

    def sweeps(self) -> list[str]:
        """The names of all sweeps that hold facts, sorted."""
        return [name for name in self.files.names("sweeps") if list_segments(self.files, name)]

    def open_log(self, sweep: str) -> SegmentLog:
        """The log of ``sweep``, new or not, to be written by this process alone."""
        return SegmentLog(self.files, sweep)

    def facts(self, sweep: str) -> Iterator[Fact]:
        """Every fact of ``sweep``, oldest first. Raises UserError if there is none; warns if the newest segment is torn."""
        self._require(sweep)
        try:
            yield from read_facts(self.files, sweep)
        except TornTail as torn:
            warnings.warn(torn.message, stacklevel=2)

    def history(self, sweep: str) -> History:
        return History.fold(self.facts(sweep))

    def is_running(self, sweep: str) -> bool:
        """Does a driver hold the log of ``sweep``?"""
        return self.files.holder(lock_path(checked_name("sweep", sweep))) is not None

    def request_stop(self, sweep: str) -> None:
        """Asks the driver of ``sweep``, wherever it is, to end in order."""
        self.files.write_atomic(_stop_path(sweep), b"")

    def stop_requested(self, sweep: str) -> bool:
        return self.files.exists(_stop_path(sweep))

    def clear_stop(self, sweep: str) -> None:
        self.files.delete(_stop_path(sweep))

    def put_checkpoint(self, sweep: str, trial: int, name: str, content: bytes) -> None:
        """Keeps ``content`` as the checkpoint ``name`` (``latest``, ``best``) of a trial in place of an earlier one."""
        folder = _trial_folder(sweep, trial)
        for left in self.files.names(folder):
            if left.endswith(TEMPORARY):  # of a worker that was killed while it wrote
                self.files.delete(f"{folder}/{left}")
        self.files.write_atomic(f"{folder}/{checked_name('checkpoint', name)}", content)

    def get_checkpoint(self, sweep: str, trial: int, name: str) -> bytes | None:
        """None if there is none of that name."""
        try:
            return self.files.read(f"{_trial_folder(sweep, trial)}/{checked_name('checkpoint', name)}")
        except FileNotFoundError:
            return None

    def _require(self, sweep: str) -> None:
        if not list_segments(self.files, checked_name("sweep", sweep)):
            raise UserError(f'There is no sweep "{sweep}" in the store {self.url}.{did_you_mean(sweep, self.sweeps())}')


def _stop_path(sweep: str) -> str:
    return f"sweeps/{checked_name('sweep', sweep)}/stop"


def _trial_folder(sweep: str, trial: int) -> str:
    return f"sweeps/{checked_name('sweep', sweep)}/trials/{int(trial)}"
