"""Near copies are found without comparing each with each, and no others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from figtune.core.errors import InputError
from figtune.dataset import dedup
from figtune.dataset.dedup import (
    Hashes,
    first_near_duplicate,
    near_duplicates_brute_force,
    near_duplicates_by_bands,
)
from figtune.dataset.image_store import HASH_BITS, inspect_image
from tests.dataset.content_maker import picture, save
from tests.rows import each_row

NEAR = 12


def hashes(values: Sequence[int]) -> Hashes:
    """Pictures known by their place in a list."""
    data = b"".join(value.to_bytes(16, "little") for value in values)
    return Hashes.of(np.arange(len(values)), data, 128)


@given(
    st.lists(st.integers(0, 2**128 - 1), max_size=8),
    st.lists(st.lists(st.integers(0, 127), max_size=6), max_size=8),
    st.integers(0, 6),
)
def test_of_each_picture_exactly_the_first_near_one(values: list[int], flips: list[list[int]], at_most: int) -> None:
    for bits in flips if values else []:
        changed = values[0]
        for bit in bits:
            changed ^= 1 << bit
        values = [*values, changed]
    some, others = values[::2], values[1::2]
    expected = [
        next((index for index, one in enumerate(some) if (one ^ other).bit_count() <= at_most), len(some))
        for other in others
    ]
    for search in (near_duplicates_brute_force, near_duplicates_by_bands) if some and others else ():
        assert search(hashes(some), hashes(others), at_most).tolist() == expected
    assert first_near_duplicate(hashes(some), hashes(others), at_most).tolist() == expected


@each_row("kinds", [1, 300])
def test_many_pictures_of_one_kind_or_of_many(kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_AT_ONCE", 100)
    draw = random.Random(0)
    middles = [draw.getrandbits(128) for _ in range(kinds)]
    some, others = ([_noisy(draw.choice(middles), draw) for _ in range(count)] for count in (400, 200))
    expected = near_duplicates_brute_force(hashes(some), hashes(others), 3).tolist()
    assert 0 < sum(index < 400 for index in expected) < 200
    assert near_duplicates_by_bands(hashes(some), hashes(others), 3).tolist() == expected


def _noisy(value: int, draw: random.Random) -> int:
    for _ in range(draw.randrange(6)):
        value ^= 1 << draw.randrange(128)
    return value


def test_copies_are_near_and_other_pictures_are_far(tmp_path: Path) -> None:
    save(picture("one"), tmp_path / "one.png")
    save(picture("one").resize((320, 240), Image.Resampling.LANCZOS), tmp_path / "large.png")
    save(picture("one").convert("RGB"), tmp_path / "lossy.jpg")
    save(picture("two"), tmp_path / "two.png")
    one, large, lossy, two = (
        inspect_image(tmp_path / name).perceptual_hash for name in ("one.png", "large.png", "lossy.jpg", "two.png")
    )
    assert (one ^ large).bit_count() <= NEAR
    assert (one ^ lossy).bit_count() <= NEAR
    assert (one ^ two).bit_count() > HASH_BITS // 4


def test_ink_is_what_differs_from_the_background(tmp_path: Path) -> None:
    page = Image.new("RGB", (100, 100), "white")
    ImageDraw.Draw(page).rectangle((0, 0, 99, 9), fill="black")
    save(page, tmp_path / "page.png")
    facts = inspect_image(tmp_path / "page.png")
    assert facts.ink_share == pytest.approx(0.1)
    assert (facts.width, facts.height) == (100, 100)


@each_row("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.png"):
        inspect_image(tmp_path / "broken.png")


def test_an_image_that_breaks_off_is_said(tmp_path: Path) -> None:
    save(picture("one"), tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"half\.png"):
        inspect_image(tmp_path / "half.png")
