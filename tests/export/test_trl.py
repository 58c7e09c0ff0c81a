"""TRL takes the loss over the tokens of an export that figtune takes it over.

$FIGTUNE_TRL names the Python of an environment with trl.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from figtune.batching.tokenization import tokenize_example
from figtune.core.artifacts import Stage, provenance, write_manifest
from figtune.core.jsonl import read_records
from figtune.dataset.export import export_examples
from figtune.dataset.records import DATASET_CONTENTS, Example, examples_file
from figtune.models.families import family_of
from figtune.models.setup import set_up_model
from tests.inference.trained_model import write_dataset
from tests.models.hub_layout import write_hub_base
from tests.models.tuned import choice

_TRL = os.environ.get("FIGTUNE_TRL")
_PROBE = Path(__file__).with_name("trl_training.py")


@pytest.mark.skipif(_TRL is None, reason="$FIGTUNE_TRL names no Python with trl")
def test_trl_learns_the_completions_and_nothing_else(tmp_path: Path) -> None:
    base, model, dataset = tmp_path / "base", tmp_path / "model", tmp_path / "dataset"
    write_hub_base(base, "gemma3")
    set_up_model(model, choice(str(base)))
    write_dataset(dataset, test_papers=1)
    stage = Stage(name="prepare", version=1, folder=dataset, command="", settings={}, outputs=DATASET_CONTENTS)
    (dataset / examples_file("val")).touch()
    write_manifest(stage, provenance(stage, {}), {})
    export_examples(dataset, tmp_path / "export")
    found = _trained(base, model / "processor", tmp_path / "export")
    family = family_of("gemma3", "")
    processor = family.load_processor(model / "processor")
    layout = family.image_layout(processor, (180, 120))
    examples = read_records(dataset / examples_file("train"), Example, "")
    assert examples is not None
    rows = [
        tokenize_example(family, processor, example.prompt, example.completion, layout, 128) for example in examples
    ]
    assert found["targets"] == [[label for label in row.labels if label >= 0] for row in rows]
    assert len(found["losses"]) == 2


def _trained(base: Path, processor: Path, export: Path) -> dict[str, list[object]]:
    command = (str(_TRL), "-W", "ignore", str(_PROBE), str(base), str(processor), str(export))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[object]] = json.loads(ran.stdout.splitlines()[-1])
    return found
