"""The Hugging Face ``Trainer`` as one's own training: a callback that reports its evaluations (extra ``transformers``).

def train(config, trial):
    args = TrainingArguments(output_dir=…, eval_strategy="steps", eval_steps=50, max_steps=trial.steps, …)
    report = ReportCallback(trial)
    trainer = Trainer(model, args, train_dataset=…, eval_dataset=…, callbacks=[report])
    trainer.train(resume_from_checkpoint=report.resume_from(args.output_dir))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from metasearch.training.own import RunningTrial


class ReportCallback(TrainerCallback):  # type: ignore[misc]
    """Reports ``metric`` after every evaluation, at the trainer's optimizer step, with the trainer's checkpoint of that step.

    ``lr_scale`` of an answer multiplies the learning rates of the trainer's optimizer and of its scheduler. The trainer saves at
    every evaluation: set ``save_strategy="no"`` and ``save_total_limit=1``, and nothing else is kept.
    """

    def __init__(self, trial: RunningTrial, metric: str = "eval_loss") -> None:
        self.trial = trial
        self.metric = metric
        self._measured: dict[str, float] | None = None

    def resume_from(self, output_dir: str | None) -> str | None:
        """For ``trainer.train(resume_from_checkpoint=…)``: where the trial's checkpoint was put, or None if it begins anew."""
        files = self.trial.restore()
        if files is None:
            return None
        folder = Path(str(output_dir)) / "restored"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return str(folder)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **more: Any
    ) -> None:
        """The trainer saves after it has evaluated."""
        if self.metric not in metrics:
            raise KeyError(f"the evaluation has no {self.metric}; it has {', '.join(sorted(metrics))}")
        self._measured = {name: value for name, value in metrics.items() if isinstance(value, int | float) and name != "epoch"}
        control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        if self._measured is None:
            return
        measured, self._measured = self._measured, None
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self.trial.save(lambda: {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
        answer = self.trial.report(step=state.global_step, loss=measured.pop(self.metric), **measured)
        control.should_training_stop = control.should_training_stop or answer.stop
        answer.scale_lr(more["optimizer"], more["lr_scheduler"])
