"""What a run leaves behind: everything that testing needs, so that it needs nothing of the work folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from figtune.models.records import (
    ADAPTER_FOLDER,
    ANSWERS_FILE,
    BASE_FOLDER,
    CURVES_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROCESSOR_FOLDER,
    MetricsLine,
    ModelRecord,
)
from figtune.pipeline.files import replacing_folder, write_bytes
from figtune.pipeline.records import write_json, write_records
from figtune.reports.curves import Curves, write_curves
from figtune.training.checkpoints import step_of

_ADAPTER_FILES = "adapter_*"
"""Of a checkpoint, which holds much else."""


def write_output(
    output_dir: Path, model_dir: Path, record: ModelRecord, trained: Path, lines: list[MetricsLine]
) -> None:
    """Write `adapter/`, `processor/`, `model.json`, `metrics.jsonl`, `answers.jsonl`, `curves.png`.

    For a tiny model `base/` too.

    Args:
        trained: the checkpoint whose adapter it is to be; the answers given on the way lie beside it.
    """
    with replacing_folder(output_dir / ADAPTER_FOLDER) as folder:
        for file in sorted(trained.glob(_ADAPTER_FILES)):
            shutil.copyfile(file, folder / file.name)
    copied = (PROCESSOR_FOLDER, BASE_FOLDER) if record.tiny else (PROCESSOR_FOLDER,)
    for name in copied:
        with replacing_folder(output_dir / name) as folder:
            shutil.copytree(model_dir / name, folder, dirs_exist_ok=True)
    answers = trained.parent / ANSWERS_FILE
    if answers.is_file():
        write_bytes(output_dir / ANSWERS_FILE, answers.read_bytes())
    write_json(output_dir / MODEL_FILE, record)
    write_records(output_dir / METRICS_FILE, lines)
    write_curves(output_dir / CURVES_FILE, _curves(lines, step_of(trained)))


def _curves(lines: list[MetricsLine], kept_step: int) -> Curves:
    def points(name: str) -> tuple[tuple[int, float], ...]:
        return tuple((line.step, getattr(line, name)) for line in lines if getattr(line, name) is not None)

    return Curves(
        train=points("loss"),
        val=points("val_loss"),
        minitrain=points("minitrain_loss"),
        rate=points("learning_rate"),
        kept_step=kept_step,
    )
