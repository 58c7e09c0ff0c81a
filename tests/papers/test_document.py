"""A PDF opened: text, words, graphics and pixels in points of the upright page."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image

from figtune.papers.box import Box
from figtune.papers.document import Document, UnreadablePaperError
from figtune.papers.texts import read_texts


def _made(path: Path, rotation: int = 0) -> Path:
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        page.insert_text((20, 50), "Plain words", fontname="tiro", fontsize=10)
        page.insert_text((90, 50), "bold", fontname="tibo", fontsize=10)
        page.insert_text((110, 46), "2", fontname="tiro", fontsize=6)
        page.draw_rect(pymupdf.Rect(20, 80, 120, 140), color=None, fill=(1, 0, 0))
        page.draw_line((20, 160), (120, 160), width=1)
        pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 4, 4), False)
        pixels.clear_with(90)
        page.insert_image(pymupdf.Rect(150, 80, 250, 140), pixmap=pixels, keep_proportion=False)
        page.set_rotation(rotation)
        file.save(path)
    return path


def test_text_of_a_page(tmp_path: Path) -> None:
    with Document(_made(tmp_path / "a.pdf")) as document:
        text = document.text(0)
        words = document.words(text)
    assert (text.index, text.width, text.height) == (0, 300, 200)
    first = text.lines[0]
    assert first.text.startswith("Plain words")
    assert first.font == "Times-Roman"
    assert first.size == 10
    assert abs(first.baseline - 50) < 0.1
    assert first.horizontal
    bold = next(span for line in text.lines for span in line.spans if "bold" in span.text)
    assert bold.bold
    assert [word.text for word in words][:2] == ["Plain", "words"]
    assert all(text.lines[word.line].box.contains(word.box, 1) for word in words)


@pytest.mark.parametrize(("gap", "read"), [(0.5, "∈means"), (3.5, "∈ means")])
def test_a_blank_after_a_sign_of_another_font_is_read(tmp_path: Path, gap: float, read: str) -> None:
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        signs = pymupdf.Font("symb")
        writer = pymupdf.TextWriter(page.rect)
        writer.append((20, 50), "∈", font=signs, fontsize=10)
        writer.write_text(page)
        width = signs.text_length("∈", fontsize=10)
        page.insert_text((20 + width + gap, 50), "means", fontname="tiro", fontsize=10)
        file.save(tmp_path / "a.pdf")
    with Document(tmp_path / "a.pdf") as document:
        assert [line.text for line in document.text(0).lines] == [read]


def test_graphics_of_a_page(tmp_path: Path) -> None:
    with Document(_made(tmp_path / "a.pdf")) as document:
        graphics = document.graphics(0)
    assert [box.iou(Box(150, 80, 250, 140)) > 0.99 for box in graphics.images] == [True]
    filled = [drawing for drawing in graphics.drawings if drawing.filled]
    assert [drawing.color for drawing in filled] == ["#ff0000"]
    assert filled[0].box.iou(Box(20, 80, 120, 140)) > 0.98
    assert filled[0].rectangle


def test_pixels_of_a_page_and_of_a_part(tmp_path: Path) -> None:
    with Document(_made(tmp_path / "a.pdf")) as document:
        grey = document.grey(0, 72)
        part = document.color(0, Box(20, 80, 120, 140), 144)
    assert grey.shape == (200, 300)
    assert grey[100, 10] == 255
    assert 60 < grey[100, 60] < 160
    assert part.shape == (120, 200, 3)
    assert np.all(np.abs(part[60, 100].astype(int) - (255, 0, 0)) <= 4)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_page_is_the_page_that_a_reader_sees(tmp_path: Path, rotation: int) -> None:
    with Document(_made(tmp_path / "a.pdf", rotation)) as document:
        text, grey, graphics = document.text(0), document.grey(0, 72), document.graphics(0)
    assert grey.shape == (round(text.height), round(text.width))
    red = next(drawing.box for drawing in graphics.drawings if drawing.filled)
    middle = grey[round((red.top + red.bottom) / 2), round((red.x0 + red.x1) / 2)]
    assert 60 < middle < 160
    assert text.lines[0].horizontal == (rotation == 0)


def _encrypted(path: Path) -> None:
    with pymupdf.open() as file:
        file.new_page()
        file.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="secret")


def _words(path: Path) -> None:
    path.write_text("This is not a PDF.", encoding="utf-8")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _headless(path: Path) -> None:
    path.write_bytes(_made(path.with_name("whole.pdf")).read_bytes()[:40])


@pytest.mark.parametrize(
    ("damage", "says"), [(_encrypted, "encrypted"), (_words, ""), (_empty, ""), (_headless, "")], ids=lambda value: ""
)
def test_what_cannot_be_read_says_so(tmp_path: Path, damage: object, says: str) -> None:
    path = tmp_path / "bad.pdf"
    assert callable(damage)
    damage(path)
    with pytest.raises(UnreadablePaperError) as caught, Document(path):
        pass
    assert "bad.pdf" in caught.value.problem
    assert says in caught.value.problem


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePaperError):
        Document(tmp_path / "missing.pdf")


def test_many_pages_are_read_again_after_they_were_let_go(tmp_path: Path) -> None:
    with pymupdf.open() as file:
        for number in range(40):
            file.new_page().insert_text((50, 50), f"Page {number}")
        file.save(tmp_path / "many.pdf")
    with Document(tmp_path / "many.pdf") as document:
        first = [document.text(index).lines[0].text for index in range(40)]
        again = [document.text(index).lines[0].text for index in range(40)]
    assert first == again == [f"Page {number}" for number in range(40)]


def test_texts_of_a_long_document_are_those_of_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    with pymupdf.open() as file:
        for number in range(130):
            file.new_page(width=300, height=200).insert_text((20, 50), f"Page {number}", fontname="tiro", fontsize=10)
        file.save(path)
    with Document(path) as document:
        texts = read_texts(document)
        assert len(texts) == document.page_count == 130
        assert [text.lines[0].text for text in texts] == [f"Page {number}" for number in range(130)]
        assert texts[129] == document.text(129)
        assert texts[3:5] == [document.text(3), document.text(4)]


def test_pictures_of_a_long_document_are_let_go_page_by_page(tmp_path: Path) -> None:
    """MuPDF alone would keep 6 MB of each page, 126 MB more at the end than at the start."""
    path = tmp_path / "pictures.pdf"
    with pymupdf.open() as file:
        for number in range(24):
            jpeg = BytesIO()
            Image.new("RGB", (2000, 2000), (100 + number, 9, 9)).save(jpeg, "JPEG")
            page = file.new_page(width=720, height=720)
            page.insert_image(page.rect, stream=jpeg.getvalue())
        file.save(path)
    found = subprocess.run([sys.executable, "-c", _PEAKS, str(path)], check=True, capture_output=True, text=True)
    first, last = map(int, found.stdout.split())
    assert last - first < 40


_PEAKS = """
import sys
from pathlib import Path
from psutil import Process
from figtune.papers.box import Box
from figtune.papers.document import Document

with Document(Path(sys.argv[1])) as document:
    for index in range(document.page_count):
        document.color(index, Box(0, 0, 720, 720), 100)
        if index in (1, document.page_count - 1):
            print(Process().memory_info().rss >> 20)
"""
"""Prints the resident megabytes after the second page and after the last."""


def test_nothing_is_left_behind_by_reading_graphics(tmp_path: Path) -> None:
    path = tmp_path / "drawn.pdf"
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        for number in range(100):
            page.draw_line((20, number), (200 + number % 2, number), width=0.1 + number % 3)
        file.save(path)
    held = []
    for _ in range(5):
        with Document(path) as document:
            document.graphics(0)
        held.append(sys.getallocatedblocks())
    assert held[-1] - held[1] < 100
