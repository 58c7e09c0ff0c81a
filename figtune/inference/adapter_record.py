"""Checks before a trained model is loaded: the record of its adapter, and the file that it is asked about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from figtune.core import commands
from figtune.core.artifacts import check_recorded
from figtune.core.errors import ArtifactMissingError, InputError, UsageError
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_json
from figtune.models.records import ADAPTER_FOLDER, MODEL_FILE, TRAINED_MODEL, ModelRecord

_HEADER = b"%PDF-"
_HEADER_WITHIN = 1024  # bytes, as extraction looks for it


@dataclass(frozen=True)
class _AdapterOrigin:
    """The base model in peft's `adapter_config.json`."""

    base_model_name_or_path: str
    revision: str | None = None


def read_adapter_record(output_dir: Path) -> ModelRecord:
    """Return the base model and the settings of the adapter in `output_dir`.

    Raises:
        ArtifactMissingError: no trained adapter there, or its files have changed since they were written.
        InputError: the adapter is of another base model than `model.json` says.
    """
    adapter = output_dir / ADAPTER_FOLDER
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ArtifactMissingError(
            f"there is no trained adapter in {output_dir}",
            f"give its folder with --output_dir, or make it with: {commands.TRAIN} and the same flags",
        )
    check_recorded(output_dir, commands.TRAIN, TRAINED_MODEL, "the model")
    record = read_json(output_dir / MODEL_FILE, ModelRecord, commands.TRAIN)
    origin = read_json(adapter / "adapter_config.json", _AdapterOrigin, commands.TRAIN)
    if (origin.base_model_name_or_path, origin.revision) != (record.base, record.commit):
        raise InputError(
            f"the adapter in {adapter} was trained on {origin.base_model_name_or_path}, not on {record.base}",
            f"train again with: {commands.TRAIN} --force",
        )
    return record


def adapter_fingerprint(output_dir: Path) -> str | None:
    """Return the sha256, in hex, of `model.json` and the trained weights in OUTPUT; None if there are none."""
    files = (output_dir / MODEL_FILE, output_dir / ADAPTER_FOLDER / "adapter_model.safetensors")
    if not all(file.is_file() for file in files):
        return None
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def is_paper(path: Path) -> bool:
    """Return True for a PDF, by its name or by its first bytes."""
    if path.suffix.lower() == ".pdf":
        return True
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            return _HEADER in file.read(_HEADER_WITHIN)
    except OSError:
        return False


def check_input_file(about: Path, figure: str | None, answers: Path | None) -> None:
    """Check that an image, a PDF or a folder can be used with these flags.

    Raises:
        InputError: no such file, an unreadable one, or no image.
        UsageError: `figure` or `answers` without use.
    """
    if not about.exists():
        what = "paper" if is_paper(about) else "image"
        raise InputError(f"there is no {what} {about}", "check the path")
    if not about.is_dir() and not about.is_file():
        raise InputError(f"{about} is not a regular file", "give a PNG or JPEG file, a PDF, or a folder of images")
    if figure is not None and (about.is_dir() or not is_paper(about)):
        raise UsageError(f"--figure is for papers, and {about} is no PDF", "leave out --figure, or give a PDF")
    if about.is_dir():
        return
    if answers is not None:
        raise UsageError(f"--answers is for folders, and {about} is none", "leave it out: the answer goes to stdout")
    if not is_paper(about):
        from figtune.core.image_decoding import decode_file

        decode_file(about)
