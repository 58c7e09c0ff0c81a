"""Drawings: deterministic, balanced, and their facts read back from their pixels."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.canvas import COLOURS, WORDS
from benchmarks.drawings import KIND_NAMES, LETTERS, SHAPES, Drawing, DrawnKind, draw
from tests.rows import each_row

COUNT = 900
_FACT = re.compile(
    rf"\b({'|'.join((*COLOURS, *WORDS, *SHAPES, 'rises', 'falls'))})\b|(row|column) \d|"
    rf"{'|'.join(map(re.escape, LETTERS))}"
)


@cache
def drawings() -> tuple[tuple[Drawing, Image.Image], ...]:
    return tuple(draw(number) for number in range(COUNT))


def of_kind(kind: DrawnKind) -> Iterator[tuple[Drawing, Image.Image]]:
    return ((drawing, picture) for drawing, picture in drawings() if drawing.kind == kind)


def answer(drawing: Drawing, slug: str) -> str | None:
    return next((each.answer for each in drawing.questions if each.slug == slug), None)


def nearest_colours(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the nearest colour where one is near, else -1."""
    distances = np.abs(pixels[..., None, :] - np.array(list(COLOURS.values()))).max(axis=-1)
    return np.where(distances.min(axis=-1) <= 20, distances.argmin(axis=-1), -1)


@pytest.mark.slow
def test_a_number_decides_the_picture_and_no_two_are_alike() -> None:
    assert tuple(draw(number) for number in range(20)) == drawings()[:20]
    assert len({picture.tobytes() for _, picture in drawings()}) == COUNT
    assert {drawing.kind for drawing, _ in drawings()} == set(KIND_NAMES)


@pytest.mark.slow
def test_the_longest_bar_has_the_most_pixels_of_its_colour() -> None:
    names = list(COLOURS)
    for drawing, picture in of_kind("bars"):
        seen = Counter(nearest_colours(np.array(picture, dtype=np.int64)).flatten().tolist())
        # Print and outlines are black, or nearly.
        told = re.findall(rf"in ({'|'.join(names)})", drawing.caption)
        if "black" not in told:
            by_size = sorted((index for index in seen if index >= 0 and names[index] != "black"), key=seen.__getitem__)
            assert [names[by_size[-1]], names[by_size[0]]] == told
        assert answer(drawing, "highest") in (None, told[0])


@pytest.mark.slow
def test_the_line_that_ends_highest_is_the_topmost_at_the_right() -> None:
    checked = 0
    for drawing, picture in of_kind("lines"):
        told = re.search(r"(\w+) ends highest, (\w+) ends lowest", drawing.caption)
        assert told is not None
        last = np.array(picture, dtype=np.int64)[24:-24, -17:-13]
        rows = nearest_colours(last)
        places = {list(COLOURS)[index]: np.argwhere(rows == index)[:, 0].mean() for index in set(rows.flatten()) - {-1}}
        # Frame and grid may hide a thin line, and are black or grey themselves.
        if {"black", told[1], told[2]} <= {*places, "black"} and "black" not in told.groups():
            coloured = {name: place for name, place in places.items() if name != "black"}
            assert (min(coloured, key=coloured.__getitem__), max(coloured, key=coloured.__getitem__)) == told.groups()
            checked += 1
    assert checked > 40


def test_the_darkest_cell_is_where_the_caption_has_it() -> None:
    for drawing, picture in of_kind("heat"):
        _, columns, rows, *_ = drawing.layout.split("-")
        pixels = np.array(picture.convert("L"), dtype=np.int64)
        area = pixels[24 : picture.height - 24, 14 : picture.width - 12]
        height, width = area.shape
        cells = [
            (area[round(height * (row + 0.5) / int(rows)), round(width * (column + 0.5) / int(columns))], row, column)
            for row in range(int(rows))
            for column in range(int(columns))
        ]
        _, row, column = min(cells)
        assert drawing.caption.endswith(f"row {row + 1} and column {column + 1}.")
        half = answer(drawing, "half")
        assert half in (None, "upper half" if row < int(rows) / 2 - 0.5 else "lower half")


def test_boxes_follow_each_other_as_the_caption_says() -> None:
    for drawing, _ in of_kind("blocks"):
        chain = drawing.caption.removeprefix("A block diagram: ").rstrip(".").split(" leads to ")
        assert sorted(chain) == sorted(drawing.words)
        assert len(chain) == drawing.parts
        assert answer(drawing, "first") in (None, chain[0])
        for question in drawing.questions:
            if question.slug == "follows":
                before = question.request.removeprefix("Which box follows ").rstrip("?")
                assert chain[chain.index(before) + 1] == question.answer


def test_words_are_read_line_by_line() -> None:
    for drawing, _ in of_kind("panels"):
        title, *letters = drawing.words
        assert title in WORDS
        assert sorted(letters) == list(LETTERS[: drawing.parts])
        if "-2x2-forward" in drawing.layout:
            assert letters == list(LETTERS)
        if "-2x2-down" in drawing.layout:
            assert letters == ["(a)", "(c)", "(b)", "(d)"]
        if "-backward" in drawing.layout:
            assert letters == list(LETTERS[: drawing.parts])[::-1]
    for drawing, _ in of_kind("scatter"):
        assert drawing.caption.startswith(f"A scatter plot of {' over '.join(drawing.words)}:")


@pytest.mark.slow
def test_answers_are_balanced() -> None:
    answers: defaultdict[str, list[str]] = defaultdict(list)
    for number in range(6000, 9000):
        for question in draw(number)[0].questions:
            answers[question.slug].append(question.answer)
    for slug, given in answers.items():
        counts = Counter(given)
        (most,) = counts.most_common(1)
        assert most[1] / len(given) < 1 / len(counts) + 0.07, (slug, counts)
    assert {"kind", "count", "word", "control", "highest", "follows", "trend", "shape", "half", "side"} <= set(answers)


def test_words_that_are_asked_about_are_printed_as_often_as_not() -> None:
    for drawing, _ in drawings():
        for question in drawing.questions:
            if question.slug == "word":
                word = question.request.split()[1]
                assert (word in drawing.words) == (question.answer == "yes")


@each_row("kind", KIND_NAMES)
def test_captions_of_a_layout_differ_in_facts_alone(kind: DrawnKind) -> None:
    wordings: defaultdict[str, set[str]] = defaultdict(set)
    captions: defaultdict[str, set[str]] = defaultdict(set)
    for drawing, _ in of_kind(kind):
        wordings[drawing.layout].add(_FACT.sub("_", drawing.caption))
        captions[drawing.layout].add(drawing.caption)
    assert all(len(of_layout) == 1 for of_layout in wordings.values())
    assert max(map(len, captions.values())) > 4
