"""A data set and a model for runs: each module has its own, since training adds cached features to the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from figtune.models.setup import set_up_model
from tests.models.tuned import choice
from tests.training.runs import write_examples


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_examples(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    set_up_model(folder, choice("tiny-gemma3"))
    return folder
