"""Artwork: a drawing turned into a one-page PDF, cut to its ink."""

from __future__ import annotations

import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pymupdf
from numpy.typing import NDArray

from making.canvas import Cell, Drawing

INK_DPI = 288


def apply_settings() -> None:
    """Set matplotlib to its own defaults and the few changes made here, whatever the user's settings are.

    Streams stay uncompressed: printing compresses all of them alike.
    """
    mpl.rcdefaults()
    mpl.rc("pdf", fonttype=42, compression=0)
    mpl.rc("font", family="DejaVu Sans", size=7)


@dataclass(frozen=True)
class Artwork:
    """A figure as PDF; its boxes are in points from the top-left of that PDF's page, tight to ink."""

    pdf: bytes
    ink: Cell
    panels: tuple[tuple[str, Cell], ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the ink in points."""
        return self.ink[2] - self.ink[0], self.ink[3] - self.ink[1]


def finish(drawing: Drawing) -> Artwork:
    """`drawing` as PDF, its ink and its panels measured on a render of that PDF."""
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    pdf = buffer.getvalue()
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        pixels = document[0].get_pixmap(dpi=INK_DPI, colorspace=pymupdf.csGRAY)
    dark = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.stride)[:, : pixels.width] < 250
    scale = 72 / INK_DPI
    whole = (0.0, 0.0, pixels.width * scale, pixels.height * scale)
    panels = tuple((panel.label, _ink(dark, panel.cell, scale)) for panel in drawing.panels)
    return Artwork(pdf, _ink(dark, whole, scale), panels)


def _ink(dark: NDArray[np.bool_], cell: Cell, scale: float) -> Cell:
    """The smallest cell inside `cell` that holds all its dark pixels."""
    x0, top, x1, bottom = (max(0, round(edge / scale)) for edge in cell)
    inside = dark[top:bottom, x0:x1]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return (
        (x0 + float(columns[0])) * scale,
        (top + float(rows[0])) * scale,
        (x0 + float(columns[-1]) + 1) * scale,
        (top + float(rows[-1]) + 1) * scale,
    )
