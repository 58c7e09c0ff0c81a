"""A model's files on this machine: a local folder in the Hub's layout, or downloaded from the Hub into its cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from figtune.core.errors import ResourceError
from figtune.core.hub import Repository, check_access, download
from figtune.models.records import PROCESSOR_FILES

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
"""Never pickled weights: reading those runs code."""
DESCRIPTION_FILES = ("config.json", "generation_config.json", *PROCESSOR_FILES)
_WEIGHTS = ".safetensors"
_PROCESSOR_FILES: Mapping[str, tuple[str, ...]] = {
    "tokenizer": ("tokenizer.json", "tokenizer.model"),
    "image processor": ("preprocessor_config.json", "processor_config.json"),
}


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Place of a model's files."""

    folder: Path
    commit: str | None
    """Commit of the Hub repository; None for a folder given by the user."""


def find_model(name: str, revision: str | None, *, weights: bool) -> ModelFolder:
    """A model's folder, downloaded where it is not here yet.

    Args:
        name: a folder, or a Hub id such as "google/gemma-3-4b-pt".
        revision: branch, tag or commit of a Hub repository.
        weights: with the weights, or only what describes the model.

    Raises:
        ResourceError: it is unavailable; the remedy says which page to visit or what to type.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(ModelFolder(folder=folder.resolve(), commit=None), name, weights=weights)
    if folder.exists() or name.startswith((".", "/", "~")):
        what = "is a file" if folder.exists() else "is not there"
        raise ResourceError(
            f"the model folder {name} {what}", "give --model.name a folder in the Hub's layout or a Hub id"
        )
    patterns = [*DESCRIPTION_FILES, *(WEIGHT_FILES if weights else ())]
    snapshot = download(_repository(name, revision), patterns)
    return _checked(ModelFolder(folder=snapshot, commit=snapshot.name), name, weights=weights)


def check_model(name: str, revision: str | None) -> None:
    """Check that all of a model is available: its description is here or is downloaded, its weights are here or may be.

    Raises:
        ResourceError: no network, no licence, or files that are missing; the remedy says what to do.
    """
    found = find_model(name, revision, weights=False)
    _check_processor(found.folder, name)
    if _has_weights(found.folder):
        return
    if found.commit is None:
        raise _no_weights(name)
    if not any(file.endswith(_WEIGHTS) for file in check_access(_repository(name, found.commit), "config.json")):
        raise _no_weights(name)


def _check_processor(folder: Path, name: str) -> None:
    """See that a tokenizer and an image processor are there; whether they can be read shows when they are."""
    for what, files in _PROCESSOR_FILES.items():
        if not any((folder / file).is_file() for file in files):
            raise ResourceError(
                f"{name} has no {what}: none of {', '.join(files)} is there",
                "copy the file from the model's page on the Hub, or give --model.name another model",
            )


def _has_weights(folder: Path) -> bool:
    """Return True if all weight files of a folder are there, as far as their index tells."""
    for index in folder.glob(f"*{_WEIGHTS}.index.json"):
        try:
            shards = set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        return all((folder / str(shard)).is_file() for shard in shards)
    return any(folder.glob(f"*{_WEIGHTS}"))


def _no_weights(name: str) -> ResourceError:
    return ResourceError(
        f"{name} has no weights in the safetensors format, or not all of them",
        "give a model that has; other formats can run code",
    )


def _repository(name: str, revision: str | None) -> Repository:
    return Repository(
        kind="model", name=name, revision=revision, name_flag="--model.name", revision_flag="--model.revision"
    )


def _checked(found: ModelFolder, name: str, *, weights: bool) -> ModelFolder:
    """A folder that has what a model needs."""
    if not (found.folder / "config.json").is_file():
        raise ResourceError(
            f"{name} holds no model: there is no config.json", "give --model.name a model's folder or Hub id"
        )
    if weights and not any(found.folder.glob(f"*{_WEIGHTS}")):
        raise _no_weights(name)
    return found
