"""A model's files on this machine: a local folder in the Hub's layout, or downloaded from the Hub into its cache.

Those of its tokenizer and image processor are copied unchanged, but for image settings that were chosen: written anew
by one version of transformers they do not load in another. transformers 5 writes settings that 4 refuses, and leaves
out `tokenizer.model`, which converters to other formats read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figtune.core.errors import ResourceError
from figtune.core.hub import Repository, check_access, download
from figtune.core.io import write_text
from figtune.models.family import REMEDY, Family
from figtune.models.records import CHAT_TEMPLATE_FILE, PROCESSOR_FILES

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
"""Never pickled weights: reading those runs code."""
DESCRIPTION_FILES = ("config.json", "generation_config.json", *PROCESSOR_FILES)
_WEIGHTS = ".safetensors"
_PROCESSOR_FILES: Mapping[str, tuple[str, ...]] = {
    "tokenizer": ("tokenizer.json", "tokenizer.model"),
    "image processor": ("preprocessor_config.json", "processor_config.json"),
}

_IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
_COPIED = (*_IMAGE_FILES, "chat_template.json", CHAT_TEMPLATE_FILE)


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """Place of a model's files."""

    folder: Path
    commit: str | None
    """Commit of the Hub repository; None for a folder given by the user."""


def find_model(name: str, revision: str | None, *, weights: bool) -> ModelFolder:
    """Return a model's folder, downloaded where it is not here yet.

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
    """Return a folder that has what a model needs."""
    if not (found.folder / "config.json").is_file():
        raise ResourceError(
            f"{name} holds no model: there is no config.json", "give --model.name a model's folder or Hub id"
        )
    if weights and not any(found.folder.glob(f"*{_WEIGHTS}")):
        raise _no_weights(name)
    return found


@dataclass(kw_only=True)
class ImageTextProcessor:
    """Tokenizer and image processor of a model whose own processor needs packages for videos."""

    tokenizer: Any = field(repr=False)
    image_processor: Any = field(repr=False)
    chat_template: str | dict[str, str] | None
    folder: Path
    """Folder that it was read from."""

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the files that it was read from into a folder, and a chat template that it was given."""
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(target)
        for name in _COPIED:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, target / name)
        if isinstance(self.chat_template, str) and not (target / CHAT_TEMPLATE_FILE).exists():
            write_text(target / CHAT_TEMPLATE_FILE, self.chat_template)


def copy_processor(
    base: Path, folder: Path, family: Family, image_settings: Mapping[str, bool | int | float] | None = None
) -> None:
    """Copy the files, and add the family's chat template where the base model has none, as pretrained ones have not.

    Servers and trainers give conversations; the template lays them out as in training.

    Raises:
        ResourceError: there is no processor that can be read.
    """
    from figtune.models.quiet import damage_explained

    for name in PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    if image_settings:
        with damage_explained(f"{base} has no processor that can be read", REMEDY):
            _change_image_settings(folder, image_settings)
    if not family.load_processor(folder).chat_template:
        write_text(folder / CHAT_TEMPLATE_FILE, family.chat_template)


def _change_image_settings(folder: Path, settings: Mapping[str, bool | int | float]) -> None:
    """Change them where they stand: in a file of their own, or among those of the whole processor."""
    for name in _IMAGE_FILES:
        if not (folder / name).is_file():
            continue
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        part = content.get("image_processor") if name == "processor_config.json" else content
        if part is not None:
            part.update(settings)
            write_text(folder / name, json.dumps(content, indent=2) + "\n")
