"""One image, one answer on stdout; and everything that can be wrong with the image, the prompt or the model."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.core.errors import ArtifactMissingError, FigtuneError, InputError, ResourceError, UsageError
from figtune.inference.ask import ask_about
from figtune.inference.generate import generate_answers
from figtune.inference.paper_figures import PromptSpec
from figtune.models.feature_cache import encode_image
from figtune.models.loading import load_tuned_model
from figtune.models.records import ADAPTER_FOLDER
from tests.extraction import hostile_pdfs
from tests.inference.conftest import CAPTION, SETTINGS
from tests.inference.trained_model import greedy
from tests.rows import each_row


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "figure.png"
    Image.new("RGB", (70, 40), "orange").save(path)
    return path


def ask(
    output: Path, about: Path, spec: PromptSpec = CAPTION, *, figure: str | None = None, answers: Path | None = None
) -> None:
    ask_about(output, about, spec, SETTINGS, figure=figure, answers=answers)


@pytest.mark.slow
def test_an_image_gets_the_tuned_models_answer(output: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_tuned_model(output, torch.device("cpu"), "train")
    features = [encode_image(loaded, Image.open(image))]
    expected = generate_answers(loaded, ["Describe this figure."], features, greedy(5))[0].text
    ask(output, image)
    assert capsys.readouterr().out == f"{expected}\n" != "\n"


@each_row(("mode", "name"), [("CMYK", "a.tiff"), ("I;16", "a.png"), ("P", "a.gif"), ("RGBA", "a.png")])
def test_images_of_every_mode_are_answered(
    output: Path, tmp_path: Path, mode: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new(mode, (50, 50)).save(tmp_path / name)
    ask(output, tmp_path / name)
    assert capsys.readouterr().out.strip()


def test_an_animation_is_answered_by_its_first_frame(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (50, 50), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    ask(output, tmp_path / "moving.gif")
    ask(output, tmp_path / "still.gif")
    moving, still = capsys.readouterr().out.splitlines()
    assert moving == still


def test_a_task_that_needs_a_paper_says_what_an_image_lacks(
    output: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(output, image, replace(CAPTION, task="explain"))
    said = capsys.readouterr()
    assert "explain was trained with title, section, caption in the prompt" in said.err
    assert "--figure" in said.err
    assert said.out.strip()


@each_row(
    ("spec", "prompt"),
    [
        (
            replace(CAPTION, dataset_prompt="Report on this scan."),
            "Report on this scan.",
        ),
        (
            replace(CAPTION, custom_prompt="How many?", dataset_prompt="Report on this scan."),
            "How many?",
        ),
        (
            replace(CAPTION, task="describe"),
            "Write a technical description of what this figure illustrates.",
        ),
    ],
)
def test_what_is_asked_about_an_image(spec: PromptSpec, prompt: str) -> None:
    assert spec.image_prompt() == prompt


def test_nothing_trained_yet_names_the_command(tmp_path: Path, image: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"make it with: python train_model\.py"):
        ask(tmp_path / "nowhere", image)


def test_an_adapter_of_another_base_model(output: Path, image: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "output")
    settings = tmp_path / "output" / ADAPTER_FOLDER / "adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "base_model_name_or_path": "someone/else"}))
    with pytest.raises(InputError, match="was trained on someone/else, not on"):
        ask(tmp_path / "output", image)


def test_without_its_base_model_it_cannot_answer(unloadable: Path, image: Path) -> None:
    """So the refusals below come before the model is loaded."""
    with pytest.raises(ResourceError):
        ask(unloadable, image)


def _text(path: Path) -> None:
    path.write_text("no image")


def _truncated(path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def _enormous(path: Path) -> None:
    """300 million pixels, by its header."""
    header = struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(bytes(1000)))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _absent(path: Path) -> None:
    assert not path.exists()


@each_row(
    ("make", "says"),
    [
        (_text, r"a\.png is no image, or a broken one"),
        (_truncated, r"a\.png is no image, or a broken one"),
        (_enormous, r"a\.png has more than 40 million pixels"),
        (_pipe, r"a\.png is not a regular file"),
        (_absent, r"there is no image .*a\.png"),
    ],
)
def test_images_that_cannot_be_used(unloadable: Path, tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(InputError, match=says):
        ask(unloadable, tmp_path / "a.png")


@pytest.mark.slow
@each_row(
    ("make", "says"),
    [
        (hostile_pdfs.write_encrypted, r"a\.pdf is encrypted"),
        (hostile_pdfs.write_scan, r"a\.pdf has no text layer: it seems to be a scan"),
        (hostile_pdfs.write_web_page, r"a\.pdf is not a PDF"),
        (_pipe, r"a\.pdf is not a regular file"),
        (_absent, r"there is no paper .*a\.pdf"),
    ],
)
def test_papers_that_cannot_be_used(unloadable: Path, tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    make(tmp_path / "a.pdf")
    with pytest.raises(InputError, match=says):
        ask(unloadable, tmp_path / "a.pdf", figure="1")


def test_a_prompt_longer_than_the_model_reads_is_refused(unloadable: Path, image: Path) -> None:
    with pytest.raises(InputError, match=r"the prompt takes \d+ text tokens, and the model was trained on at most 128"):
        ask(unloadable, image, replace(CAPTION, custom_prompt="many words " * 100))


@each_row(
    ("flags", "says"),
    [
        ({"spec": replace(CAPTION, custom_prompt="  ")}, "the prompt is empty"),
        ({"figure": "3"}, "--figure is for papers"),
        ({"answers": Path("answers.jsonl")}, "--answers is for folders"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    unloadable: Path, image: Path, flags: dict[str, object], says: str
) -> None:
    with pytest.raises(FigtuneError, match=says) as refusal:
        ask(unloadable, image, **flags)  # type: ignore[arg-type]
    assert isinstance(refusal.value, UsageError)
