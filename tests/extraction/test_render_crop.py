"""Crops: pixels of a region."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from figtune.extraction.render_crop import Crop, render_crop
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from tests.figures.paper_maker import PaperMaker

_REGION = Box(100, 100, 244, 172)


def _crop(path: Path, *, dpi: int, longest_side: int) -> Crop:
    with Document(path) as document:
        return render_crop(document, 0, _REGION, dpi=dpi, longest_side=longest_side)


def _paper(tmp_path: Path) -> Path:
    maker = PaperMaker()
    maker.sheet().picture(_REGION)
    return maker.finish(tmp_path / "paper.pdf")


def test_size_follows_dpi_until_the_longest_side_is_reached(tmp_path: Path) -> None:
    path = _paper(tmp_path)
    full, capped = _crop(path, dpi=200, longest_side=2048), _crop(path, dpi=200, longest_side=150)
    assert full.dpi == 200
    assert abs(full.width - 146 * 200 / 72) <= 2
    assert capped.dpi < 200
    assert 140 <= max(capped.width, capped.height) <= 151
    image = Image.open(io.BytesIO(full.png))
    assert image.size == (full.width, full.height)
    assert image.mode == "RGB"


def test_no_pixel_is_lost_in_encoding(tmp_path: Path) -> None:
    path = _paper(tmp_path)
    found = _crop(path, dpi=100, longest_side=2048)
    with Document(path) as document:
        pixels = document.color(0, _REGION.expanded(1), 100)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.png))), pixels)


def test_edges_are_crisp_since_the_page_is_rendered_not_enlarged(tmp_path: Path) -> None:
    found = _crop(_paper(tmp_path), dpi=288, longest_side=4096)
    grey = np.asarray(Image.open(io.BytesIO(found.png)).convert("L"), dtype=int)
    row = grey[10]
    assert row[0] == 255
    assert np.count_nonzero((row > row.min() + 8) & (row < 247)) <= 4


def test_same_bytes_every_time(tmp_path: Path) -> None:
    path = _paper(tmp_path)
    assert _crop(path, dpi=100, longest_side=500).png == _crop(path, dpi=100, longest_side=500).png
