"""Bootstrap intervals and paired tests over papers: figures of one paper are alike, so the paper is what counts.

Every measure here is a function of sums over examples, such as total loss and tokens: float64[..., K] -> float64[...].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.records import Estimate, Gain

Sums = NDArray[np.float64]
ValueOf = Callable[[Sums], NDArray[np.float64]]

_DIGITS = 4
_DRAWN_AT_ONCE = 1_000_000
_ALL_FLIPS_UP_TO = 12
"""With so many papers every assignment of signs is tried; with more, some are drawn."""
_DRAWN_FLIPS = 9_999
_ALIKE = 1e-9


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
    return interval(summed(np.column_stack((totals, weights)), groups), ratio, bootstrap)


def interval(sums: Sums, value_of: ValueOf, bootstrap: Bootstrap) -> Estimate:
    """A measure and its 95 % percentile interval (Efron & Tibshirani 1993, ch. 13).

    Args:
        sums: float64[groups, K].
    """
    value = round(float(value_of(sums.sum(axis=0))), _DIGITS)
    if len(sums) < 2:
        return Estimate(value=value, low=None, high=None)
    values = value_of(_drawn_sums(sums, bootstrap))
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(value=value, low=round(float(low), _DIGITS), high=round(float(high), _DIGITS))


def gain(better: Sums, worse: Sums, value_of: ValueOf, bootstrap: Bootstrap) -> Gain:
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
        return value_of(sums[..., :columns]) - value_of(sums[..., columns:])

    found = interval(np.concatenate((better, worse), axis=1), difference, bootstrap)
    return Gain(value=found.value, low=found.low, high=found.high, p=_chance(better, worse, value_of, bootstrap.seed))


def ratio(sums: Sums) -> NDArray[np.float64]:
    """Of totals to weights: a mean."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def summed(columns: NDArray[np.float64], groups: Sequence[str]) -> Sums:
    """float64[N, K], one row an example -> float64[groups, K], groups in the order of their names."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, group_of, columns)
    return sums


def _chance(one: Sums, other: Sums, value_of: ValueOf, seed: int) -> float:
    """Share of the exchanges that make as large a difference, the one observed among them."""
    observed = abs(float(value_of(one.sum(axis=0)) - value_of(other.sum(axis=0))))
    both, change = one.sum(axis=0) + other.sum(axis=0), other - one
    extreme = tried = 0
    for flips in _flips(len(one), seed):
        exchanged = one.sum(axis=0) + flips @ change
        differences = np.abs(value_of(exchanged) - value_of(both - exchanged))
        extreme += int((differences >= observed - _ALIKE).sum())
        tried += len(flips)
    # Drawn at random, the observed assignment is one more of them (Phipson & Smyth 2010).
    drawn = int(len(one) > _ALL_FLIPS_UP_TO)
    return round((extreme + drawn) / (tried + drawn), _DIGITS)


def _flips(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of float64[rows, count], 1 where a paper's results change sides."""
    if count <= _ALL_FLIPS_UP_TO:
        numbers = np.arange(2**count)[:, None]
        yield (numbers >> np.arange(count) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, _DRAWN_FLIPS, rows):
        size = (min(rows, _DRAWN_FLIPS - start), count)
        yield generator.integers(2, size=size, dtype=np.int8).astype(np.float64)


def _drawn_sums(sums: Sums, bootstrap: Bootstrap) -> Sums:
    """float64[samples, K]"""
    few = len(sums) * bootstrap.samples <= _DRAWN_AT_ONCE
    blocks = _kept_counts(len(sums), bootstrap) if few else _counts(len(sums), bootstrap)
    return np.concatenate([counts @ sums for counts in blocks])


@lru_cache(maxsize=8)
def _kept_counts(count: int, bootstrap: Bootstrap) -> tuple[NDArray[np.float64], ...]:
    return tuple(_counts(count, bootstrap))


def _counts(count: int, bootstrap: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """How often each group is drawn, float64[rows, count]; in blocks, so that memory does not grow with the groups."""
    generator = np.random.default_rng(bootstrap.seed)
    rows = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, bootstrap.samples, rows):
        drawn = generator.integers(count, size=(min(rows, bootstrap.samples - start), count))
        cells = (drawn + count * np.arange(len(drawn))[:, None]).ravel()
        yield np.bincount(cells, minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
