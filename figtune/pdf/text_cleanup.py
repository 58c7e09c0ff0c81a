"""Cleanup of the text layer: ligatures, mathematical letters, accents, characters without meaning."""

from __future__ import annotations

import re
import unicodedata

# TeX's old text fonts print an accent and a letter as two glyphs, and so do their text layers ("Doll´ar").
_COMBINING = {
    "´": "\u0301",
    "`": "\u0300",
    "¨": "\u0308",
    "ˆ": "\u0302",
    "˜": "\u0303",
    "¯": "\u0304",
    "ˇ": "\u030c",
    "˘": "\u0306",
    "˚": "\u030a",
    "˝": "\u030b",
    "¸": "\u0327",
}
_ACCENT_THEN_LETTER = re.compile(r"([´`¨ˆ˜¯ˇ˘˚˝])(?:(?<=[A-Za-z].) )?([A-Za-zı])")
_LETTER_THEN_CEDILLA = re.compile(r"([A-Za-z])¸(?=[A-Za-z])|(?<=[A-Za-z])¸([A-Za-z])")
_APART = re.compile("[´`¨ˆ˜¯ˇ˘˚˝¸\u0338]")  # what the patterns around this one look for
_STRUCK_EQUAL = re.compile("\u0338( ?)=")
# Anything outside plain printable ASCII that needs none of the repairs below.
_SUSPECT = re.compile(r"[^ -_a-~]")
# Some fonts map mathematical letters (U+1D400 to U+1D7FF) without their first digit, into Hangul. A Hangul syllable is
# hardly ever alone in Korean text.
_CUT_MATH_LETTER = re.compile("(?<![\uac00-\ud7ff])[\ud400-\ud7ff](?![\uac00-\ud7ff])")
_BLANK = "\t\n\r\x0b\x0c"
# Type 3 fonts of TeX have no names for their glyphs, so that a ligature comes as its code in the font: from 11 in
# Knuth's encoding (The TeXbook, appendix F), from 27 in Cork's. They stand within words or at an end of one.
_LIGATURES = dict(zip("\x0b\x0c\x0d\x0e\x0f\x1b\x1c\x1d\x1e\x1f", 2 * ("ff", "fi", "fl", "ffi", "ffl"), strict=True))
_LIGATURE = re.compile(r"(?<=[^\W\d_])[\x0b\x0c\x0e\x0f\x1b-\x1f]|[\x0b-\x0f\x1b-\x1f](?=[^\W\d_])")


def normalize_glyphs(text: str) -> str:
    """`text` with ligatures and mathematical letters spelled out, accents joined to their letters, and everything
    that has no meaning to a reader (control, private-use, unassigned and zero-width characters, U+FFFD) gone.

    Length may change; blanks at the ends stay, since the caller joins pieces of a line.
    """
    if not _SUSPECT.search(text):
        return text
    lettered = _LIGATURE.sub(lambda match: _LIGATURES[match[0]], text)
    mapped = _CUT_MATH_LETTER.sub(lambda match: chr(ord(match[0]) + 0x10000), lettered)
    spelled = "".join(_spelled(character) for character in mapped)
    return compose_accents(spelled)


def count_meaningless(text: str) -> int:
    """Return the number of characters that `normalize_glyphs` drops because they mean nothing to a reader."""
    if not _SUSPECT.search(text):
        return 0
    return sum(_spelled(character) == "" for character in _CUT_MATH_LETTER.sub("x", text))


def compose_accents(text: str) -> str:
    """`text` with accents joined to their letters, and strokes to the signs that they strike out."""
    if not _APART.search(text):
        return unicodedata.normalize("NFC", text)
    joined = _STRUCK_EQUAL.sub(r"\1≠", _ACCENT_THEN_LETTER.sub(_join_accent, text))
    return unicodedata.normalize("NFC", _LETTER_THEN_CEDILLA.sub(_join_cedilla, joined))


def _spelled(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in _BLANK:
        return " "
    if character == "\u00ad":  # a soft hyphen that was printed is a hyphen
        return "-"
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Co", "Cn", "Cs"} or character == "\ufffd":
        return ""
    if category in {"Zs", "Zl", "Zp"}:
        return " "
    if "\ufb00" <= character <= "\ufb06" or "\U0001d400" <= character <= "\U0001d7ff":
        return unicodedata.normalize("NFKC", character)
    return character


def _join_accent(match: re.Match[str]) -> str:
    letter = "i" if match[2] == "ı" else match[2]
    return unicodedata.normalize("NFC", letter + _COMBINING[match[1]])


def _join_cedilla(match: re.Match[str]) -> str:
    # TeX sets the mark before or after its letter, so take the one letter that carries it: c or s.
    before, after = match[1] or "", match[2] or ""
    return unicodedata.normalize("NFC", (before or after) + _COMBINING["¸"])
