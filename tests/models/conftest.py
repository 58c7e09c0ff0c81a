"""Tiny models, built once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from figtune.models.families import family_of
from figtune.models.family import Family
from figtune.models.loading import load_processor
from figtune.models.tiny import TINY_MODELS


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the tiny models by `model_type`, in the Hub's layout."""
    torch.set_num_threads(1)
    folders = {}
    for name, build in TINY_MODELS.items():
        folder = tmp_path_factory.mktemp("hub") / name
        build(folder)
        folders[name.removeprefix("tiny-")] = folder
    return folders


@pytest.fixture(scope="session")
def families() -> dict[str, Family]:
    """By `model_type`."""
    return {name: family_of(name, name) for name in ("gemma3", "paligemma")}


@pytest.fixture(scope="session")
def processors(tiny_folders: dict[str, Path]) -> dict[str, object]:
    """By `model_type`."""
    return {name: load_processor(folder) for name, folder in tiny_folders.items()}
