"""Crops with a box that a person has set: rendered from the paper's page, else cut out of the crop that is there."""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.image_decoding import decode_image, read_image_bytes
from figtune.core.io import sha256_of
from figtune.dataset.content_folder import PaperFigure
from figtune.dataset.image_store import prepare_image, store_image
from figtune.extraction.extract_paper import RegionWords, words_in
from figtune.extraction.records import BoxTuple, FigureRecord, PaperRecord
from figtune.extraction.render_crop import PADDING, render_crop
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from figtune.pdf.text_cleanup import dehyphenator_for

_LONGEST_SIDE = 2048  # pixels, the default of --extract.longest_side
_TOLERANCE = 0.11  # points: boxes are rounded to 0.1


@dataclass(frozen=True, kw_only=True)
class Recropper:
    """Stores crops with other boxes in a data set's folder."""

    content_dir: Path
    dataset_dir: Path
    pdf_dir: Path | None
    """Folder with the papers, where it is at hand."""

    def recrop(self, found: PaperFigure, box: BoxTuple) -> FigureRecord:
        """Return the figure with this box, its new crop and the words inside it.

        The words inside a part of a crop are unknown where the paper is not at hand.

        Raises:
            InputError: the paper is not at hand, and the box is not inside the crop; or neither can be read.
        """
        figure = found.figure
        path = None if self.pdf_dir is None else paper_path(self.pdf_dir, found.paper)
        png, words = (self._cut(found, box), None) if path is None else _rendered(path, figure, box)
        unknown = words is None or bool(found.paper.ocr_reason)  # then the text layer is of no use
        if words is None or unknown:
            words = RegionWords(labels=(), boxes=(), sizes=(), grid=None)
        image = prepare_image(png, "the crop")
        stored = self.dataset_dir / store_image(self.dataset_dir, image)
        return replace(
            figure,
            region_box=box,
            crop=Path(os.path.relpath(stored, self.content_dir)).as_posix(),
            crop_size=(image.facts.width, image.facts.height),
            figure_text="\n".join(words.labels),
            text_boxes=words.boxes,
            text_sizes=words.sizes,
            grid=words.grid,
            hides_words=figure.hides_words or unknown,
        )

    def _cut(self, found: PaperFigure, box: BoxTuple) -> bytes:
        figure = found.figure
        area = crop_area(figure)
        if area is None or not Box(*area).contains(Box(*box), _TOLERANCE):
            where = "at hand" if self.pdf_dir is None else f"in {self.pdf_dir}"
            raise InputError(
                f"{found.paper.file} is not {where}, and the box reaches beyond the crop that is there",
                "give the folder of the papers with --pdf_dir and --force",
            )
        crop = self.content_dir / str(figure.crop)
        picture = decode_image(read_image_bytes(crop), str(crop)).rgb
        across, down = picture.width / (area[2] - area[0]), picture.height / (area[3] - area[1])
        left, top = max(0, round((box[0] - area[0]) * across)), max(0, round((box[1] - area[1]) * down))
        right, bottom = round((box[2] - area[0]) * across), round((box[3] - area[1]) * down)
        file = io.BytesIO()
        picture.crop(
            (left, top, min(picture.width, max(right, left + 1)), min(picture.height, max(bottom, top + 1)))
        ).save(file, "PNG", compress_level=1)
        return file.getvalue()


def paper_path(pdf_dir: Path, paper: PaperRecord) -> Path | None:
    """Return the file of a paper; None where it is not there or is another one by now."""
    path = pdf_dir / paper.file
    try:
        return path if path.is_file() and sha256_of(path) == paper.sha256 else None
    except OSError:
        return None


def crop_area(figure: FigureRecord) -> BoxTuple | None:
    """Return the part of the page that a figure's crop shows, in points; None without a crop."""
    if figure.region_box is None or figure.crop is None:
        return None
    shown = Box(*figure.region_box).expanded(PADDING)
    return shown.x0, shown.top, shown.x1, shown.bottom


def _rendered(path: Path, figure: FigureRecord, box: BoxTuple) -> tuple[bytes, RegionWords]:
    """Return the picture in a box of a page and the words of the text layer there, turned as extraction turns it."""
    index = figure.page - 1
    with closing(Document(path)) as document:
        text = document.text(index)
        if text.sideways:
            document.set_view(1.0, {index: text.sideways})
            text = document.text(index)
        region = text.from_shown(Box(*box)).intersection(text.box)
        if region.area <= 0:
            raise InputError(f"the box lies outside page {figure.page} of {path.name}", "set another in the review")
        longest = max(_LONGEST_SIDE, *(figure.crop_size or (0, 0)))
        crop = render_crop(document, index, region, dpi=figure.dpi, longest_side=longest)
        dehyphenator = dehyphenator_for(map(document.text, range(document.page_count)))
        return crop.png, words_in(document, region, figure.figure_type, text, dehyphenator)
