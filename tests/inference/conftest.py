"""A tiny trained model, its inference settings, and a slow paper."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from config import EXTRACT, PREPARE
from figtune.inference.paper_figures import PromptSpec
from figtune.inference.settings import InferenceSettings
from figtune.models.records import BASE_FOLDER
from tests.inference.trained_model import greedy, write_trained_model

PAPER = replace(EXTRACT, dpi=72, longest_side=512, timeout_seconds=60.0, ocr="never")
SETTINGS = InferenceSettings(device="cpu", batch_size=2, decoding=greedy(5), extract=PAPER, strict=False)
CAPTION = PromptSpec(task="caption", custom_prompt=None, dataset_prompt=None, prepare=PREPARE)


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


def write_slow_paper(path: Path) -> Path:
    """Write a PDF of a few kilobytes that draws one line 3 to the power of 16 times, by forms within forms."""
    forms = 16
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</X 5 0 R>>>>/Contents 4 0 R>>",
        _stream(b"", b"/X Do"),
    ]
    for number in range(5, 5 + forms):
        inner = b"/Resources<</XObject<</X %d 0 R>>>>" % (number + 1)
        objects.append(_stream(b"/Type/XObject/Subtype/Form/BBox[0 0 600 700]" + inner, b"/X Do /X Do /X Do"))
    objects.append(_stream(b"/Type/XObject/Subtype/Form/BBox[0 0 600 700]", b"0 0 m 300 300 l S"))
    content, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\n" % (size, entries, size)
    path.write_bytes(content + table + b"startxref\n%d\n%%%%EOF\n" % len(content))
    return path


def _stream(entries: bytes, content: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)
