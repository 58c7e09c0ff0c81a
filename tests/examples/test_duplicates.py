"""Near copies are found without comparing each with each, and no others."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from figtune.examples.duplicates import near_pairs
from figtune.examples.images import HASH_BITS, look_at
from figtune.pipeline.errors import InputError
from tests.examples.making import picture, save

NEAR = 12


@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=8),
    st.lists(st.lists(st.integers(0, 31), max_size=6), max_size=8),
    st.integers(0, 6),
)
def test_exactly_the_near_pairs(values: list[int], flips: list[list[int]], at_most: int) -> None:
    for bits in flips if values else []:
        changed = values[0]
        for bit in bits:
            changed ^= 1 << bit
        values = [*values, changed]
    some = dict(enumerate(values[::2]))
    others = dict(enumerate(values[1::2]))
    expected = {(a, b) for a, b in product(some, others) if (some[a] ^ others[b]).bit_count() <= at_most}
    found = list(near_pairs(some, others, 32, at_most))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_copies_are_near_and_other_pictures_are_far(tmp_path: Path) -> None:
    save(picture("one"), tmp_path / "one.png")
    save(picture("one").resize((320, 240), Image.Resampling.LANCZOS), tmp_path / "large.png")
    save(picture("one").convert("RGB"), tmp_path / "lossy.jpg")
    save(picture("two"), tmp_path / "two.png")
    one, large, lossy, two = (
        look_at(tmp_path / name).perceptual_hash for name in ("one.png", "large.png", "lossy.jpg", "two.png")
    )
    assert (one ^ large).bit_count() <= NEAR
    assert (one ^ lossy).bit_count() <= NEAR
    assert (one ^ two).bit_count() > HASH_BITS // 4


def test_ink_is_what_differs_from_the_background(tmp_path: Path) -> None:
    page = Image.new("RGB", (100, 100), "white")
    ImageDraw.Draw(page).rectangle((0, 0, 99, 9), fill="black")
    save(page, tmp_path / "page.png")
    facts = look_at(tmp_path / "page.png")
    assert facts.ink_share == pytest.approx(0.1)
    assert (facts.width, facts.height) == (100, 100)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_image_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.png"):
        look_at(tmp_path / "broken.png")


def test_an_image_that_breaks_off_is_said(tmp_path: Path) -> None:
    save(picture("one"), tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"half\.png"):
        look_at(tmp_path / "half.png")
