"""Numbers read as people write them."""

from __future__ import annotations

import math

from figtune.core.number_format import count, fixed, gigabytes, noun, p_value, percent, perplexity, signed
from tests.rows import each_row


@each_row("value", [-0.0, -0.004, 0.004, -1e-12])
def test_a_zero_has_no_sign(value: float) -> None:
    assert fixed(value, 2) == signed(value) == "0.00"


def test_decimals_signs_and_missing_values() -> None:
    assert [fixed(-0.127, 2), fixed(12345.67, 1), fixed(None, 2), fixed(math.nan, 2)] == [
        *("-0.13", "12,345.7", "-", "not finite"),
    ]
    assert [signed(0.126), signed(-0.126), signed(3.0, 0)] == ["+0.13", "-0.13", "+3"]


def test_absurd_perplexities_are_cut() -> None:
    assert [perplexity(7.77), perplexity(99_999.0), perplexity(math.exp(50)), perplexity(math.inf)] == [
        *("7.8", "99,999", "over 99,999", "over 99,999"),
    ]


def test_shares_never_claim_none_or_all() -> None:
    assert [percent(share) for share in (0, 0.001, 0.17, 0.999, 1)] == ["0 %", "<1 %", "17 %", ">99 %", "100 %"]


def test_p_values() -> None:
    assert [p_value(1.0), p_value(0.03125), p_value(0.0001)] == ["p = 1", "p = 0.031", "p < 0.001"]


@each_row(
    ("plural", "singular"),
    [
        ("runs", "run"),
        ("figures used", "figure used"),
        ("train examples", "train example"),
        ("rejected", "rejected"),
        ("loss", "loss"),
    ],
)
def test_one_of_a_kind_is_singular(plural: str, singular: str) -> None:
    assert noun(1, plural) == singular
    assert noun(0, plural) == noun(2, plural) == plural
    assert count(1, plural) == f"1 {singular}"
    assert count(1204, plural) == f"1,204 {plural}"


def test_bytes() -> None:
    assert gigabytes(10_730_000_000) == "10.7 GB"
