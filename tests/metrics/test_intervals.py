"""Bootstrap intervals against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from figtune.metrics.intervals import Bootstrap, estimate

BOOTSTRAP = Bootstrap(samples=2000, seed=7)


def test_the_mean_is_weighted_by_tokens() -> None:
    result = estimate([2.0 * 30, 1.0 * 10], [30, 10], ["a", "b"], BOOTSTRAP)
    assert result.value == 1.75


def test_one_paper_has_no_interval() -> None:
    result = estimate([1.0, 2.0, 3.0], [1, 1, 1], ["a", "a", "a"], BOOTSTRAP)
    assert (result.value, result.low, result.high) == (2.0, None, None)


def test_the_interval_is_that_of_a_normal_mean() -> None:
    values = np.random.default_rng(0).normal(5, 2, size=400)
    result = estimate(list(values), [1.0] * 400, [str(number) for number in range(400)], BOOTSTRAP)
    half = 1.96 * float(values.std()) / 20
    assert result.low == pytest.approx(values.mean() - half, abs=0.03)
    assert result.high == pytest.approx(values.mean() + half, abs=0.03)


def test_papers_are_drawn_whole() -> None:
    """Ten copies of each of four papers are no more evidence than the four papers."""
    once = estimate([0.0, 1.0, 2.0, 3.0], [1.0] * 4, list("abcd"), BOOTSTRAP)
    copied = estimate([0.0, 1.0, 2.0, 3.0] * 10, [1.0] * 40, list("abcd") * 10, BOOTSTRAP)
    assert copied == once


def test_the_order_of_the_examples_does_not_matter() -> None:
    values, groups = [1.0, 5.0, 2.0, 8.0], ["x", "y", "x", "z"]
    forwards = estimate(values, [1.0] * 4, groups, BOOTSTRAP)
    assert estimate(values[::-1], [1.0] * 4, groups[::-1], BOOTSTRAP) == forwards


def test_drawing_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = [float(number % 7) for number in range(50)], [str(number) for number in range(50)]
    at_once = estimate(values, [1.0] * 50, groups, BOOTSTRAP)
    monkeypatch.setattr("figtune.metrics.intervals._DRAWN_AT_ONCE", 120)
    assert estimate(values, [1.0] * 50, groups, BOOTSTRAP) == at_once


def test_the_seed_decides() -> None:
    values, groups = [0.3, 1.9, 4.2, 2.2, 0.7], list("abcde")
    first = estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=1))
    assert estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=1)) == first
    assert estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=2)) != first
