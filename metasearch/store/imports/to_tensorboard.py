"""A sweep as event files of TensorBoard: one run for each trial, with its curves, and its config for the page HPARAMS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metasearch.store.imports.runs import Run, new_folder, tracker


def write_events(runs: Sequence[Run], folder: Path) -> None:
    """``folder`` must be new."""
    writers = tracker("tensorboardX", "tensorboard")
    with new_folder(folder) as draft:
        for run in runs:
            with writers.SummaryWriter(str(draft / run.name), filename_suffix=".curves") as writer:
                for point in run.points:
                    for name, value in point.values.items():
                        writer.add_scalar(name, value, point.step, walltime=point.time)
                best = {} if run.best is None else {f"best/{run.metric}": run.best}
                writer.add_hparams({**run.config, "strategy": run.about["strategy"]}, best, name=".")
