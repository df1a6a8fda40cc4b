"""Studies in an Optuna storage: an SQLite file, a journal file, or the URL of a database."""

from __future__ import annotations

import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from metasearch.core.errors import UserError, did_you_mean
from metasearch.core.history import State
from metasearch.core.scales import Scale
from metasearch.store.imports.earlier import EarlierTrial, Point, Results, flat

SQLITE = b"SQLite format 3\x00"


def read_studies(source: str, study: str | None = None) -> list[Results]:
    """Every study of the storage, or the one called ``study``. Changes nothing there.

    Raises UserError if it is no Optuna storage, if there is no such study, or if a study has several objectives.
    """
    with opened(source) as storage:
        studies = {found.study_name: found for found in storage.get_all_studies()}
        if study is not None and study not in studies:
            raise UserError(f'There is no study "{study}" in {source}.{did_you_mean(study, studies)}')
        chosen = [studies[name] for name in ([study] if study is not None else sorted(studies))]
        several = [found.study_name for found in chosen if len(found.directions) > 1]
        if several:
            raise UserError(
                f"Studies with several objectives cannot be imported: {', '.join(several)}. Choose others with --study."
            )
        if not chosen:
            raise UserError(f"There is no study in {source}.")
        return [
            _results(
                f"study {found.study_name} in {source}", found.study_name, found.direction, storage.get_all_trials(found._study_id)
            )
            for found in chosen
        ]


@contextmanager
def opened(source: str) -> Iterator[BaseStorage]:
    """The storage, to be read. An SQLite file is read as a copy, because Optuna makes its tables in any file that it opens."""
    path = Path(source.removeprefix("sqlite:///"))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # Optuna calls its journal experimental
        if "://" in source and not source.startswith("sqlite:///"):
            yield RDBStorage(source)
            return
        if not path.is_file():
            raise UserError(f"There is no Optuna storage {path}.")
        with path.open("rb") as file:
            is_sqlite = file.read(len(SQLITE)) == SQLITE
        storage: BaseStorage = RDBStorage(f"sqlite:///{_copied(path, Path(folder))}") if is_sqlite else _journal(path)
        yield storage
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / "copy.db"
    source, target = sqlite3.connect(f"file:{path}?mode=ro", uri=True), sqlite3.connect(copy)
    try:
        source.backup(target)
        tables = {name for (name,) in target.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error as error:
        raise UserError(f"The SQLite file {path} cannot be read: {error}.") from error
    finally:
        source.close()
        target.close()
    if not {"studies", "trials", "version_info"} <= tables:
        raise UserError(f"The SQLite file {path} is no Optuna storage; its tables: {', '.join(sorted(tables)) or 'none'}.")
    return copy


def _journal(path: Path) -> JournalStorage:
    with path.open("rb") as file:
        if not file.read(1) == b"{":
            raise UserError(f"The file {path} is neither an SQLite file nor an Optuna journal.")
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"The file {path} is no Optuna journal, or a damaged one: {type(error).__name__}: {error}.") from error


def _results(source: str, name: str, direction: Any, frozen: list[FrozenTrial]) -> Results:
    trials: list[EarlierTrial] = []
    refused: list[str] = []
    last = max((step for trial in frozen for step in trial.intermediate_values), default=1)
    for trial in frozen:
        if trial.state in (TrialState.RUNNING, TrialState.WAITING):
            refused.append(f"trial {trial.number}: it is {trial.state.name.lower()}")
        else:
            trials.append(_trial(trial, last))
    scales = {
        name: Scale.LOG
        for trial in frozen
        for name, distribution in trial.distributions.items()
        if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log
    }
    mode = "max" if direction is optuna.study.StudyDirection.MAXIMIZE else "min"
    return Results(source, name, trials, refused, mode, scales)


def _trial(trial: FrozenTrial, last: int) -> EarlierTrial:
    """The value of a trial is that of its last step; without intermediate values, that of a full trial."""
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    steps = sorted(trial.intermediate_values)
    values = dict(trial.intermediate_values)
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        steps = steps or [last]
        values[steps[-1]] = trial.value
    count = max(len(steps), 1)
    points = [Point(step, values[step], seconds * (position + 1) / count) for position, step in enumerate(steps)]
    state = {TrialState.COMPLETE: State.COMPLETED, TrialState.PRUNED: State.STOPPED}.get(trial.state, State.FAILED)
    error = {State.STOPPED: "pruned", State.FAILED: str(trial.system_attrs.get("fail_reason", "failed"))}.get(state, "")
    return EarlierTrial(f"trial {trial.number}", flat(trial.params), points, state, error)
