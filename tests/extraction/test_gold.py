"""Real papers with labels made by hand, where there are any: `FIGTUNE_GOLD=folder pytest tests/extraction`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.scoring import GOLD_SUFFIX, Item, items_of, read_gold, score
from figtune.extraction.text_source import read_texts
from figtune.figures.detector import detect_figures
from figtune.pdf.document import Document
from figtune.pdf.text_cleanup import dehyphenator_for

pytestmark = pytest.mark.slow


@pytest.mark.skipif("FIGTUNE_GOLD" not in os.environ, reason="FIGTUNE_GOLD names no folder of labelled papers")
def test_scores_do_not_fall() -> None:
    labels = sorted(Path(os.environ["FIGTUNE_GOLD"]).glob(f"*{GOLD_SUFFIX}"))
    assert labels
    papers: list[tuple[list[Item], list[Item]]] = []
    for path in labels:
        pdf = path.with_name(path.name.removesuffix(GOLD_SUFFIX) + ".pdf")
        papers.append((read_gold(path), _found(pdf)))
    figures, tables = score(papers, "Figure"), score(papers, "Table")
    assert min(figures.precision, figures.recall) >= 0.985
    assert min(tables.precision, tables.recall) >= 0.98
    assert min(figures.mean_iou, tables.mean_iou) >= 0.98


def _found(path: Path) -> list[Item]:
    with Document(path) as document:
        texts = read_texts(document)
        return items_of(detect_figures(document, texts, dehyphenator_for(texts)).figures, texts)
