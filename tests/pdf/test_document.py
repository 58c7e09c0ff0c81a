"""A PDF opened: text, words, graphics and pixels in points of the upright page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from numpy.typing import NDArray
from PIL import Image

from figtune.extraction.text_source import read_texts
from figtune.pdf.document import Document, UnreadablePaperError
from figtune.pdf.geometry import Box
from tests.rows import each_row


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


@each_row(("gap", "read"), [(0.5, "∈means"), (3.5, "∈ means")])
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


@each_row("rotation", [90, 180, 270])
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


@each_row(("damage", "says"), [(_encrypted, "encrypted"), (_words, ""), (_empty, ""), (_headless, "")])
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


@pytest.mark.slow
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
from figtune.pdf.geometry import Box
from figtune.pdf.document import Document

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


def _sheet(path: Path, marked: bool) -> Path:
    """A page of words, a line and a rectangle; marked up by a reader in every way, if asked."""
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        page.insert_text((20, 50), "Plain words of the authors", fontname="tiro", fontsize=10)
        page.draw_rect(pymupdf.Rect(20, 80, 120, 140), color=None, fill=(1, 0, 0))
        if marked:
            _mark(page)
        file.save(path)
    return path


def _mark(page: pymupdf.Page) -> None:
    rect = pymupdf.Rect(30, 90, 110, 130)
    page.add_freetext_annot(rect, "a reader's words")
    page.add_stamp_annot(rect, stamp=3)
    page.add_ink_annot([[(20, 80), (60, 140), (120, 80)]])
    page.add_highlight_annot(pymupdf.Rect(20, 40, 80, 55))
    page.add_underline_annot(pymupdf.Rect(20, 40, 80, 55))
    page.add_text_annot((30, 90), "a note")
    page.add_rect_annot(rect)
    page.add_circle_annot(rect)
    page.add_line_annot((20, 80), (120, 140))
    page.add_polygon_annot([(20, 80), (120, 140), (20, 140)])
    page.add_file_annot((60, 100), b"data", "data.txt")
    page.add_caret_annot((40, 60))
    field = pymupdf.Widget()
    field.field_type = pymupdf.PDF_WIDGET_TYPE_TEXT
    field.field_name, field.field_value, field.rect = "field", "typed by a reader", pymupdf.Rect(150, 20, 290, 40)
    field.border_color, field.border_width = (0, 0, 1), 2
    page.add_widget(field)


def test_a_page_is_read_without_what_readers_have_put_on_it(tmp_path: Path) -> None:
    with (
        Document(_sheet(tmp_path / "clean.pdf", marked=False)) as clean,
        Document(_sheet(tmp_path / "marked.pdf", marked=True)) as marked,
    ):
        assert marked.text(0) == clean.text(0)
        assert marked.words(marked.text(0)) == clean.words(clean.text(0))
        assert marked.graphics(0) == clean.graphics(0)
        # A highlight has MuPDF blend the whole page, which moves the edges of letters by a shade or two.
        assert _farthest(marked.grey(0, 72), clean.grey(0, 72)) <= 3
        page = clean.text(0).box
        assert _farthest(marked.color(0, page, 150), clean.color(0, page, 150)) <= 3


def _farthest(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_a_button_belongs_to_the_page(tmp_path: Path) -> None:
    """LaTeX's animations are made of them."""
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        page.insert_text((20, 50), "Plain words", fontname="tiro", fontsize=10)
        button = pymupdf.Widget()
        button.field_type = pymupdf.PDF_WIDGET_TYPE_BUTTON
        button.field_name, button.rect, button.fill_color = "frame", pymupdf.Rect(100, 100, 200, 150), (0, 0, 0)
        page.add_widget(button)
        page.add_rect_annot(pymupdf.Rect(10, 100, 90, 150)).set_colors(fill=(0, 0, 0))
        file.save(tmp_path / "a.pdf")
    with Document(tmp_path / "a.pdf") as document:
        grey = document.grey(0, 72)
    assert grey[110:140, 110:190].mean() < 64
    assert grey[100:150, 10:90].min() == 255


@each_row("size", [0, 0.001, 0.04])
def test_type_of_no_size_counts_for_nothing(tmp_path: Path, size: float) -> None:
    with pymupdf.open() as file:
        page = file.new_page(width=300, height=200)
        page.insert_text((20, 50), "First words", fontname="tiro", fontsize=10)
        hidden = b"BT /tiro %g Tf 1 0 0 1 20 140 Tm (not to be seen) Tj ET " % size
        number = page.get_contents()[0]
        file.update_stream(number, hidden * 3 + file.xref_stream(number) + hidden)
        page.insert_text((20, 90), "Last words", fontname="tiro", fontsize=10)
        file.save(tmp_path / "a.pdf")
    with Document(tmp_path / "a.pdf") as document:
        text = document.text(0)
        words = document.words(text)
    assert [line.text for line in text.lines] == ["First words", "Last words"]
    assert [(word.text, word.line) for word in words] == [("First", 0), ("words", 0), ("Last", 1), ("words", 1)]


def test_a_sound_file_is_not_called_repaired(tmp_path: Path) -> None:
    with Document(_made(tmp_path / "a.pdf")) as document:
        document.grey(0, 72)
        assert not document.repaired


def test_a_file_cut_off_is_called_repaired(tmp_path: Path) -> None:
    data = _made(tmp_path / "a.pdf").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data[: data.rindex(b"xref")])
    with Document(tmp_path / "a.pdf") as document:
        assert document.repaired


def test_damage_met_only_while_a_page_is_read_is_known_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("figtune.pdf.document._PAGES_OF_A_FILE", 1)
    with pymupdf.open() as file:
        for number in range(2):
            file.new_page().insert_text((50, 50), f"Words of page {number + 1}", fontname="tiro", fontsize=10)
        contents = file[0].get_contents()[0]
        file.save(tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    at = data.index(b"%d 0 obj" % contents)
    (tmp_path / "a.pdf").write_bytes(data[:at] + b"9" + data[at + 1 :])
    with Document(tmp_path / "a.pdf") as document:
        opened = document.repaired
        for index in range(document.page_count):
            document.text(index)
        assert (opened, document.repaired) == (False, True)


def test_a_page_that_lost_half_its_contents_is_known_in_the_end(tmp_path: Path) -> None:
    with pymupdf.open() as file:
        page = file.new_page()
        for row in range(40):
            page.insert_text((50, 60 + 14 * row), f"Words of row {row}, and {row * row} more", fontname="tiro")
        page.clean_contents()
        file.save(tmp_path / "a.pdf", deflate=True)
    data = (tmp_path / "a.pdf").read_bytes()
    contents = max(re.finditer(rb"stream\r?\n(.*?)endstream", data, re.DOTALL), key=lambda found: len(found[1]))
    at, length = contents.start(1), len(contents[1])
    with Document(tmp_path / "a.pdf") as document:
        document.text(0)
        assert not document.repaired
    half = at + length // 2
    (tmp_path / "a.pdf").write_bytes(data[:half] + bytes(50) + data[half + 50 :])
    with Document(tmp_path / "a.pdf") as document:
        document.text(0)
        assert document.repaired


def test_a_file_whose_name_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pdf"))
    path.write_bytes(_made(tmp_path / "a.pdf").read_bytes())
    with Document(path) as document, Document(tmp_path / "a.pdf") as same:
        assert document.text(0) == same.text(0)


def test_no_reason_holds_a_path_of_this_machine(tmp_path: Path) -> None:
    for name in (b"plain.pdf", b"caf\xe9.pdf"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(b"%PDF-1.7 and no more")
        with pytest.raises(UnreadablePaperError) as raised:
            Document(path)
        assert str(tmp_path) not in raised.value.problem
