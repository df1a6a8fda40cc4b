"""A sweep as offline runs of Weights & Biases, one for each trial, which ``wandb sync`` uploads. Nothing leaves this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metasearch.store.imports.runs import Run, new_folder, tracker


def write_runs(runs: Sequence[Run], folder: Path, project: str) -> None:
    """``folder`` must be new."""
    wandb = tracker("wandb", "wandb")
    settings = wandb.Settings(
        silent=True, console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True, save_code=False
    )
    with new_folder(folder) as draft:
        for run in runs:
            logged = wandb.init(
                project=project,
                name=run.name,
                group=run.about["sweep"],
                dir=draft,
                mode="offline",
                config=run.config,
                settings=settings,
            )
            for point in run.points:
                logged.log({**point.values, "_timestamp": point.time}, step=point.step)
            logged.summary.update({**run.about, **({} if run.best is None else {f"best_{run.metric}": run.best})})
            logged.finish(exit_code=int(run.failed))
        wandb.teardown()  # waits until its service has written everything
