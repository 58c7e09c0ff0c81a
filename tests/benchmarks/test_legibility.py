"""Words of panels counted from the papers themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from benchmarks import legibility
from figtune.core.jsonl import write_records
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, Panel
from figtune.pdf.document import Document
from tests.dataset.content_maker import PLAIN_FIGURE, paper

LEFT, RIGHT = (50.0, 100.0, 170.0, 220.0), (170.0, 100.0, 290.0, 220.0)
FIGURE = replace(
    PLAIN_FIGURE,
    region_box=(50.0, 100.0, 290.0, 220.0),
    crop_size=(960, 480),
    dpi=288,
    panels=(Panel(label="a", box=LEFT, caption=""), Panel(label="b", box=RIGHT, caption="")),
)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """Three words of 8 points in the left panel, two of 4 points in the right one, and words below both."""
    file = pymupdf.open()
    page = file.new_page(width=595, height=792)
    for x, y, words, size in ((70, 150, "Image encoder head", 8), (190, 200, "Loss curve", 4), (70, 400, "Below", 8)):
        page.insert_text((x, y), words, fontname="helv", fontsize=size)
    file.save(tmp_path / "paper.pdf")
    return tmp_path


def test_each_panel_has_the_words_within_it(papers: Path) -> None:
    with Document(papers / "paper.pdf") as document:
        figure = replace(FIGURE, page=1)
        assert list(legibility._panel_words(document, figure)) == [
            ((488, 480), Counter({8.0: 3})),
            ((488, 480), Counter({4.0: 2})),
        ]


def test_a_panel_is_read_better_than_its_figure(papers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = papers / "content"
    content.mkdir()
    write_records(content / PAPERS_FILE, [paper("paper")])
    write_records(content / FIGURES_FILE, [FIGURE])
    assert legibility.main([str(content), "--panels", str(papers)]) == 0
    first, _, *rows = capsys.readouterr().out.splitlines()
    assert first == "1 figures, 2 panels with words, 5 words"
    shares = {row[:24].strip(): row[24:].split() for row in rows}
    # 8 points are 32 pixels of the crop, 7.5 across where the figure is squashed to 224, and 14.7 where a panel is.
    assert shares["PaliGemma, 224 x 224"] == ["0.00", "0.60"]
    assert shares["the crop itself"] == ["1.00", "1.00"]
    assert shares["Gemma 3, 896 x 896"] == ["1.00", "1.00"]
