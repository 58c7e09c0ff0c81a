"""Measure from which type size on words in figures can be read, and the share of such words at each encoder.

    python extract_content.py --pdf_dir PAPERS --work_dir WORK
    python -m benchmarks.legibility WORK/content
    python -m benchmarks.legibility WORK/content --panels PAPERS

Shrinks the crops of figures with printed words so that their type has a given size in pixels, and reads them with OCR
(requirements-ocr.txt), enlarged again: prints the share of the words of the text layer that is found at each size. Then
prints, by kind of figure, the share of words at least as large as `figtune.dataset.figure_words.READABLE_PIXELS` at the
resolution of each vision encoder. With --panels it prints in their place the share of the words within panels that can
be read in the panel's own crop and in the whole figure; the papers give the type size of each word.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from figtune.core import commands
from figtune.core.jsonl import stream_records
from figtune.dataset.figure_words import ENCODERS, Size, count_readable_words, least_readable_size
from figtune.dataset.panel_images import panel_pixels
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.ocr import recognize

SIZES = (5, 6, 7, 8, 9, 10, 12, 14, 18)
"""Pixels."""
ENLARGED = 30
"""Pixels of type that the engine reads best."""
FIGURES = 60
_FEWEST_PANELS = 2
_WORD = re.compile(r"[A-Za-z]{3,}")
_FEWEST_WORDS = 12
_NEAR, _MOST = 0.15, 0.7
"""A figure counts if most of its words are near the median size."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path, help="WORK/content")
    parser.add_argument("--panels", type=Path, metavar="PAPERS", help="folder of the papers")
    options = parser.parse_args(arguments)
    content = options.content
    if options.panels:
        _print_panels(content, options.panels)
        return 0
    figures = [
        figure
        for figure in stream_records(content / FIGURES_FILE, FigureRecord, commands.EXTRACT)
        if figure.crop and figure.figure_type == "Figure"
    ]
    found, wanted = _read(content, figures)
    for size in SIZES:
        sys.stdout.write(
            f"{size:>3} pixels: {found[size]:>5} of {wanted[size]:>5} words, {found[size] / max(1, wanted[size]):.2f}\n"
        )
    words: Counter[str] = Counter()
    readable: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for figure in figures:
        count, by_encoder = count_readable_words(figure)
        for kind in (figure.kind, "all"):
            words[kind] += count
            for encoder, legible in by_encoder.items():
                readable[encoder][kind] += legible
    kinds = sorted(kind for kind in words if words[kind])
    sys.stdout.write(f"{'':24}" + "".join(f"{kind:>13}" for kind in kinds) + "\n")
    sys.stdout.write(f"{'words':24}" + "".join(f"{words[kind]:>13,}" for kind in kinds) + "\n")
    for encoder, legible_by_kind in readable.items():
        shares = "".join(f"{legible_by_kind[kind] / words[kind]:>13.2f}" for kind in kinds)
        sys.stdout.write(f"{encoder:24}{shares}\n")
    return 0


def _print_panels(content: Path, papers: Path) -> None:
    """Print the share of readable words, by encoder, of panels cut out and within their figure."""
    files = {
        paper.paper_id: papers / paper.file
        for paper in stream_records(content / PAPERS_FILE, PaperRecord, commands.EXTRACT)
    }
    figures = [
        figure
        for figure in stream_records(content / FIGURES_FILE, FigureRecord, commands.EXTRACT)
        if figure.crop and sum(panel.box is not None for panel in figure.panels) >= _FEWEST_PANELS
    ]
    whole: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    words, panels = 0, 0
    for paper_id, of_paper in groupby(figures, key=lambda figure: figure.paper_id):
        with Document(files[paper_id]) as document:
            for figure in of_paper:
                for crop, sizes in _panel_words(document, figure):
                    panels += 1
                    words += sizes.total()
                    for encoder in ENCODERS:
                        whole[encoder] += _readable(encoder, figure.crop_size, figure.dpi, sizes)
                        alone[encoder] += _readable(encoder, crop, figure.dpi, sizes)
    sys.stdout.write(f"{len(figures)} figures, {panels} panels with words, {words} words\n")
    sys.stdout.write(f"{'':24}{'figure':>13}{'panel':>13}\n")
    for encoder in ENCODERS:
        sys.stdout.write(f"{encoder:24}{whole[encoder] / words:>13.2f}{alone[encoder] / words:>13.2f}\n")


def _panel_words(document: Document, figure: FigureRecord) -> Iterator[tuple[Size, Counter[float]]]:
    """Yield the size in pixels of each panel's crop, and the number of words of each type size within the panel."""
    text = document.text(figure.page - 1)
    if text.sideways or figure.region_box is None or figure.crop_size is None:
        return
    for panel in figure.panels:
        place = panel.box and panel_pixels(panel.box, figure.region_box, figure.crop_size)
        if not panel.box or not place:
            continue
        box = Box(*panel.box)
        sizes: Counter[float] = Counter()
        for line in text.lines_in(text.from_shown(Box(*figure.region_box))):
            if box.overlap(text.as_shown(line.box)) > text.as_shown(line.box).area / 2:
                sizes[line.size / text.scale] += len(line.text.split())
        if sizes:
            yield (place[2] - place[0], place[3] - place[1]), sizes


def _readable(encoder: str, size: Size | None, dpi: int, sizes: Counter[float]) -> int:
    least = least_readable_size(encoder, size, dpi) if size else float("inf")
    return sum(count for points, count in sizes.items() if points >= least)


def _read(content: Path, figures: Sequence[FigureRecord]) -> tuple[Counter[int], Counter[int]]:
    """Return the words found and wanted, by type size in pixels."""
    found: Counter[int] = Counter()
    wanted: Counter[int] = Counter()
    even = [(figure, size) for figure in figures if (size := _size_of(figure))]
    for figure, points in even[:: max(1, len(even) // FIGURES)]:
        words = Counter(word.casefold() for word in _WORD.findall(figure.figure_text))
        crop = Image.open(content / str(figure.crop)).convert("L")
        before = points * figure.dpi / 72
        for size in SIZES:
            if size <= before:
                found[size] += (words & Counter(_words_at(crop, size / before, size))).total()
                wanted[size] += words.total()
    return found, wanted


def _size_of(figure: FigureRecord) -> float:
    """Return the type size of most words, in points; 0 where there are few words or many sizes."""
    total = sum(count for _, count in figure.text_sizes)
    if len(_WORD.findall(figure.figure_text)) < _FEWEST_WORDS:
        return 0.0
    each = [size for size, count in figure.text_sizes for _ in range(count)]
    median = each[total // 2]
    near = sum(abs(size - median) <= _NEAR * median for size in each)
    return median if near >= _MOST * total else 0.0


def _words_at(crop: Image.Image, factor: float, size: int) -> Iterator[str]:
    """Yield the words that are read in a crop shrunk by a factor, to type of a size in pixels."""
    small = crop.resize((round(crop.width * factor), round(crop.height * factor)), Image.Resampling.BICUBIC)
    up = ENLARGED / size
    large = small.resize((round(small.width * up), round(small.height * up)), Image.Resampling.BICUBIC)
    for line in recognize(np.asarray(large), 216, "scattered"):
        for word in line.words:
            yield from (each.casefold() for each in _WORD.findall(word.text))


if __name__ == "__main__":
    sys.exit(main())
