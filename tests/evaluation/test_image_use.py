"""A model that has learned from pictures is told from one that could not, by two real training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from config import TEST
from figtune.core.io import sha256_of
from figtune.core.jsonl import write_records
from figtune.dataset.records import CUSTOM_TASK, MINITRAIN_FILE, Example, examples_file
from figtune.evaluation.evaluate import evaluate
from figtune.metrics.records import EvaluationSummary
from figtune.models.setup import set_up_model
from tests.models.tuned import choice
from tests.training.runs import SETTINGS, run

pytestmark = pytest.mark.slow

COLORS = ("red", "green", "blue", "black", "orange", "purple")
TEXTS = (
    "Axial MRI scan.",
    "Sagittal view of the brain.",
    "A lesion in the left lobe.",
    "Normal findings throughout.",
    "CT of the head.",
    "Coronal slice with a bright spot.",
)
TRIAL = replace(TEST, max_new_tokens=8, batch_size=6, bootstrap_samples=200)


def _example(folder: Path, picture: int, text: int) -> Example:
    path = folder / "images" / f"{picture}.png"
    if not path.exists():
        path.parent.mkdir(exist_ok=True, parents=True)
        drawn = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(drawn).rectangle((4 + 6 * picture, 8, 24 + 6 * picture, 56), fill=COLORS[picture])
        drawn.save(path)
    return Example(
        example_id=f"{picture}-{text}",
        task=CUSTOM_TASK,
        image=f"images/{picture}.png",
        image_sha256=sha256_of(path),
        prompt="Report.",
        completion=TEXTS[text],
        group=f"{picture}",
        source="",
        kind="",
    )


def _train_and_evaluate(root: Path, pairs: Sequence[tuple[int, int]], epochs: float) -> EvaluationSummary:
    """Train on these pairs of picture and text, then evaluate on the true ones."""
    dataset, model, output = (root / name for name in ("dataset", "model", "output"))
    write_records(dataset / examples_file("train"), [_example(dataset, *pair) for pair in pairs])
    for file in (examples_file("val"), examples_file("test")):
        write_records(dataset / file, [])
    write_records(dataset / MINITRAIN_FILE, [_example(dataset, number, number) for number in range(len(TEXTS))])
    set_up_model(model, choice("tiny-gemma3", rank=16))
    run(dataset, model, output, replace(SETTINGS, epochs=epochs, batch_size=6, evaluations=1))
    return evaluate(dataset, output, model / "features", TRIAL, seed=0, device="cpu")


def test_a_model_trained_on_images_uses_them(tmp_path: Path) -> None:
    summary = _train_and_evaluate(tmp_path, [(number, number) for number in range(len(TEXTS))], epochs=60)
    gain = summary.slices[0].image_gain
    assert gain is not None
    assert gain.low is not None
    assert gain.low > 1
    choice = summary.slices[0].choice
    assert choice is not None
    assert choice.wrong_image is not None
    assert (choice.examples, choice.accuracy.value, choice.wrong_image.value) == (6, 1.0, 0.0)
    assert choice.information_accuracy.value > 0.6
    assert "the right image makes the right one more likely than any other in" in " ".join(
        (summary.verdict.sentence, *summary.verdict.notes)
    )
    assert (summary.verdict.image_use, summary.verdict.headline) == ("uses image", "")
    assert {each.fact: each.stated for each in summary.facts} == {
        "modality": 2,
        "view": 3,
        "finding": 1,
        "side": 1,
        "no abnormality": 1,
    }


def test_a_model_trained_on_shuffled_images_is_said_to_ignore_them(tmp_path: Path) -> None:
    """Every text with every picture: it learns the texts, and nothing that a picture could tell it."""
    numbers = range(len(TEXTS))
    summary = _train_and_evaluate(tmp_path, [(picture, text) for picture in numbers for text in numbers], epochs=10)
    whole = summary.slices[0]
    assert whole.tuned.loss is not None
    assert whole.tuned.loss.value < 0.5, "it has learned the texts"
    assert whole.image_gain is not None
    assert whole.image_gain.value == pytest.approx(0, abs=0.02)
    assert whole.choice is not None
    assert whole.choice.accuracy.value <= 0.5
    assert whole.choice.gain.change(0) == "not shown"
    assert whole.choice.information_gain.change(0) == "not shown"
    assert summary.verdict.image_use == "ignores"
    page = (tmp_path / "output" / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "This model ignores its images" in page
