"""A Lightning ``Trainer`` as one's own training: a callback that reports its validations (extra ``lightning``).

def train(config, trial):
    report = ReportCallback(trial)
    trainer = lightning.Trainer(max_epochs=trial.steps, callbacks=[report], enable_checkpointing=False, logger=False)
    trainer.fit(module, train_loader, valid_loader, ckpt_path=report.resume_from(folder))
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import lightning

from metasearch.training.own import RunningTrial


class ReportCallback(lightning.Callback):  # type: ignore[misc]
    """Reports the logged ``metric`` at the end of every epoch, with Lightning's checkpoint; a step is an epoch.

    ``lr_scale`` of an answer multiplies the learning rates of all optimizers. Raises KeyError if an epoch logs no such metric.
    """

    def __init__(self, trial: RunningTrial, metric: str = "val_loss") -> None:
        self.trial = trial
        self.metric = metric

    def resume_from(self, folder: str | Path) -> str | None:
        """For ``trainer.fit(ckpt_path=…)``: the trial's checkpoint, put into ``folder``, or None if it begins anew."""
        content = self.trial.restore()
        if content is None:
            return None
        path = Path(folder) / "restored.ckpt"
        path.write_bytes(content)
        return str(path)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Its validation is over by now."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.metric not in logged:
            raise KeyError(f"the epoch logged no {self.metric}; it logged {', '.join(sorted(logged)) or 'nothing'}")
        self.trial.save(lambda: _checkpoint(trainer))
        answer = self.trial.report(step=trainer.current_epoch + 1, loss=logged.pop(self.metric), **logged)
        trainer.should_stop = trainer.should_stop or answer.stop
        for optimizer in trainer.optimizers:
            answer.scale_lr(optimizer)


def _checkpoint(trainer: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.ckpt"
        trainer.save_checkpoint(path)
        return path.read_bytes()
