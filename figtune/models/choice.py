"""Choice of model and adapter, checked before anything is fetched or loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from figtune.core.io import sha256_of
from figtune.models.families import TINY_TYPES, family_of, model_type_of
from figtune.models.records import AdapterRecord, Dtype, ImageFit
from figtune.models.targets import targets_of

_WEIGHTS = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A base model, how it is to read examples, and what is to be trained of it."""

    name: str
    """A Hub id, a folder in the Hub's layout, or a reserved name of a tiny model."""
    revision: str | None
    dtype: Dtype
    image_fit: ImageFit
    image_tokens: int = 0
    """Most tokens of an image, in families where that can be chosen; 0 for the base model's own number."""
    tiles: int = 0
    """Most tiles of a wide or tall image beside the whole, in families that cut tiles by choice."""
    max_length: int
    """Text tokens of prompt and completion together."""
    adapter: AdapterRecord
    seed: int
    """Seed of the adapter's first weights."""


def check_choice(choice: ModelChoice) -> None:
    """Refuse what cannot be trained, as far as settings and what lies on this machine tell.

    Asks no network and imports no torch: it is meant to run before the first stage does.

    Raises:
        UsageError: targets, frozen parts, a dtype or image tokens that contradict each other or the model.
        ResourceError: the model is of no supported family.
    """
    targets_of(choice.adapter)
    model_type = _model_type(choice)
    if model_type is not None:
        family = family_of(model_type, choice.name)
        targets_of(choice.adapter, family)
        family.check_dtype(choice.dtype)
        family.image_settings(choice.image_tokens, choice.tiles)


def _model_type(choice: ModelChoice) -> str | None:
    """None where the model is not on this machine yet."""
    if choice.name in TINY_TYPES:
        return TINY_TYPES[choice.name]
    folder = Path(choice.name).expanduser()
    if not folder.is_dir():
        folder_of_cache = _cached(choice)
        return None if folder_of_cache is None else model_type_of(folder_of_cache, choice.name)
    return model_type_of(folder, choice.name) if (folder / "config.json").is_file() else None


def _cached(choice: ModelChoice) -> Path | None:
    """Return where an earlier download of a Hub repository lies."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(choice.name, "config.json", revision=choice.revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def local_model_fingerprint(name: str) -> dict[str, str]:
    """Return a cheap fingerprint of a local model folder: sha256 of small files, size of weights. Empty otherwise.

    A Hub repository is identified by its name and revision, and setup records which commit that was.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", _WEIGHTS))
    return {path.name: _identity(path) for path in files}


def _identity(path: Path) -> str:
    return f"{path.stat().st_size} bytes" if path.suffix == _WEIGHTS else sha256_of(path)
