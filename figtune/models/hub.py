"""A model's files on this machine: a local folder in the Hub's layout, or downloaded from the Hub into its cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from figtune.pipeline.errors import ResourceError

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
_LOG_IN = "log in with: hf auth login"
_FORBIDDEN = 403
_UNAUTHORIZED = 401


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
    snapshot = _download(name, revision, patterns)
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


def _download(name: str, revision: str | None, patterns: list[str]) -> Path:
    if revision is not None and (cached := _cached(name, revision, patterns)) is not None:
        return cached
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise ResourceError(
            f'"{name}" is neither a folder nor a Hub id', "a Hub id looks like google/gemma-3-4b-pt"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError) as failure:
        raise _explained(failure, name, revision) from None


def _cached(name: str, revision: str, patterns: list[str]) -> Path | None:
    """What an earlier run downloaded, complete, without asking the network again."""
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _explained(failure: Exception, name: str, revision: str | None) -> ResourceError:
    page = f"{constants.ENDPOINT}/{name}"
    token = get_token()
    if isinstance(failure, GatedRepoError):
        licence = f"accept the licence at {page}"
        return ResourceError(
            f"{name} is open only to those who have accepted its licence",
            f"{licence} with the account of your token" if token else f"{licence}, then {_LOG_IN}",
        )
    if isinstance(failure, RevisionNotFoundError):
        return ResourceError(
            f"{name} has no revision {revision}", f"see {page}/commits/main, or leave out --model.revision"
        )
    if isinstance(failure, HfHubHTTPError) and failure.response.status_code == _UNAUTHORIZED and token:
        return ResourceError(f"the Hub did not accept your token for {name}", f"renew it: {_LOG_IN}")
    if isinstance(failure, RepositoryNotFoundError):
        private = "" if token else f"; if it is private, {_LOG_IN}"
        return ResourceError(f"there is no model {name} on the Hub", f"check the name at {page}{private}")
    if isinstance(failure, HfHubHTTPError) and failure.response.status_code == _FORBIDDEN:
        return ResourceError(f"your token may not read {name}", f"give it read access, then {_LOG_IN}")
    if constants.HF_HUB_OFFLINE:
        return ResourceError(
            f"{name} is not wholly on this machine, and HF_HUB_OFFLINE is set",
            "unset it once, or give --model.name a local folder",
        )
    return ResourceError(
        f"{name} cannot be downloaded: no answer from {constants.ENDPOINT}",
        "check the network and run again, or give --model.name a local folder",
    )
