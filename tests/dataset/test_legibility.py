"""Words that a vision encoder can read: sizes by the encoders' own processors, and counts with exact truth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Gemma4ImageProcessorPil

from figtune.dataset.figure_words import ENCODERS, READABLE_PIXELS, count_readable_words
from figtune.dataset.finalize import StatsCollector
from figtune.extraction.records import FigureRecord
from figtune.models.families import family_of
from figtune.models.family import Processor
from figtune.models.model_files import ImageTextProcessor

DPI = 144
"""Two pixels a point."""


def figure(size: tuple[int, int], *text_sizes: tuple[float, int]) -> FigureRecord:
    return FigureRecord(
        paper_id="p",
        figure_id="p-figure-1",
        figure_type="Figure",
        name="1",
        page=1,
        caption="Figure 1.",
        caption_box=None,
        region_box=(0, 0, size[0] / 2, size[1] / 2),
        crop="crops/p/p-figure-1.png",
        crop_size=size,
        dpi=DPI,
        kind="plot",
        kind_score=1.0,
        confidence=1.0,
        reason="",
        figure_text="",
        panels=(),
        mentions=(),
        text_sizes=text_sizes,
    )


@given(width=st.integers(64, 2048), height=st.integers(64, 2048), tokens=st.sampled_from((280, 560, 1120)))
def test_gemma4_resizes_to_the_size_that_is_stated(width: int, height: int, tokens: int) -> None:
    if max(width, height) > 8 * min(width, height):
        return
    processor: Processor = ImageTextProcessor(
        tokenizer=None,
        image_processor=Gemma4ImageProcessorPil(max_soft_tokens=tokens),
        chat_template=None,
        folder=None,  # type: ignore[arg-type]  # not read
    )
    rows, columns = family_of("gemma4", "").image_layout(processor, (width, height)).grid
    assert ENCODERS[f"Gemma 4, {tokens} tokens"]((width, height)) == (48 * columns, 48 * rows)


def test_words_are_readable_from_their_size_at_the_encoder_on() -> None:
    least = READABLE_PIXELS / 2  # points, where nothing is shrunk
    square = figure((896, 896), (least - 0.1, 3), (least, 5), (2 * least, 7))
    words, readable = count_readable_words(square)
    assert words == 15
    assert (readable["Gemma 3, 896 x 896"], readable["the crop itself"]) == (12, 12)
    assert readable["PaliGemma, 224 x 224"] == 0


def test_squashing_counts_by_the_direction_that_shrinks_more() -> None:
    wide = figure((1792, 448), (READABLE_PIXELS / 2, 4), (READABLE_PIXELS, 6))
    _, readable = count_readable_words(wide)
    assert readable["Gemma 3, 896 x 896"] == 6
    # 1,120 tokens have room for 1,792 x 448 pixels with nothing lost but the rest of a square.
    assert readable["Gemma 4, 1120 tokens"] >= 6


def test_enlarging_adds_nothing_to_read() -> None:
    small = figure((100, 100), (READABLE_PIXELS / 2 - 0.1, 9))
    assert set(count_readable_words(small)[1].values()) == {0}


def test_shares_are_of_the_words_of_each_kind() -> None:
    collector = StatsCollector()
    least = READABLE_PIXELS / 2
    collector.add_printed_words(figure((896, 896), (least, 3), (least / 2, 1)))
    collector.add_printed_words(figure((896, 896), (least, 4)))
    collector.add_printed_words(replace(figure((896, 896), (least / 2, 5)), kind="diagram"))
    collector.add_printed_words(replace(figure((896, 896)), kind="qualitative"))
    stats = collector.stats(0, (), "")
    assert stats.printed_words == {"diagram": 5, "plot": 8}
    assert stats.legibility["Gemma 3, 896 x 896"] == pytest.approx({"diagram": 0.0, "plot": 7 / 8})
