"""Bootstrap intervals against what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from figtune.metrics.bootstrap import Bootstrap, estimate, paired_difference, ratio, sum_by_group

BOOTSTRAP = Bootstrap(samples=2000, seed=7)
FEW = Bootstrap(samples=10, seed=7)


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
    monkeypatch.setattr("figtune.metrics.bootstrap._BLOCK_CELLS", 120)
    assert estimate(values, [1.0] * 50, groups, BOOTSTRAP) == at_once


def test_the_seed_decides() -> None:
    values, groups = [0.3, 1.9, 4.2, 2.2, 0.7], list("abcde")
    first = estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=1))
    assert estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=1)) == first
    assert estimate(values, [1.0] * 5, groups, Bootstrap(samples=50, seed=2)) != first


def _means(values: Sequence[float], groups: Sequence[str]) -> NDArray[np.float64]:
    return sum_by_group(np.column_stack((values, np.ones(len(values)))), groups)


def test_the_paired_test_counts_exchanges_exactly() -> None:
    """Six papers that all gain: of 64 exchanges two are as extreme. One of six that loses a little: by hand, too."""
    groups = list("abcdef")
    base = _means([0.0] * 6, groups)
    assert paired_difference(_means([1.0, 2, 3, 4, 5, 6], groups), base, ratio, BOOTSTRAP).p == round(2 / 64, 4)
    assert paired_difference(_means([1.0, 2, 3, 4, 5, -1], groups), base, ratio, BOOTSTRAP).p == round(6 / 64, 4)
    assert paired_difference(base, base, ratio, BOOTSTRAP).p == 1


def test_examples_of_one_paper_are_exchanged_together() -> None:
    ten = paired_difference(_means([1.0] * 10, ["a"] * 10), _means([0.0] * 10, ["a"] * 10), ratio, BOOTSTRAP)
    assert (ten.value, ten.low, ten.p, ten.change(0)) == (1.0, None, 1.0, "not shown")


def test_many_papers_are_tested_by_drawing() -> None:
    """Against the normal approximation of the same test."""
    values = np.random.default_rng(1).normal(0.3, 1, size=60)
    groups = [f"{number:03}" for number in range(60)]
    found = paired_difference(_means(list(values), groups), _means([0.0] * 60, groups), ratio, BOOTSTRAP)
    z = abs(values.sum()) / np.sqrt((values**2).sum())
    assert found.p == pytest.approx(2 * (1 - NormalDist().cdf(z)), abs=0.02)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - 1.96 * values.std() / 60**0.5, values.mean() + 1.96 * values.std() / 60**0.5), abs=0.03
    )


def test_a_test_without_a_difference_is_significant_once_in_twenty() -> None:
    draws = np.random.default_rng(2).normal(0, 1, size=(400, 8))
    groups = list("abcdefgh")
    found = [
        paired_difference(_means(list(row), groups), _means([0.0] * 8, groups), ratio, FEW).p < 0.05 for row in draws
    ]
    assert np.mean(found) == pytest.approx(0.05, abs=0.025)
