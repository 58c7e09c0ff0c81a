"""Post-training stages and their settings: a merged model, GGUF files of it, and an upload to the Hub."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from figtune.core import commands
from figtune.core.artifacts import Dependency, Stage
from figtune.core.cli import StageScript
from figtune.core.errors import UsageError
from figtune.core.jsonl import read_json
from figtune.core.settings import RunSettings, check_pair
from figtune.core.stages import StageResult, StageSummary, run_if_stale
from figtune.models.records import (
    GGUF_CONTENTS,
    GGUF_FOLDER,
    GGUF_VERSION,
    MERGE_VERSION,
    MERGED_CONTENTS,
    MERGED_FOLDER,
    MODEL_FILE,
    TRAINED_MODEL,
    ModelRecord,
    Quantization,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportSettings(RunSettings):
    """Post-training export: merge the adapter, convert it for llama.cpp, upload it to the Hub."""

    merge: bool
    """After training, merge base model and adapter into one, in bfloat16, that loads and serves without peft."""
    gguf: Path | None
    """After merging, which this asks for too, write GGUF files for llama.cpp and Ollama into OUTPUT/gguf: a folder of
    llama.cpp, whose converter is run; its server, built there or on the PATH, is asked to check them."""
    gguf_quantization: Quantization
    """Quantization of the text model's GGUF file; below 8 bits it needs llama-quantize, built there or on the PATH."""
    push_to_hub: str | None
    """After training, upload what it has left to this repository of the Hub, USER/NAME; a merged model to
    USER/NAME-merged."""
    push_public: bool
    """A repository that --push_to_hub creates is for everybody to see, not private."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pair(self.push_to_hub is not None or not self.push_public, "push_public", "together with --push_to_hub")


Settings = TypeVar("Settings", bound=ExportSettings)


def post_training_stages(settings: Settings, model_name: str) -> list[StageScript[Settings]]:
    """Return the requested stages, which read OUTPUT after training.

    Raises:
        UsageError: requested in each of several processes.
    """
    asked: list[StageScript[Settings]] = []
    if settings.merge or settings.gguf is not None:
        asked.append(StageScript(describe=_merge_stage, run=_run_merge))
    if settings.gguf is not None:
        asked.append(
            StageScript(
                describe=_gguf_stage,
                run=_run_gguf,
                check=partial(_check_gguf_model, model_name),
                check_request=_check_gguf,
            )
        )
    if settings.push_to_hub is not None:
        asked.append(StageScript(describe=_push_stage, run=_run_push, check=_check_push))
    if asked and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "one process is enough for --merge, --gguf and --push_to_hub",
            f"leave them out here, and run `{commands.TRAIN}` with them afterwards, without a launcher",
        )
    return asked


def _needs(settings: ExportSettings) -> tuple[Dependency, ...]:
    return (Dependency(stage="train", folder=settings.output_dir, command=commands.TRAIN, reads=TRAINED_MODEL),)


def _merge_stage(settings: ExportSettings) -> Stage:
    return Stage(
        name="merge",
        version=MERGE_VERSION,
        folder=settings.output_dir / MERGED_FOLDER,
        command=f"{commands.TRAIN} --merge",
        settings={},
        needs=_needs(settings),
        outputs=MERGED_CONTENTS,
        staging_folder=settings.output_dir / ".partial-merged",
    )


def _run_merge(settings: ExportSettings) -> StageSummary:
    from figtune.export.merge import serving_commands

    stage = _merge_stage(settings)
    summary = _run_stage(settings, stage, partial(_merge, settings))
    logger.info(f"serve it with one of: {'; '.join(serving_commands(stage.folder))}")
    return summary


def _merge(settings: ExportSettings, folder: Path) -> StageResult:
    from figtune.export.merge import export_merged

    agreement = export_merged(settings.dataset_dir, settings.output_dir, folder, settings.device)
    logger.info(f"merge: the merged model agrees with the adapter: {agreement.sentence}")
    return StageResult(counts={"examples compared": agreement.examples, "tokens compared": agreement.tokens})


def _gguf_stage(settings: ExportSettings) -> Stage:
    merge = _merge_stage(settings)
    return Stage(
        name="gguf",
        version=GGUF_VERSION,
        folder=settings.output_dir / GGUF_FOLDER,
        command=f"{commands.TRAIN} --gguf {settings.gguf}",
        settings={"gguf_quantization": settings.gguf_quantization},
        needs=(Dependency(stage="merge", folder=merge.folder, command=merge.command, reads=MERGED_CONTENTS),),
        outputs=GGUF_CONTENTS,
        staging_folder=settings.output_dir / ".partial-gguf",
    )


def _check_gguf(settings: ExportSettings) -> None:
    """Find llama.cpp's programs before hours of training."""
    from figtune.export.llama_cpp import find_llama_cpp

    find_llama_cpp(settings.gguf or Path(), settings.gguf_quantization)


def _check_gguf_model(model_name: str, settings: ExportSettings) -> None:
    """Refuse a model that cannot be converted before it is trained, if it is the one that is configured already."""
    from figtune.export.llama_cpp import check_convertible

    file = settings.model_dir / MODEL_FILE
    if file.is_file() and (record := read_json(file, ModelRecord, commands.SETUP)).name == model_name:
        check_convertible(record)


def _run_gguf(settings: ExportSettings) -> StageSummary:
    return _run_stage(settings, _gguf_stage(settings), partial(_gguf, settings))


def _gguf(settings: ExportSettings, folder: Path) -> StageResult:
    from figtune.export.gguf import export_gguf
    from figtune.export.llama_cpp import find_llama_cpp

    quantization, merged = settings.gguf_quantization, settings.output_dir / MERGED_FOLDER
    programs = find_llama_cpp(settings.gguf or Path(), quantization)
    found = export_gguf(settings.dataset_dir, settings.output_dir, merged, folder, programs, quantization)
    if found is None:
        logger.warning(
            "gguf: not checked against the merged model: llama-server is neither in the llama.cpp folder nor on the "
            "PATH; with it, run the same command with --force"
        )
        return StageResult(counts={"files": len(GGUF_CONTENTS)})
    logger.info(f"gguf: checked: {found.sentence}")
    return StageResult(counts={"files": len(GGUF_CONTENTS), "answers compared": found.examples})


def _push_stage(settings: ExportSettings) -> Stage:
    command = f"{commands.TRAIN} --push_to_hub {settings.push_to_hub}"
    return Stage.on_request("push", settings.output_dir, command, "asked for with --push_to_hub", _needs(settings))


def _check_push(settings: ExportSettings) -> None:
    """Check the access to the Hub before hours of training."""
    from figtune.export.hub_upload import Upload, check_upload_access

    check_upload_access(Upload(repository=settings.push_to_hub or "", public=settings.push_public))


def _run_push(settings: ExportSettings) -> StageSummary:
    return _run_stage(settings, _push_stage(settings), partial(_push, settings))


def _push(settings: ExportSettings, _: Path) -> StageResult:
    from figtune.export.hub_upload import Upload, push_adapter, push_merged

    upload = Upload(repository=settings.push_to_hub or "", public=settings.push_public)
    files = push_adapter(settings.output_dir, upload)
    if settings.merge:
        files += push_merged(settings.output_dir / MERGED_FOLDER, settings.output_dir, upload)
    return StageResult(counts={"files": files})


def _run_stage(settings: ExportSettings, stage: Stage, produce: Callable[[Path], StageResult]) -> StageSummary:
    return run_if_stale(stage, produce, lock_folders=(settings.work_dir, settings.output_dir), force=settings.force)
