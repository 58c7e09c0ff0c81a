"""Manuscript: what an author hands in, read from `papers/<stem>.toml`."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

FigureType = Literal["Figure", "Table"]
Kind = Literal["diagram", "plot", "qualitative", "mixed", "table"]
Slot = Literal["top", "bottom"]
Span = Literal["left", "right", "both"]

MARKUP = re.compile(r"<[^>]+>")


@dataclass(frozen=True, kw_only=True)
class Float:
    """A figure or a table with its caption, and the place on the page that the author asked for."""

    figure_type: FigureType
    name: str
    kind: Kind
    page: int
    slot: Slot
    span: Span
    caption: str
    """Without its label; may hold markup."""
    drawing: str = ""
    """The function that draws it, in `papers/<stem>.py`; empty for a table."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Rows of a table, the header first; a cell in bold starts with `*`. Empty for a figure."""


@dataclass(frozen=True, kw_only=True)
class ManuscriptSection:
    """A numbered heading and its text, which may hold reportlab's inline markup."""

    heading: str
    text: str

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The text, cut at its empty lines."""
        return tuple(self.text.strip().split("\n\n"))


@dataclass(frozen=True, kw_only=True)
class Manuscript:
    """A whole paper, not yet laid out. Line breaks in its texts are spaces."""

    title: str
    authors: tuple[str, ...]
    affiliation: str
    footnote: str
    caption_separator: Literal[".", ":"]
    """Sign between "Figure 1" and the caption."""
    table_caption_above: bool
    abstract: str
    sections: tuple[ManuscriptSection, ...]
    floats: tuple[Float, ...]
    references: tuple[str, ...]

    def labelled_caption(self, item: Float) -> str:
        """`Figure 3. The caption`, with its markup."""
        return f"{item.figure_type} {item.name}{self.caption_separator} {item.caption}"


def plain(text: str) -> str:
    """`text` as a reader sees it: markup gone, entities resolved, one space between words."""
    return " ".join(html.unescape(MARKUP.sub("", text)).split())


def read_manuscript(path: Path) -> Manuscript:
    """The manuscript in the TOML file at `path`.

    Raises:
        msgspec.ValidationError: a field is missing or of the wrong type.
    """
    return msgspec.toml.decode(path.read_bytes(), type=Manuscript)
