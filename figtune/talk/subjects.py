"""What an upload can be asked about: one image, or the figures of a paper, held in memory without any file."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from figtune.core.errors import InputError
from figtune.core.images import read_image
from figtune.extraction.records import FigureRecord
from figtune.talk.paper import Paper, Reading, read_paper
from figtune.talk.preflight import is_paper
from figtune.talk.terms import Request

_LONGEST_SIDE = 2048
"""In pixels, as of crops; uploaded images are kept no larger, since no vision encoder sees more."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A picture and what is known of it."""

    label: str
    png: bytes
    figure: FigureRecord | None
    paper: Paper | None
    """Where the figure is from."""

    def picture(self) -> Image.Image:
        """RGB."""
        with Image.open(io.BytesIO(self.png), formats=("PNG",)) as image:
            return image.convert("RGB")

    def prompt(self, request: Request) -> str:
        """What is asked about it."""
        if self.figure is None or self.paper is None:
            return request.of_image()
        return request.of_figure(self.paper, self.figure)


def subjects_of(upload: Path, reading: Reading) -> list[Subject]:
    """The image itself, or the figures of a paper in their order.

    Raises:
        InputError: an image or a paper that cannot be used; the upload is named by its name alone.
    """
    try:
        if is_paper(upload):
            return _figures(upload, reading)
        picture = read_image(upload)
    except InputError as error:
        raise InputError(error.problem.replace(str(upload), upload.name), error.remedy) from None
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return [Subject(label=upload.name, png=_png(picture), figure=None, paper=None)]


def _figures(upload: Path, reading: Reading) -> list[Subject]:
    with tempfile.TemporaryDirectory(prefix="figtune-") as folder:
        paper = read_paper(upload, Path(folder), reading)
        return [
            Subject(
                label=f"{figure.figure_type} {figure.name}",
                png=_png(read_image(paper.crop(figure))),
                figure=figure,
                paper=paper,
            )
            for figure in paper.figures
        ]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
