"""Numbers as people read them: one format for each kind, for the screen, the reports and the cards alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

_LARGEST_PERPLEXITY = 99_999
_WITHOUT_DECIMALS = 100
_SMALLEST_P = 0.001
_GB = 1e9
_PLURAL = re.compile(r"\b(\w*[^\Ws])s\b")
"""A plural noun with its `s`; "loss" and "passes" are left to whoever counts them."""


def fixed(value: float | None, digits: int) -> str:
    """Return `value` with `digits` decimals: never `-0.00`; `-` for None, `not finite` for NaN and infinities."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "not finite"
    # Adding 0.0 turns the negative zero, which rounding makes of small negative numbers, into a positive one.
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Return a difference with its sign, `+0.12` or `-0.12`; without one where it rounds to zero, `0.00`."""
    text = fixed(value, digits)
    return f"+{text}" if round(value, digits) > 0 else text


def perplexity(value: float) -> str:
    """Return a perplexity with one decimal, from 100 on with none, and cut where its digits say nothing: a random
    model's runs into billions.
    """
    if value > _LARGEST_PERPLEXITY:
        return f"over {_LARGEST_PERPLEXITY:,}"
    return fixed(value, 1 if value < _WITHOUT_DECIMALS else 0)


def percent(share: float) -> str:
    """Return a share in [0, 1] as `17 %`; `<1 %` and `>99 %` where rounding would claim none or all."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "<1 %"
    if rounded == 100 and share < 1:
        return ">99 %"
    return f"{rounded} %"


def p_value(p: float) -> str:
    """Return `p = 0.031` with two significant digits, or `p < 0.001`."""
    return f"p = {p:.2g}" if p >= _SMALLEST_P else f"p < {_SMALLEST_P}"


def count(number: int, plural: str) -> str:
    """Return a number with what it counts, given in the plural: `1 example`, `1,204 train examples`."""
    return f"{number:,} {noun(number, plural)}"


def noun(number: int, plural: str) -> str:
    """Return the singular of `plural` where `number` is 1: "figures used" becomes "figure used"."""
    return _PLURAL.sub(r"\1", plural) if number == 1 else plural


def gigabytes(size: float) -> str:
    """Return bytes as `10.7 GB` (decimal)."""
    return f"{fixed(size / _GB, 1)} GB"


FORMATS: Mapping[str, Callable[..., str]] = {
    each.__name__: each for each in (fixed, signed, perplexity, percent, p_value, count, noun, gigabytes)
}
"""Functions by name, for templates."""
