"""What identifies a base model that lies in a folder, without reading its gigabytes."""

from __future__ import annotations

from pathlib import Path

from figtune.core.io import sha256_of

_WEIGHTS = ".safetensors"


def files_of(name: str) -> dict[str, str]:
    """The files of a local model: small ones by their sha256, weights by their size. Empty for any other name.

    A Hub repository is identified by its name and revision, and which commit that was is recorded by setup.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", _WEIGHTS))
    return {path.name: _identity(path) for path in files}


def _identity(path: Path) -> str:
    return f"{path.stat().st_size} bytes" if path.suffix == _WEIGHTS else sha256_of(path)
