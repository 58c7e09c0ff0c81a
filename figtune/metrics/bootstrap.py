"""Cluster bootstrap intervals and paired sign-flip tests; clusters are papers, since figures of one paper are alike.

A statistic is a function of sums over examples, such as loss and tokens: float64[..., K] -> float64[...].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.records import Estimate, PairedDifference

Sums = NDArray[np.float64]
Statistic = Callable[[Sums], NDArray[np.float64]]

_DIGITS = 4
_BLOCK_CELLS = 1_000_000
_EXACT_TEST_GROUPS = 12
"""Up to this number of groups the test enumerates all sign assignments; above it, random ones are drawn."""
_RANDOM_FLIPS = 9_999
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap."""

    samples: int
    """Resamples of the groups."""
    seed: int


def estimate(
    totals: Sequence[float], weights: Sequence[float], groups: Sequence[str], bootstrap: Bootstrap
) -> Estimate:
    """Return the weighted mean sum(totals) / sum(weights) with its interval.

    Args:
        totals: float[N], one per example, already multiplied by its weight.
        weights: float[N], above 0: tokens of the example, or 1.
        groups: N names; examples of one group are resampled together.
    """
    return bootstrap_interval(sum_by_group(np.column_stack((totals, weights)), groups), ratio, bootstrap)


def bootstrap_interval(sums: Sums, statistic: Statistic, bootstrap: Bootstrap) -> Estimate:
    """Return a statistic with its 95 % percentile interval (Efron & Tibshirani 1993, ch. 13).

    Args:
        sums: float64[groups, K].
    """
    value = round(float(statistic(sums.sum(axis=0))), _DIGITS)
    if len(sums) < 2:
        return Estimate(value=value, low=None, high=None)
    values = statistic(_resampled_sums(sums, bootstrap))
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(value=value, low=round(float(low), _DIGITS), high=round(float(high), _DIGITS))


def paired_difference(better: Sums, worse: Sums, statistic: Statistic, bootstrap: Bootstrap) -> PairedDifference:
    """Return statistic(better) - statistic(worse) with its interval and the p-value of a paired sign-flip test.

    Null hypothesis, two-sided: within each group the two results are exchangeable (Fisher's randomisation test;
    sacrebleu's "approximate randomization"). `p` is the share of exchanges with a difference at least as large.

    Args:
        better: float64[groups, K], sums of the system expected to be larger.
        worse: float64[groups, K], sums of the other system over the same examples.
    """
    columns = better.shape[1]

    def difference(sums: Sums) -> NDArray[np.float64]:
        return statistic(sums[..., :columns]) - statistic(sums[..., columns:])

    found = bootstrap_interval(np.concatenate((better, worse), axis=1), difference, bootstrap)
    return PairedDifference(**vars(found), p=_sign_flip_p_value(better, worse, statistic, bootstrap.seed))


def ratio(sums: Sums) -> NDArray[np.float64]:
    """Return the ratio of the first column to the second: a weighted mean."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def sum_by_group(columns: NDArray[np.float64], groups: Sequence[str]) -> Sums:
    """Sum rows by group: float64[N, K] -> float64[groups, K], groups sorted by name."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, group_of, columns)
    return sums


def _sign_flip_p_value(one: Sums, other: Sums, statistic: Statistic, seed: int) -> float:
    """Return the share of exchanges whose difference is at least the observed one."""
    observed = abs(float(statistic(one.sum(axis=0)) - statistic(other.sum(axis=0))))
    both, change = one.sum(axis=0) + other.sum(axis=0), other - one
    extreme = tried = 0
    for flips in _sign_flips(len(one), seed):
        exchanged = one.sum(axis=0) + flips @ change
        differences = np.abs(statistic(exchanged) - statistic(both - exchanged))
        extreme += int((differences >= observed - _TOLERANCE).sum())
        tried += len(flips)
    # With random flips the observed assignment counts as one more (Phipson & Smyth 2010).
    drawn = int(len(one) > _EXACT_TEST_GROUPS)
    return round((extreme + drawn) / (tried + drawn), _DIGITS)


def _sign_flips(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of float64[rows, count], 1 where the results of a group are exchanged."""
    if count <= _EXACT_TEST_GROUPS:
        numbers = np.arange(2**count)[:, None]
        yield (numbers >> np.arange(count) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // count)
    for start in range(0, _RANDOM_FLIPS, rows):
        size = (min(rows, _RANDOM_FLIPS - start), count)
        yield generator.integers(2, size=size, dtype=np.int8).astype(np.float64)


def _resampled_sums(sums: Sums, bootstrap: Bootstrap) -> Sums:
    """Return the sums of every resample, float64[samples, K]."""
    few = len(sums) * bootstrap.samples <= _BLOCK_CELLS
    blocks = _cached_counts(len(sums), bootstrap) if few else _resampling_counts(len(sums), bootstrap)
    return np.concatenate([counts @ sums for counts in blocks])


@lru_cache(maxsize=8)
def _cached_counts(count: int, bootstrap: Bootstrap) -> tuple[NDArray[np.float64], ...]:
    return tuple(_resampling_counts(count, bootstrap))


def _resampling_counts(count: int, bootstrap: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of float64[rows, count], how often each group is drawn; blocks bound the memory."""
    generator = np.random.default_rng(bootstrap.seed)
    rows = max(1, _BLOCK_CELLS // count)
    for start in range(0, bootstrap.samples, rows):
        drawn = generator.integers(count, size=(min(rows, bootstrap.samples - start), count))
        cells = (drawn + count * np.arange(len(drawn))[:, None]).ravel()
        yield np.bincount(cells, minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
