"""Keys that papers are split by: their titles, or how their text begins, so that names of files decide nothing.

An arXiv and a conference copy of a paper, or a paper and its supplement, have one title and hence one split. Different
papers that share a title by chance merely share a split, which leaks nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path

from figtune.core import commands
from figtune.core.jsonl import stream_records
from figtune.extraction.records import PAPERS_FILE, PaperRecord

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_SUPPLEMENT = re.compile(
    r"\b(?:supplement(?:ary|al)?(?: (?:materials?|information|document))?|appendix|appendices)\b(?: (?:for|of|to)\b)?",
    re.IGNORECASE,
)
_FEWEST_CHARACTERS = 12
"""Fewest characters of a title that tells papers apart: "Untitled" or "Abstract" says nothing."""
_MOST_PAPERS = 8
"""Most papers with one title. Versions and supplements of a paper are fewer; a journal's name in large type stands on
all of its papers, and would send all of them to one split."""


class SplitKeys:
    """Split keys of the papers of a content folder."""

    def __init__(self, content_dir: Path) -> None:
        """Count titles.

        Raises:
            ArtifactMissingError, InputError: see `stream_records`.
        """
        papers = stream_records(content_dir / PAPERS_FILE, PaperRecord, commands.EXTRACT)
        self._titles = Counter(_normalized(paper.title) for paper in papers)

    def key_of(self, paper: PaperRecord) -> str:
        """Return the title in normal form, else the hash of how the text begins, else that of the file."""
        title = _normalized(paper.title)
        if len(title) >= _FEWEST_CHARACTERS and self._titles[title] <= _MOST_PAPERS:
            return title
        return paper.text_key or paper.sha256 or paper.paper_id


def _normalized(title: str) -> str:
    """Return letters and digits alone: line breaks, hyphens, ligatures, accents and case differ between copies."""
    plain = unicodedata.normalize("NFKD", title).casefold()
    return _NOT_ALPHANUMERIC.sub("", _SUPPLEMENT.sub("", _without_accents(plain)))


def _without_accents(text: str) -> str:
    return "".join(character for character in text if not unicodedata.combining(character))
