"""A model's files on this machine: a local folder in the Hub's layout, or downloaded from the Hub into its cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from figtune.pipeline.errors import ResourceError
from figtune.pipeline.hub import Repository, download

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
"""Never pickled weights: reading those runs code."""
DESCRIPTION_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
)


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Where a model's files are."""

    folder: Path
    commit: str | None
    """Of the Hub repository; None for a folder given by the user."""


def find_model(name: str, revision: str | None, *, weights: bool) -> ModelFolder:
    """A model's folder, downloaded where it is not here yet.

    Args:
        name: a folder, or a Hub id such as "google/gemma-3-4b-pt".
        revision: branch, tag or commit of a Hub repository.
        weights: with the weights, or only what describes the model.

    Raises:
        ResourceError: it is not to be had; the remedy says which page to visit or what to type.
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
    wanted = Repository(
        kind="model", name=name, revision=revision, name_flag="--model.name", revision_flag="--model.revision"
    )
    snapshot = download(wanted, patterns)
    return _checked(ModelFolder(folder=snapshot, commit=snapshot.name), name, weights=weights)


def _checked(found: ModelFolder, name: str, *, weights: bool) -> ModelFolder:
    """A folder that has what a model needs."""
    if not (found.folder / "config.json").is_file():
        raise ResourceError(
            f"{name} holds no model: there is no config.json", "give --model.name a model's folder or Hub id"
        )
    if weights and not any(found.folder.glob("*.safetensors")):
        raise ResourceError(
            f"{name} has no weights in the safetensors format", "give a model that has; other formats can run code"
        )
    return found
