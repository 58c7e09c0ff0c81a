"""Papers made on the spot: two columns, captions, pictures and tables at places that are known exactly."""

from __future__ import annotations

from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import pymupdf
from PIL import Image

from figtune.extraction.text_source import read_texts
from figtune.figures.detector import DetectedFigure, Detections, detect_figures
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.text_cleanup import dehyphenator_for

LEFT, RIGHT, WHOLE = (50.0, 286.0), (309.0, 545.0), (50.0, 545.0)
TOP, BOTTOM = 72.0, 716.0
_WORDS = (
    *("methods", "learn", "features", "from", "images", "while", "networks", "predict", "depth", "and", "motion"),
    *("of", "several", "objects", "over", "time", "because", "training", "data", "hold", "many", "scenes", "with"),
    *("light", "shadow", "texture", "noise", "blur", "scale", "pose", "which", "models", "must", "explain", "before"),
    *("results", "improve", "on", "common", "benchmarks"),
)


class Sheet:
    """One page of a paper. Everything is placed in points of the upright page; what is drawn comes back as its box."""

    def __init__(self, paper: PaperMaker) -> None:
        self.page = paper.file.new_page(width=595, height=792)

    def body(self, column: tuple[float, float], top: float = TOP, bottom: float = BOTTOM) -> None:
        """Justified paragraphs in body type from `top` to `bottom`."""
        area = pymupdf.Rect(column[0], top, column[1], bottom)
        lines = int((bottom - top) / 12.5)
        words = list(islice(cycle(_WORDS), max(8, int(lines * (column[1] - column[0]) / 36))))
        text = " ".join(words).capitalize() + "."
        while self.page.insert_textbox(area, text, fontname="tiro", fontsize=10, align=3) < 0:
            words = words[: int(0.95 * len(words))]
            text = " ".join(words).capitalize() + "."

    def prose(self, x0: float, baseline: float, text: str, *, size: float = 10, font: str = "tiro") -> None:
        """One line of text."""
        self.page.insert_text((x0, baseline), text, fontname=font, fontsize=size)

    def caption(self, column: tuple[float, float], top: float, text: str) -> float:
        """A caption in 9-point type from `top`; returns where it ends."""
        area = pymupdf.Rect(column[0], top, column[1], top + 200)
        left_over: float = self.page.insert_textbox(area, text, fontname="tiro", fontsize=9, align=3)
        assert left_over >= 0
        return top + 200 - left_over

    def picture(self, box: Box, *, color: tuple[float, float, float] = (0.2, 0.4, 0.7)) -> Box:
        """A filled rectangle with shapes in it."""
        self.page.draw_rect(_rect(box), color=None, fill=color)
        for number in range(4):
            x0 = box.x0 + (0.1 + 0.2 * number) * box.width
            self.page.draw_circle((x0, box.top + box.height / 2), box.height / 8, color=(1, 1, 1), fill=(0.9, 0.6, 0.1))
        return box

    def image(self, box: Box, image: Image.Image) -> Box:
        """Pixels, stretched over `box`."""
        file = BytesIO()
        image.save(file, "png")
        self.page.insert_image(_rect(box), stream=file.getvalue(), keep_proportion=False)
        return box

    def table(self, box: Box, columns: int) -> Box:
        """Rules above, below and under the head, numbers in rows of 11 points between."""
        for height in (box.top, box.top + 14, box.bottom):
            self.page.draw_line((box.x0, height), (box.x1, height), width=0.8)
        step = box.width / columns
        for row in range(int((box.height - 4) / 11)):
            for column in range(columns):
                cell = f"Item{column}" if row == 0 else f"{10 * row + column}.{row}"
                self.prose(box.x0 + step * column + 4, box.top + 11 + 11 * row + (4 if row else 0), cell, size=8)
        return box

    def rotate(self) -> None:
        """Turn the page in the file by a quarter and let its /Rotate undo it: it still shows upright."""
        self.page.set_rotation(90)


class PaperMaker:
    """A paper under construction. Its last page is body text, so that there is a body to learn from."""

    def __init__(self) -> None:
        self.file = pymupdf.open()

    def sheet(self) -> Sheet:
        """A new empty page."""
        return Sheet(self)

    def finish(self, path: Path) -> Path:
        """Add a page of body text and write the PDF."""
        last = self.sheet()
        last.body(LEFT)
        last.body(RIGHT)
        self.file.save(path)
        self.file.close()
        return path


def findings_in(path: Path) -> Detections:
    """Everything found in a PDF."""
    with Document(path) as document:
        texts = read_texts(document)
        return detect_figures(document, texts, dehyphenator_for(texts))


def figures_in(path: Path) -> dict[str, DetectedFigure]:
    """Return the figures found in a PDF by type and name: "Figure 1"; a region without a caption is "Figure "."""
    found = findings_in(path).figures
    by_name = {f"{figure.figure_type} {figure.name}": figure for figure in found}
    assert len(by_name) == len(found)
    return by_name


def near(found: Box | None, truth: Box, points: float = 1.5) -> bool:
    """Return True if every edge is within `points` of the truth."""
    if found is None:
        return False
    edges = zip(
        (found.x0, found.top, found.x1, found.bottom), (truth.x0, truth.top, truth.x1, truth.bottom), strict=True
    )
    return all(abs(one - other) <= points for one, other in edges)


def _rect(box: Box) -> pymupdf.Rect:
    return pymupdf.Rect(box.x0, box.top, box.x1, box.bottom)
