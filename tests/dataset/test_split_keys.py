"""Papers are split by their content: copies stay together, and no file name matters."""

from __future__ import annotations

from pathlib import Path

from figtune.core.jsonl import write_records
from figtune.dataset.split_assignment import SplitKeys
from figtune.extraction.records import PAPERS_FILE, PaperRecord
from tests.rows import each_row

TITLE = "Sparse Ray Probes for Refining Depth"


def _paper(title: str, text_key: str = "text", paper_id: str = "a-1", sha256: str = "1") -> PaperRecord:
    return PaperRecord(
        paper_id=paper_id,
        file=f"{paper_id}.pdf",
        sha256=sha256,
        pages=8,
        status="ok",
        reason="",
        title=title,
        figures=1,
        tables=0,
        text_key=text_key,
    )


def _keys(folder: Path, papers: list[PaperRecord]) -> list[str]:
    write_records(folder / PAPERS_FILE, papers)
    keys = SplitKeys(folder)
    return [keys.key_of(paper) for paper in papers]


@each_row(
    "copy",
    [
        TITLE.upper(),
        "Sparse Ray-Probes for\nReﬁning Depth",
        f"{TITLE}: Supplementary Material",
        f"Supplementary Material for {TITLE}",
        f"{TITLE} (Appendix)",
    ],
)
def test_copies_of_a_paper_have_one_key(tmp_path: Path, copy: str) -> None:
    first, second = _keys(tmp_path, [_paper(TITLE), _paper(copy, "other", "b-2", "2")])
    assert first == second


def test_other_papers_have_other_keys(tmp_path: Path) -> None:
    assert len(set(_keys(tmp_path, [_paper(TITLE), _paper("Knowing the Weave: Finding Faults")]))) == 2


@each_row("title", ["", "Untitled", "Supplementary Material", "Appendix", "• • •"])
def test_a_title_that_says_nothing_gives_way_to_the_text(tmp_path: Path, title: str) -> None:
    assert _keys(tmp_path, [_paper(title, "one"), _paper(title, "two"), _paper(title, "one", "c", "3")]) == [
        "one",
        "two",
        "one",
    ]
    assert _keys(tmp_path, [_paper(title, "", sha256="9")]) == ["9"]


def test_a_title_that_stands_on_many_papers_is_none(tmp_path: Path) -> None:
    papers = [_paper("Journal of Many Things", f"text {number}") for number in range(9)]
    assert len(set(_keys(tmp_path, papers))) == 9
