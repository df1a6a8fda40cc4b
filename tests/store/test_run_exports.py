"""Sweeps in TensorBoard, MLflow and Weights & Biases, read back with what these packages read."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metasearch.core.errors import UserError
from metasearch.core.task import Task
from metasearch.store.imports import runs as exported
from metasearch.store.imports.runs import runs_of
from tests.store.test_ranking import TEXT, sweep_of

CURVE = {10: 3.0, 20: 2.0}
RUNS = runs_of(sweep_of("it", TEXT, ("lstm", 0, [3.0, 2.0]), ("gru", 1, [9.0, math.nan])))


def test_a_run_has_the_metric_in_its_own_sign_and_only_finite_numbers() -> None:
    accuracy = Task("own", kind="own", metric="accuracy", source={"mode": "max"})
    (run,) = runs_of(sweep_of("it", accuracy, ("lstm", 0, [-0.5, -0.75])))
    assert [point.values["accuracy"] for point in run.points] == [0.5, 0.75]
    assert run.best == 0.75
    assert ["val_bpb" in point.values for point in RUNS[1].points] == [True, False]


def test_a_sweep_in_which_nothing_has_ended_is_refused() -> None:
    with pytest.raises(UserError, match="no trial that has ended"):
        runs_of(sweep_of("it", TEXT, ("lstm", 0, [3.0]))[:2])


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from metasearch.store.imports.to_wandb import write_runs

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'metasearch\[wandb\]'"):
        write_runs(RUNS, tmp_path / "it", "it")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exported.new_folder(tmp_path / "it") as draft:
        (draft / "half").touch()
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "it").mkdir()
    with pytest.raises(UserError, match="is there already"), exported.new_folder(tmp_path / "it"):
        pass


def events_of(folder: Path) -> Iterator[Any]:
    """Every event of a run, from its records: a length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def test_tensorboard_has_the_curves_and_the_configs(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from metasearch.store.imports.to_tensorboard import write_events

    write_events(RUNS, tmp_path / "it")
    assert sorted(path.name for path in (tmp_path / "it").iterdir()) == ["it-0000", "it-0001"]
    events = [(event, value) for event in events_of(tmp_path / "it/it-0000") for value in event.summary.value]
    assert {event.step: value.simple_value for event, value in events if value.tag == "val_bpb"} == CURVE
    assert [value.simple_value for _, value in events if value.tag == "best/val_bpb"] == [2.0]
    assert {value.metadata.plugin_data.plugin_name for _, value in events} >= {"hparams"}


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_runs_with_parameters_and_curves(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    from metasearch.store.imports.to_mlflow import log_experiment

    database = tmp_path / "runs.db"
    log_experiment(RUNS, str(database), "it")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}")
    found = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("it").experiment_id])}
    first = found["it-0000"]
    assert first.data.params == {"model": "lstm"} and first.data.tags["state"] == "stopped"
    assert {m.step: m.value for m in client.get_metric_history(first.info.run_id, "val_bpb")} == CURVE
    assert found["it-0001"].data.tags["state"] == "diverged"
    with pytest.raises(UserError, match="already has an experiment it"):
        log_experiment(RUNS, str(database), "it")
    with pytest.raises(UserError, match=r"a file \.db"):
        log_experiment(RUNS, str(tmp_path / "runs.txt"), "it")


def test_wandb_has_offline_runs_to_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from metasearch.store.imports.to_wandb import write_runs

    for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "own"))
    write_runs(RUNS, tmp_path / "it", "it")
    logged = [_wandb_run(path) for path in (tmp_path / "it").rglob("*.wandb")]
    assert dict(logged) == {"it-0000": CURVE, "it-0001": {10: 9.0}}


def _wandb_run(path: Path) -> tuple[str, dict[int, float]]:
    """The name and the curve of a run: 7 bytes of header, then records, each with its checksum, length and kind (1: whole)."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, name, curve = path.read_bytes()[7:], "", {}
    while content:
        length, kind = struct.unpack("<HB", content[4:7])
        assert kind == 1
        record = Record.FromString(content[7 : 7 + length])
        content = content[7 + length :]
        name = record.run.display_name or name
        row = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        if "val_bpb" in row:
            curve[record.history.step.num] = float(row["val_bpb"])
    return name, curve
