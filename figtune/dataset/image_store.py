"""The images of a data set on disk: one file for each picture, named by its content."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from figtune.core.io import write_bytes
from figtune.dataset.images import EncodedImage
from figtune.dataset.records import IMAGES_FOLDER


def store_image(dataset_dir: Path, image: EncodedImage) -> str:
    """Write an image unless it is there already; return its path, relative to the dataset folder."""
    name = f"{image.facts.sha256}{image.suffix}"
    path = dataset_dir / IMAGES_FOLDER / name[:2] / name
    if not path.is_file():
        write_bytes(path, image.data)
    return path.relative_to(dataset_dir).as_posix()


def prune_images(dataset_dir: Path, wanted: Container[bytes]) -> None:
    """Remove what an earlier preparation kept and this one does not.

    Args:
        wanted: sha256 of the images to keep.
    """
    folder = dataset_dir / IMAGES_FOLDER
    for path in folder.glob("*/*"):
        if not _is_wanted(path, wanted):
            path.unlink()
    for below in (*folder.glob("*"), *folder.parent.glob(IMAGES_FOLDER)):
        if not any(below.iterdir()):
            below.rmdir()


def _is_wanted(path: Path, wanted: Container[bytes]) -> bool:
    try:
        return bytes.fromhex(path.stem) in wanted
    except ValueError:  # none of ours
        return False
