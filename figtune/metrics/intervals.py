"""Bootstrap intervals over papers: figures of one paper are alike, so the paper is what is drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.records import Estimate

_DIGITS = 4
_DRAWN_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are taken."""

    samples: int
    """Times that the papers are drawn again."""
    seed: int


def estimate(
    totals: Sequence[float], weights: Sequence[float], groups: Sequence[str], bootstrap: Bootstrap
) -> Estimate:
    """The weighted mean sum(totals) / sum(weights) and its 95 % percentile interval (Efron & Tibshirani 1993, ch. 13).

    Args:
        totals: float[N], one an example, already multiplied by its weight.
        weights: float[N], above 0: tokens of the example, or 1.
        groups: N names; examples of one group are drawn together.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    group_totals = _summed(totals, group_of)
    group_weights = _summed(weights, group_of)
    value = round(float(group_totals.sum() / group_weights.sum()), _DIGITS)
    if len(group_totals) < 2:
        return Estimate(value=value, low=None, high=None)
    means = _drawn_means(group_totals, group_weights, bootstrap)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(value=value, low=round(float(low), _DIGITS), high=round(float(high), _DIGITS))


def _summed(values: Sequence[float], group_of: NDArray[np.intp]) -> NDArray[np.float64]:
    """float64[groups]"""
    return np.bincount(group_of, weights=np.asarray(values, dtype=np.float64)).astype(np.float64)


def _drawn_means(
    totals: NDArray[np.float64], weights: NDArray[np.float64], bootstrap: Bootstrap
) -> NDArray[np.float64]:
    """float64[samples]; drawn in blocks, so that memory does not grow with the number of groups."""
    generator = np.random.default_rng(bootstrap.seed)
    count = len(totals)
    rows = max(1, _DRAWN_AT_ONCE // count)
    blocks = []
    for start in range(0, bootstrap.samples, rows):
        drawn = generator.integers(count, size=(min(rows, bootstrap.samples - start), count))
        blocks.append(totals[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
    return np.concatenate(blocks)
