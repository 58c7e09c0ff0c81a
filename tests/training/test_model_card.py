"""Statements of the card about its source; the lines that it and the README print load what they promise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from figtune.batching.dataset import DatasetSplits
from figtune.dataset.records import CUSTOM_TASK, Example
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.generate import Question, load_model, predict
from figtune.models.loading import load_tuned_model
from figtune.models.lora import save_adapter
from figtune.models.records import ADAPTER_FOLDER, AdapterMode, ImageFit
from figtune.models.settings import AdapterSettings
from figtune.models.setup import set_up_model
from figtune.models.usage_code import usage_code
from figtune.training.model_card import write_card
from figtune.training.outputs import TrainingSummary
from tests.hub_server import serving
from tests.inference.trained_model import greedy, write_trained_model
from tests.models.tuned import PROMPT, choice, pictures
from tests.training.runs import SETTINGS

ROOT = Path(__file__).parents[2]
SUMMARY = TrainingSummary(
    examples=3,
    truncated=0,
    left_out=1,
    steps=9,
    planned_steps=9,
    kept_step=9,
    resumed_from=0,
    first_loss=3.0,
    last_loss=1.0,
    val_loss=None,
)
EXAMPLE = Example(
    example_id="1",
    task="caption",
    image="1.png",
    image_sha256="1",
    prompt="Describe it.",
    completion="A scan.",
    group="patient",
    source="",
    kind="",
)


def card_of(folder: Path, mode: AdapterMode, example: Example = EXAMPLE) -> str:
    record = read_adapter_record(folder)
    record = dataclasses.replace(record, adapter=dataclasses.replace(record.adapter, mode=mode))
    examples = DatasetSplits(train=[example] * 3, val=[], minitrain=[])
    write_card(folder, record, SETTINGS, SUMMARY, examples, [])
    return (folder / "README.md").read_text()


def code_of(page: str) -> str:
    """The one Python block that loads a processor."""
    (code,) = (block.split("```")[0] for block in page.split("```python\n")[1:] if "AutoProcessor" in block)
    return code


def asked_by(code: str, capsys: pytest.CaptureFixture[str], picture: Image.Image | None = None) -> str:
    """Run the code in the current folder, about `figure.png`, and return the answer that it prints."""
    (picture or pictures()[0]).save("figure.png")
    capsys.readouterr()
    exec(code, {})
    return capsys.readouterr().out.strip()


def answer_of(output: Path, picture: Image.Image | None = None) -> str:
    """Return the answer that test_model.py prints."""
    question = Question(image=picture or pictures()[0], prompt=PROMPT)
    (answer,) = predict(load_model(output, "cpu"), [question], greedy(256))
    return answer.text


def loaded_by(code: str) -> nn.Module:
    names: dict[str, object] = {}
    exec(code, names)
    model = names["model"]
    assert isinstance(model, nn.Module)
    return model


def test_the_wording_follows_the_source(tmp_path: Path) -> None:
    write_trained_model(tmp_path)
    of_papers = card_of(tmp_path, "lora")
    assert "fine-tuned on figures of research papers" in of_papers
    assert "| split | examples | figures | papers | tasks |" in of_papers
    scan = dataclasses.replace(EXAMPLE, task=CUSTOM_TASK)
    of_scans = card_of(tmp_path, "lora", scan)
    assert "| split | examples | images | groups | tasks |\n|---|---|---|---|---|\n| train | 3 | 1 | 1 |" in of_scans
    assert "figure" not in of_scans.split("## Training")[0]
    assert "paper" not in of_scans.split("## Training")[0]


def test_settings_of_lora_are_told_where_there_is_lora(tmp_path: Path) -> None:
    write_trained_model(tmp_path)
    assert "| adapter rank | " in card_of(tmp_path, "qlora")
    projector = card_of(tmp_path, "projector")
    assert "rank" not in projector
    assert "| adapter freeze | none |" in projector


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, in plain use
def test_the_readme_answers_as_figtune_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    write_trained_model(output)
    with serving(monkeypatch, tmp_path) as hub:
        hub.models["google/gemma-3-4b-pt"] = {path.name: path.read_bytes() for path in (output / "base").iterdir()}
        monkeypatch.chdir(output)
        theirs = asked_by(code_of((ROOT / "README.md").read_text(encoding="utf-8")), capsys)
    assert theirs == answer_of(output)
    assert len(theirs.split()) > 1


def test_the_readme_has_the_lines_of_the_card(tmp_path: Path) -> None:
    write_trained_model(tmp_path)
    record = dataclasses.replace(read_adapter_record(tmp_path), base="google/gemma-3-4b-pt")
    assert f"```python\n{usage_code(record)}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, in plain use
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of PaliGemma's processor
@pytest.mark.parametrize(
    ("name", "mode", "image_fit"),
    [("tiny-paligemma", "projector", "squash"), ("tiny-gemma3", "qlora", "letterbox")],
)
def test_the_card_answers_as_figtune_does(
    name: str,
    mode: AdapterMode,
    image_fit: ImageFit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_trained_model(tmp_path, name=name, mode=mode, image_fit=image_fit)
    code = code_of(card_of(tmp_path, mode))
    if mode == "qlora":
        # Tiny models compute in float32, real ones in bfloat16.
        code = code.replace('bnb_4bit_compute_dtype="bfloat16"', 'bnb_4bit_compute_dtype="float32"')
    monkeypatch.chdir(tmp_path)
    assert asked_by(code, capsys) == answer_of(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, in plain use
def test_the_card_cuts_the_tiles_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trained_model(tmp_path, tiles=4)
    wide = Image.effect_mandelbrot((900, 280), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    code = code_of(card := card_of(tmp_path, "lora"))
    assert "| tiles | 4 |" in card
    monkeypatch.chdir(tmp_path)
    answer = asked_by(code, capsys, wide)
    assert answer == answer_of(tmp_path, wide)
    assert answer != asked_by(code.replace("do_pan_and_scan=True", "do_pan_and_scan=False"), capsys, wide)


def test_the_card_tells_the_least_versions(tmp_path: Path) -> None:
    write_trained_model(tmp_path)
    assert "transformers 4.57 or later" in card_of(tmp_path, "lora")
    assert "enable-tower-connector-lora" not in card_of(tmp_path, "lora")
    assert "transformers 5 or later" in card_of(tmp_path, "full")
    set_up_model(tmp_path / "vision", choice("tiny-gemma3", ("vision",)))
    assert "--enable-tower-connector-lora" in card_of(tmp_path / "vision", "lora")


@pytest.mark.slow
def test_the_card_loads_a_model_trained_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = AdapterSettings(mode="full", rank=1, alpha=1, dropout=0.0, targets=("decoder",))
    set_up_model(tmp_path, dataclasses.replace(choice("tiny-gemma3"), adapter=whole))
    tuned = load_tuned_model(tmp_path, torch.device("cpu"), "setup", trainable=True).peft_model
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.01
    save_adapter(tuned, tmp_path / ADAPTER_FOLDER)
    code = code_of(card_of(tmp_path, "full"))
    monkeypatch.chdir(tmp_path)
    pictures()[0].save("figure.png")
    theirs = loaded_by(code).state_dict()
    ours = tuned.get_base_model().state_dict()
    assert all(torch.equal(theirs[name], weight) for name, weight in ours.items())
