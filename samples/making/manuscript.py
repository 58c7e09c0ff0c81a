"""Manuscript: what an author hands in, read from `papers/<stem>.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Slot = Literal["top", "bottom"]
Span = Literal["left", "right", "both"]

MARKUP = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Float:
    """A figure or a table with its caption, and the place on the page that the author asked for."""

    figure_type: Literal["Figure", "Table"]
    name: str
    kind: str
    page: int
    slot: Slot
    span: Span
    caption: str
    """Without its label; may hold markup."""
    drawing: str
    """The function that draws it, in `papers/<stem>.py`; empty for a table."""
    rows: tuple[tuple[str, ...], ...]
    """Of a table, the header first; a cell in bold starts with `*`. Empty for a figure."""


@dataclass(frozen=True)
class ManuscriptSection:
    """A numbered heading and its paragraphs, which may hold reportlab's inline markup."""

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Manuscript:
    """A whole paper, not yet laid out."""

    title: str
    authors: str
    affiliation: str
    footnote: str
    caption_separator: str
    """What stands between "Figure 1" and the caption: a full stop or a colon."""
    table_caption_above: bool
    abstract: str
    sections: tuple[ManuscriptSection, ...]
    floats: tuple[Float, ...]
    references: tuple[str, ...]

    def labelled_caption(self, item: Float) -> str:
        """`Figure 3. The caption`, with its markup."""
        return f"{item.figure_type} {item.name}{self.caption_separator} {item.caption}"


def plain(text: str) -> str:
    """`text` as a reader sees it: markup gone, entities resolved."""
    return MARKUP.sub("", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def read_manuscript(path: Path) -> Manuscript:
    """The manuscript in the TOML file at `path`; line breaks inside a paragraph are spaces."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return Manuscript(
        title=data["title"],
        authors=data["authors"],
        affiliation=data["affiliation"],
        footnote=_one_line(data["footnote"]),
        caption_separator=data["caption_separator"],
        table_caption_above=data["table_caption_above"],
        abstract=_one_line(data["abstract"]),
        sections=tuple(
            ManuscriptSection(section["heading"], _paragraphs(section["text"])) for section in data["sections"]
        ),
        floats=tuple(_read_float(item) for item in data["floats"]),
        references=tuple(_one_line(reference) for reference in data["references"]),
    )


def _read_float(item: dict[str, Any]) -> Float:
    return Float(
        figure_type=item["type"],
        name=item["name"],
        kind=item["kind"],
        page=item["page"],
        slot=item["slot"],
        span=item["span"],
        caption=_one_line(item["caption"]),
        drawing=item.get("drawing", ""),
        rows=tuple(tuple(row) for row in item.get("rows", [])),
    )


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(_one_line(paragraph) for paragraph in text.strip().split("\n\n"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
