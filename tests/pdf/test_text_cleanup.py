"""Text as the text layer has it, and as a reader gets it."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from figtune.pdf.text_cleanup import normalize_glyphs
from tests.rows import each_row


@each_row(
    ("layer", "read"),
    [
        ("e\ufb03cient \ufb02ow", "efficient flow"),
        ("Doll´ar and Zollh¨ofer", "Dollár and Zollhöfer"),
        ("Franc¸ois", "François"),
        ("Mart´ ın C˘arbune", "Martín Cărbune"),
        ("of x.ˆ The", "of x.ˆ The"),
        ("j\u0338 = i, j\u0338=i", "j ≠ i, j≠i"),
        ("𝑥 ∼ 𝒩(0, 𝐈)", "x ∼ N(0, I)"),
        ("\U0001d437 as \ud437", "D as D"),
        ("a\x13b\ue123c\u200bd\ufffde\x00", "abcde"),
        ("non\u00a0breaking\ttab", "non breaking tab"),
        ("soft\u00ad", "soft-"),
        ("한국어 학습", "한국어 학습"),
        ("µ ≤ 10⁻³ °C", "µ ≤ 10⁻³ °C"),
        (" plain ", " plain "),
    ],
)
def test_clean(layer: str, read: str) -> None:
    assert normalize_glyphs(layer) == read


@given(st.text())
def test_nothing_without_meaning_is_left_and_nothing_changes_twice(text: str) -> None:
    once = normalize_glyphs(text)
    assert all(unicodedata.category(character) not in {"Cc", "Co", "Cn", "Cs"} for character in once)
    assert "\ufffd" not in once
    assert normalize_glyphs(once) == once


def test_codes_of_ligatures_in_fonts_without_names() -> None:
    """Type 3 fonts of TeX give the code in the font; elsewhere such codes mean nothing."""
    assert normalize_glyphs("an e\x0ecient \x0clter o\x0b") == "an efficient filter off"
    assert normalize_glyphs("in\x0duence") == "influence"
    assert normalize_glyphs("end of line\x0d") == "end of line "
