"""Exports of a base model in the Hub's layout load in transformers 4 and 5, with the same logits.

$FIGTUNE_TRANSFORMERS4 names the Python of an environment with transformers 4.57 and peft; without it, the contents of
the files are checked alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from figtune.export.merge import export_merged
from figtune.models.records import PROCESSOR_FILES
from figtune.models.setup import set_up_model
from tests.inference.trained_model import write_dataset
from tests.models.hub_layout import MODEL_TYPES, write_hub_base
from tests.models.tuned import choice
from tests.rows import each_row

TRANSFORMERS_4 = os.environ.get("FIGTUNE_TRANSFORMERS4")
_PROBE = Path(__file__).with_name("export_logits.py")


@dataclasses.dataclass(frozen=True)
class Exported:
    """A base model, and OUTPUT with adapter, processor and merged model."""

    base: Path
    output: Path


@pytest.fixture(scope="module", params=(*MODEL_TYPES, "tiny-gemma3", "tiny-paligemma"))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """LoRA in both halves and the projector, all moved."""
    folder = tmp_path_factory.mktemp("exported")
    made, name = Exported(base=folder / "base", output=folder / "output"), request.param
    if name.startswith("tiny-"):
        made = Exported(base=folder / "output" / "base", output=folder / "output")
    else:
        write_hub_base(made.base, name)
        name = str(made.base)
    set_up_model(made.output, choice(name, ("decoder", "projector", "vision")))
    weights = made.output / "adapter" / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(5)
    moved = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in _sorted(weights)}
    save_file(moved, weights, metadata={"format": "pt"})
    write_dataset(folder / "dataset", test_papers=1)
    export_merged(folder / "dataset", made.output, made.output / "merged", "cpu")
    return made


def _sorted(weights: Path) -> list[tuple[str, torch.Tensor]]:
    return sorted(load_file(weights).items())


@pytest.mark.slow
def test_a_merged_configuration_is_the_bases_but_for_the_dtype(exported: Exported) -> None:
    merged = json.loads((exported.output / "merged" / "config.json").read_text())
    base = json.loads((exported.base / "config.json").read_text())
    assert base["torch_dtype"] == base["text_config"]["torch_dtype"] == "float32"
    assert list(_dtypes(merged)) == ["bfloat16"] * 3
    assert json.loads(json.dumps(merged).replace("bfloat16", "float32")) == base


def _dtypes(config: dict[str, object]) -> Iterator[object]:
    for name, value in config.items():
        if name in ("torch_dtype", "dtype"):
            yield value
        elif isinstance(value, dict):
            yield from _dtypes(value)


@pytest.mark.slow
@each_row("name", ["processor", "merged"])
def test_tokenizer_and_processor_are_the_bases_files(exported: Exported, name: str) -> None:
    folder = exported.output / name
    for file in (file for file in PROCESSOR_FILES if (exported.base / file).is_file()):
        assert (folder / file).read_bytes() == (exported.base / file).read_bytes()
    assert (folder / "chat_template.jinja").is_file()


def test_what_is_exported_names_no_folder_of_this_machine(exported: Exported) -> None:
    written = {path: path.read_bytes() for path in (exported.output / "merged").rglob("*") if path.is_file()}
    assert len(written) > 5
    private = [str(exported.output.parent), str(Path.home())]
    assert [str(path) for path, content in written.items() for name in private if name.encode() in content] == []


def test_weights_have_the_names_of_the_hub(exported: Exported) -> None:
    assert load_file(exported.output / "merged" / "model.safetensors").keys() == (
        load_file(exported.base / "model.safetensors").keys()
    )
    adapted = [name for name, _ in _sorted(exported.output / "adapter" / "adapter_model.safetensors")]
    vision = [name for name in adapted if "vision_tower" in name]
    assert len(vision) == 2 * 6 * 2
    assert all("vision_tower.vision_model.encoder" in name for name in vision)


@pytest.mark.skipif(TRANSFORMERS_4 is None, reason="$FIGTUNE_TRANSFORMERS4 names no Python with transformers 4.57")
def test_both_versions_compute_the_same(exported: Exported, tmp_path: Path) -> None:
    new = _logits(sys.executable, exported, tmp_path / "5.safetensors")
    old = _logits(str(TRANSFORMERS_4), exported, tmp_path / "4.safetensors")
    assert (new["adapter"] - new["base"]).abs().max() > 1, "the adapter changes something"
    for name in ("base", "adapter", "merged"):
        torch.testing.assert_close(old[name], new[name], rtol=1e-5, atol=1e-4)


def _logits(python: str, exported: Exported, file: Path) -> dict[str, torch.Tensor]:
    command = (python, "-W", "ignore", str(_PROBE), str(exported.base), str(exported.output), str(file))
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    return load_file(file)
