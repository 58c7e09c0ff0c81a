"""The text of a paper: title, abstract, sections with their paragraphs, references apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from figtune.extraction.records import PaperText, Paragraph, Section
from figtune.layout.line_roles import Role
from figtune.layout.paragraphs import REFERENCES, TextBlock
from figtune.layout.text_rows import TextRow, UnclaimedLines
from figtune.pdf.page import Line
from figtune.pdf.text_cleanup import Dehyphenator

_ABSTRACT = re.compile(r"^abstract[.:—–-]?$", re.IGNORECASE)
_RUN_IN = re.compile(r"^(?i:abstract)(?:\s*[.:—–-]+\s*|\s+(?=[^a-z\s]))")
_INTRODUCTION = re.compile(r"^(?:(?:1|I)\.?\s+)?introduction$", re.IGNORECASE)
_INDEX_TERMS = re.compile(r"^(?:CCS Concepts|(?:Additional )?Key\s?words|Index Terms|General Terms)\b", re.IGNORECASE)
_SHORTEST_ABSTRACT = 200  # characters of one without a heading
_SENTENCE_END = re.compile(r"[a-z]{3,}\.\s+[A-Z][a-z]*\s")
_FEWEST_SENTENCE_ENDS = 2  # between the sentences of an abstract without a heading
_ENTRIES = (re.compile(r"^\[[\w+]+\]"), re.compile(r"^\d{1,3}\.\s"))
_SAME_SIZE = 0.5  # points
_NEXT_ROW = 1.6  # em from row to row of a title
_LONGEST_ENTRY = 8  # rows, on average
_HANGING = 0.4  # em by which the further rows of an entry are indented


def paper_text(
    paper_id: str, first_page: UnclaimedLines, blocks: Sequence[TextBlock], dehyphenator: Dehyphenator
) -> PaperText:
    """Return the passages of a paper sorted into what they are."""
    abstract: list[str] = []
    opening = _bold_opening(blocks)
    references: list[str] = []
    sections: list[Section] = []
    for heading, body in _under_headings(blocks):
        if _ABSTRACT.match(heading):
            abstract += [passage.text for passage in body]
        elif REFERENCES.match(heading):
            references += _entries([row for passage in body for row in passage.rows], dehyphenator)
        else:
            paragraphs = tuple(
                Paragraph(page=passage.page_index + 1, text=passage.text) for passage in body if passage is not opening
            )
            sections.append(Section(heading=heading, paragraphs=paragraphs))
    if not abstract and sections and not sections[0].heading:
        own = _abstract_without_heading(sections[0].paragraphs, sections[1].heading if len(sections) > 1 else "")
        abstract = [_RUN_IN.sub("", paragraph.text) for paragraph in own]
        rest = tuple(paragraph for paragraph in sections[0].paragraphs if paragraph not in own)
        sections[0] = Section(heading="", paragraphs=rest)
    if opening is not None:
        abstract = [opening.text]
    return PaperText(
        paper_id=paper_id,
        title=_title(first_page, dehyphenator),
        abstract="\n".join(abstract) or _abstract_in_front(first_page, dehyphenator),
        sections=tuple(section for section in sections if section.heading or section.paragraphs),
        references=tuple(references),
    )


def _abstract_without_heading(paragraphs: Sequence[Paragraph], next_heading: str) -> list[Paragraph]:
    """Return the abstract among the paragraphs before the first heading: the one that says so itself, or else those up
    to the keywords, where the introduction follows."""
    for paragraph in paragraphs:
        if _RUN_IN.match(paragraph.text):
            return [paragraph]
    if not _INTRODUCTION.match(next_heading):
        return []
    before = list(takewhile(lambda paragraph: not _INDEX_TERMS.match(paragraph.text), paragraphs))
    return before if sum(len(paragraph.text) for paragraph in before) >= _SHORTEST_ABSTRACT else []


def _bold_opening(blocks: Sequence[TextBlock]) -> TextBlock | None:
    """Return the first paragraph if it is an abstract set in bold type, as in Nature; None where a heading tells."""
    if any(block.kind == "heading" and _ABSTRACT.match(block.text) for block in blocks):
        return None
    first = next((block for block in blocks if block.kind == "paragraph"), None)
    if first is None or not first.bold or _RUN_IN.match(first.text) or not _reads_like_abstract(first.text):
        return None
    return first


def _abstract_in_front(first_page: UnclaimedLines, dehyphenator: Dehyphenator) -> str:
    """Return the abstract that stands between authors and text without a heading, as in REVTeX: the last run of lines
    of one size with whole sentences; empty where there is none."""
    front = [line for line, role in first_page.lines if role is Role.FRONT and line.horizontal and line.text]
    runs: list[list[Line]] = []
    for line in sorted(front, key=lambda line: (line.baseline, line.box.x0)):
        last = runs[-1][-1] if runs else None
        near = last is not None and line.baseline - last.baseline <= _NEXT_ROW * line.size
        if last is None or not near or abs(line.size - last.size) > _SAME_SIZE:
            runs.append([])
        runs[-1].append(line)
    texts = (dehyphenator.join([line.text for line in run]) for run in reversed(runs))
    return next(filter(_reads_like_abstract, texts), "")


def _reads_like_abstract(text: str) -> bool:
    """Return True for several sentences: lists of authors and affiliations have none."""
    return len(text) >= _SHORTEST_ABSTRACT and len(_SENTENCE_END.findall(text)) >= _FEWEST_SENTENCE_ENDS


def _under_headings(blocks: Sequence[TextBlock]) -> Iterator[tuple[str, list[TextBlock]]]:
    """Yield headings, the first one empty, with the blocks under each."""
    heading: str = ""
    body: list[TextBlock] = []
    for passage in blocks:
        if passage.kind == "heading":
            yield heading, body
            heading, body = passage.text, []
        else:
            body.append(passage)
    yield heading, body


def _entries(rows: Sequence[TextRow], dehyphenator: Dehyphenator) -> list[str]:
    """Return references one by one: each begins with its number, or, where they have none, further left than it goes
    on."""
    style = max(_ENTRIES, key=lambda style: sum(bool(style.match(row.text)) for row in rows))
    numbered = sum(bool(style.match(row.text)) for row in rows) * _LONGEST_ENTRY >= len(rows)
    entries: list[list[str]] = []
    for row in rows:
        further_left = row.box.x0 - row.column.x0 <= _HANGING * row.size
        begins = bool(style.match(row.text)) if numbered else further_left
        if begins or not entries:
            entries.append([])
        entries[-1].append(row.text)
    return [dehyphenator.join(entry) for entry in entries]


def _title(first_page: UnclaimedLines, dehyphenator: Dehyphenator) -> str:
    """Return the largest type in the upper half of the first page, with the rows of the same size right below it."""
    worded = [(line, role) for line, role in first_page.lines if line.horizontal and _is_worded(line)]
    middle = 0.5 * max((line.box.bottom for line, _ in worded), default=0.0)
    upper = [(line, role) for line, role in worded if line.box.top < middle]
    front = [line for line, role in upper if role is Role.FRONT] or [line for line, _ in upper]
    if not front:
        return ""
    largest = max(line.size for line in front)
    found: list[Line] = []
    for line in sorted(front, key=lambda line: (line.baseline, line.box.x0)):
        if abs(line.size - largest) > _SAME_SIZE:
            continue
        if found and line.baseline - found[-1].baseline > _NEXT_ROW * largest:
            break
        found.append(line)
    return dehyphenator.join([line.text for line in found])


def _is_worded(line: Line) -> bool:
    return sum(map(str.isalpha, line.text)) >= 3
