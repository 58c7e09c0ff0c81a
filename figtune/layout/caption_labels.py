"""Words that captions begin with, by language, and the name that follows them: "Figure 3", "TABLE IV", "图 2"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from figtune.extraction.records import FigureType

FIGURE_LABELS = (
    *("Figure", "Fig"),  # also French
    *("Abbildung", "Abb", "Bild"),
    *("Figura", "Rysunek", "Rys", "Obr", "Obrázek", "Şekil", "Kuva", "Figuur", "Figur", "Hình", "Slika"),
    *("Рисунок", "Рис", "Εικόνα", "Σχήμα"),
    *("图", "圖", "図", "그림"),
)
"""Labels of figures."""
TABLE_LABELS = (
    *("Table", "Tab", "Tabelle", "Tableau", "Tabla", "Tabela", "Tabella", "Tabel", "Tabell", "Tabulka", "Tablo"),
    *("Taulukko", "Bảng", "Tablica", "Таблица", "Табл", "Πίνακας", "表", "표"),
)
"""Labels of tables."""

_PREFIXES = r"Extended\s+Data|Supplementary|Supplemental|Suppl\.?|Appendix"
_LONGEST = 8  # characters of a line's beginning that are looked at first
_NUMBER = r"(?:[A-Z]{1,2}[.\-]?)?\d+(?:[.\-]\d+)*"
_MARK = "[.:|．：]"
_PANEL = rf"(?:[a-zA-Z]|\([a-zA-Z]\))(?=\s?{_MARK})"
_ROMAN_ALONE = r"[IVX]{1,6}(?=\s*$)"


@dataclass(frozen=True, slots=True)
class Label:
    """Beginning of a line that may open a caption."""

    figure_type: FigureType
    name: str
    """Name as printed, without blanks at the ends: "3", "A1", "2(b)", "Extended Data 1"."""
    mark: str
    """Sign after the name: ".", ":", "|", or empty."""
    rest: str
    """Text of the line after the mark."""
    word: str
    """The label itself: "Figure", "Fig", "图"."""


@dataclass(frozen=True, slots=True)
class CaptionLabels:
    """Labels that are looked for. Case does not matter, a point may follow."""

    figure: tuple[str, ...] = FIGURE_LABELS
    table: tuple[str, ...] = TABLE_LABELS

    def label_of(self, words: str) -> Label | None:
        """Return the label that a line begins with, or None. "Figures 1 and 2" has none: a letter follows the label."""
        match = _pattern(self.figure, self.table).match(words)
        if match is None:
            return None
        name = match["number"] or match["lettered"] or match["roman"]
        prefix = f"{' '.join(match['prefix'].split())} " if match["prefix"] else ""
        mark = unicodedata.normalize("NFKC", match["mark"] or match["end"] or "")
        return Label(
            "Figure" if match["figure"] else "Table",
            unicodedata.normalize("NFKC", prefix + name + (match["panel"] or "")),
            mark,
            match["rest"],
            match["figure"] or match["table"],
        )

    def may_begin(self, text: str) -> bool:
        """Return True if a line is worth a closer look, at little cost."""
        return text[:_LONGEST].casefold().startswith(_beginnings(self.figure, self.table))


ANY_LABEL = CaptionLabels()
"""All labels that are known."""


@lru_cache(maxsize=8)
def _beginnings(figure: tuple[str, ...], table: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({word[:3].casefold() for word in (*figure, *table, "Extended", "Supplementary", "Appendix")})


@lru_cache(maxsize=8)
def _pattern(figure: tuple[str, ...], table: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of labels. A capital letter is a name only before a mark, a roman number also where it ends
    the line or the label is set in capitals: "Figure A diagram" and "Figure I saw" are sentences."""
    return re.compile(
        rf"^(?P<prefix>(?i:{_PREFIXES})\s+)?(?:(?P<figure>(?i:{_any(figure)}))|(?P<table>(?i:{_any(table)})))"
        rf"(?![^\W\d_])\.?\s*"
        rf"(?:(?P<number>{_NUMBER})(?P<panel>{_PANEL})?\s?(?P<mark>{_MARK}?)"
        rf"|(?P<roman>{_ROMAN_ALONE}|(?<=[A-Z]\s)[IVX]{{1,6}}\b(?!\s?{_MARK}))"
        rf"|(?P<lettered>[IVX]{{1,6}}|[A-Z])\s?(?P<end>{_MARK}))(?P<rest>.*)$",
        re.DOTALL,
    )


def _any(labels: Iterable[str]) -> str:
    return "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
