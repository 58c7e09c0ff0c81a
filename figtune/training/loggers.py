"""Experiment trackers: TensorBoard files beside the output, and every tracker that transformers knows."""

# ruff: noqa: ARG002 - the signatures are the Trainer's

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_reporting_integration_callbacks,
    rewrite_logs,
)

from figtune.core.errors import ResourceError, UsageError
from figtune.models.records import TENSORBOARD_FOLDER, AnswerLine
from figtune.training.callbacks import SampleGenerationCallback

TENSORBOARD = "tensorboard"
_OFFLINE = {
    "wandb": ("WANDB_MODE", "offline"),
    "comet_ml": ("COMET_START_ONLINE", "0"),
    "neptune": ("NEPTUNE_MODE", "offline"),
    "swanlab": ("SWANLAB_MODE", "offline"),
    "clearml": ("CLEARML_OFFLINE_MODE", "1"),
}
"""Environment variables that keep trackers offline; one that the user has set stays."""


def check_trackers(names: Sequence[str]) -> None:
    """Check that each tracker can be used, and keep trackers that upload runs offline unless asked.

    Raises:
        UsageError: transformers does not know a name.
        ResourceError: a package is not installed, or a tracker cannot be used as configured.
    """
    for name in names:
        if name in _OFFLINE:
            os.environ.setdefault(*_OFFLINE[name])
        if name not in INTEGRATION_TO_CALLBACK:
            known = " ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise UsageError(f"there is no tracker {name}", f"choose --train.trackers from: {known}")
        try:
            for callback in get_reporting_integration_callbacks(name):  # type: ignore[no-untyped-call]
                callback()
        except (ImportError, RuntimeError) as failure:
            reason = str(failure).strip().splitlines()[0].rstrip(".")
            raise ResourceError(f"the tracker {name} cannot be used: {reason}", "or leave it out") from None


def other_trackers(names: Sequence[str]) -> list[str]:
    """Return the trackers that the Trainer reports to itself."""
    return [name for name in names if name != TENSORBOARD]


class TensorBoardCallback(TrainerCallback):
    """Writes TensorBoard files. A resumed run rewrites them, so that nothing is in them twice."""

    def __init__(self, output_dir: Path, samples: SampleGenerationCallback) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = output_dir / TENSORBOARD_FOLDER
        self._samples = samples
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer = SummaryWriter(str(self._folder))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Write what was logged before the run was resumed."""
        for entry in state.log_history:
            self._add_scalars(entry, int(entry["step"]))
        self._add_samples(self._samples.lines)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Write scalars."""
        self._add_scalars(logs or {}, state.global_step)
        self._writer.flush()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Write the answers of this evaluation."""
        self._add_samples([line for line in self._samples.lines if line.step == state.global_step])
        self._writer.flush()

    def close(self) -> None:
        """Flush and close, however the run ended."""
        self._writer.close()

    def _add_scalars(self, logs: Mapping[str, float], step: int) -> None:
        for name, value in rewrite_logs(dict(logs)).items():  # type: ignore[no-untyped-call]
            self._writer.add_scalar(name, value, step)

    def _add_samples(self, lines: Sequence[AnswerLine]) -> None:
        for line in lines:
            self._writer.add_text(f"answers/{line.example_id}", f"{line.answer}\n\n> {line.reference}", line.step)
