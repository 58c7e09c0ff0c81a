"""A tiny trained model, and the terms it is asked under."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from config import EXTRACT
from figtune.models.records import BASE_FOLDER
from figtune.talk.paper import Reading
from figtune.talk.terms import Request, Terms
from tests.answers.trained import greedy, write_trained_model

READING = Reading(extract=replace(EXTRACT, dpi=72, longest_side=512, timeout_seconds=60.0), max_context_words=100)
TERMS = Terms("cpu", 2, greedy(5), READING, strict=False)
CAPTION = Request("caption", custom_prompt=None, usual=None)


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUTPUT of a tiny model."""
    folder = tmp_path_factory.mktemp("output")
    write_trained_model(folder)
    return folder


@pytest.fixture(scope="session")
def unloadable(output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the base model's weights: whatever is refused here was refused before they were wanted."""
    folder = tmp_path_factory.mktemp("unloadable") / "output"
    shutil.copytree(output, folder)
    (folder / BASE_FOLDER / "model.safetensors").unlink()
    return folder
