"""Bootstrap intervals and paired tests over papers: figures of one paper are alike, so the paper is what counts.

Every measure here is a function of sums over examples, such as total loss and tokens: float64[..., K] -> float64[...].
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
"""With so many papers every assignment of signs is tried; with more, some are drawn."""
_RANDOM_FLIPS = 9_999
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are taken."""

    samples: int
    """Times that the papers are drawn again."""
    seed: int


def estimate(
    totals: Sequence[float], weights: Sequence[float], groups: Sequence[str], bootstrap: Bootstrap
) -> Estimate:
    """The weighted mean sum(totals) / sum(weights) and its interval.

    Args:
        totals: float[N], one an example, already multiplied by its weight.
        weights: float[N], above 0: tokens of the example, or 1.
        groups: N names; examples of one group are drawn together.
    """
    return bootstrap_interval(sum_by_group(np.column_stack((totals, weights)), groups), ratio, bootstrap)


def bootstrap_interval(sums: Sums, statistic: Statistic, bootstrap: Bootstrap) -> Estimate:
    """A measure and its 95 % percentile interval (Efron & Tibshirani 1993, ch. 13).

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
    """By how much a measure is larger for `better` than for `worse`: interval over papers, and paired sign-flip test.

    The hypothesis tested, two-sided: within each paper it is a matter of chance which of the two has made which
    results, so that exchanging them in any papers would as likely have been observed (Fisher's randomisation test;
    sacrebleu's "approximate randomization"). `p` is the share of exchanges with a difference at least as large.

    Args:
        better: float64[groups, K], of what is expected to be larger.
        worse: float64[groups, K], of the same examples.
    """
    columns = better.shape[1]

    def difference(sums: Sums) -> NDArray[np.float64]:
        return statistic(sums[..., :columns]) - statistic(sums[..., columns:])

    found = bootstrap_interval(np.concatenate((better, worse), axis=1), difference, bootstrap)
    return PairedDifference(
        value=found.value,
        low=found.low,
        high=found.high,
        p=_sign_flip_p_value(better, worse, statistic, bootstrap.seed),
    )


def ratio(sums: Sums) -> NDArray[np.float64]:
    """Of totals to weights: a mean."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def sum_by_group(columns: NDArray[np.float64], groups: Sequence[str]) -> Sums:
    """float64[N, K], one row an example -> float64[groups, K], groups in the order of their names."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, group_of, columns)
    return sums


def _sign_flip_p_value(one: Sums, other: Sums, statistic: Statistic, seed: int) -> float:
    """Share of the exchanges that make as large a difference, the one observed among them."""
    observed = abs(float(statistic(one.sum(axis=0)) - statistic(other.sum(axis=0))))
    both, change = one.sum(axis=0) + other.sum(axis=0), other - one
    extreme = tried = 0
    for flips in _sign_flips(len(one), seed):
        exchanged = one.sum(axis=0) + flips @ change
        differences = np.abs(statistic(exchanged) - statistic(both - exchanged))
        extreme += int((differences >= observed - _TOLERANCE).sum())
        tried += len(flips)
    # Drawn at random, the observed assignment is one more of them (Phipson & Smyth 2010).
    drawn = int(len(one) > _EXACT_TEST_GROUPS)
    return round((extreme + drawn) / (tried + drawn), _DIGITS)


def _sign_flips(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of float64[rows, count], 1 where a paper's results change sides."""
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
    """float64[samples, K]"""
    few = len(sums) * bootstrap.samples <= _BLOCK_CELLS
    blocks = _cached_counts(len(sums), bootstrap) if few else _resampling_counts(len(sums), bootstrap)
    return np.concatenate([counts @ sums for counts in blocks])


@lru_cache(maxsize=8)
def _cached_counts(count: int, bootstrap: Bootstrap) -> tuple[NDArray[np.float64], ...]:
    return tuple(_resampling_counts(count, bootstrap))


def _resampling_counts(count: int, bootstrap: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """How often each group is drawn, float64[rows, count]; in blocks, so that memory does not grow with the groups."""
    generator = np.random.default_rng(bootstrap.seed)
    rows = max(1, _BLOCK_CELLS // count)
    for start in range(0, bootstrap.samples, rows):
        drawn = generator.integers(count, size=(min(rows, bootstrap.samples - start), count))
        cells = (drawn + count * np.arange(len(drawn))[:, None]).ravel()
        yield np.bincount(cells, minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
