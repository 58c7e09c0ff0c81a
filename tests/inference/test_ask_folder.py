"""A folder of images: a line each, whatever is in them, and none asked twice after an interruption."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from figtune.core.errors import InputError, NothingProducedError, PartialError, UsageError
from figtune.inference import ask as folder_module
from figtune.inference.ask import AskCounts, ImageAnswer, ask_about
from figtune.inference.generate import Answer, Question, predict
from figtune.inference.settings import Decoding
from figtune.models.loading import LoadedModel
from tests.inference.conftest import CAPTION, SETTINGS

NAMES = ["0.png", "1.jpg", "2.png", "3.PNG", "sub/4.png"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five images, the third broken, and a file that is none."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Image.new("RGB", (40 + 20 * number, 50), (50 * number, 120, 90)).save(tmp_path / "images" / name)
    (tmp_path / "images" / "2.png").write_text("broken")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def lines(text: str) -> list[ImageAnswer]:
    return [msgspec.json.decode(line, type=ImageAnswer) for line in text.splitlines()]


def ask(output: Path, images: Path, answers: Path | None = None) -> AskCounts:
    return ask_about(output, images, CAPTION, SETTINGS, figure=None, answers=answers)


def test_every_image_has_its_line(output: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(output, images) == AskCounts(answered=4, failed=1)
    said = capsys.readouterr()
    answers = lines(said.out)
    assert [answer.image for answer in answers] == NAMES
    problems = [answer.problem for answer in answers]
    assert problems.pop(2).startswith("2.png is no image, or a broken one: ")
    assert not any(problems)
    assert answers[0].answer
    assert "2.png is no image" in said.err
    ask_about(output, images / "sub" / "4.png", CAPTION, SETTINGS, figure=None, answers=None)
    assert capsys.readouterr().out == f"{answers[4].answer}\n", "the same as when asked alone"


def test_strict_ends_in_an_error_after_all_are_answered(
    output: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PartialError, match="images without an answer: 1"):
        ask_about(output, images, CAPTION, replace(SETTINGS, strict=True), figure=None, answers=None)
    assert len(lines(capsys.readouterr().out)) == len(NAMES)


@pytest.mark.slow
def test_an_interrupted_run_carries_on_and_writes_the_same_bytes(
    output: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(output, images, tmp_path / "whole.jsonl")
    asked: list[int] = []

    def interrupted(loaded: LoadedModel, questions: Sequence[Question], decoding: Decoding) -> list[Answer]:
        if len(asked) == 1:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(questions))
        return predict(loaded, questions, decoding)

    monkeypatch.setattr(folder_module, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(output, images, tmp_path / "answers.jsonl")
    assert not (tmp_path / "answers.jsonl").exists()
    ask(output, images, tmp_path / "answers.jsonl")
    assert asked == [2, 0, 1, 1], "a batch of two, then the interruption; 2.png is broken, so one and the last"
    assert (tmp_path / "answers.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.slow
def test_another_question_does_not_carry_on(output: Path, images: Path, tmp_path: Path) -> None:
    ask(output, images, tmp_path / "answers.jsonl")
    other = replace(CAPTION, custom_prompt="What?")
    ask_about(output, images, other, SETTINGS, figure=None, answers=tmp_path / "answers.jsonl")
    assert {line.prompt for line in lines((tmp_path / "answers.jsonl").read_text())} == {"What?"}


def test_pipes_and_dangling_links_are_reported(
    output: Path, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.mkfifo(images / "0a.png")
    (images / "0b.png").symlink_to("nowhere.png")
    assert ask(output, images, tmp_path / "answers.jsonl") == AskCounts(answered=4, failed=3)


def test_folders_that_cannot_be_used(unloadable: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image below"):
        ask(unloadable, tmp_path / "empty")
    with pytest.raises(UsageError, match=r"--answers .* is a folder"):
        ask(unloadable, images, tmp_path)


def test_a_folder_of_nothing_but_broken_images(output: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(NothingProducedError, match="none of the 1 images"):
        ask(output, tmp_path)
