"""CIDEr-D: how much of what is particular to a reference its answer shares (Vedantam 2015, section 5)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_LONGEST = 4
_SIGMA = 6.0
"""Of the penalty on lengths that differ."""
_SCALE = 10.0

_WORD = re.compile(r"\w+(?:[-'’.,/]\w+)*")

Ngram = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Weighted:
    """The n-grams of a text with their weights, by length."""

    weights: tuple[Mapping[Ngram, float], ...]
    norms: tuple[float, ...]
    pairs: int
    """Number of its 2-grams, by which the reference implementation compares lengths."""


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation, as captions are compared."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Consensus:
    """References, one an example. How rare an n-gram is, is counted over them, and so depends on the split."""

    references: tuple[str, ...]

    def scores(self, answers: Sequence[str]) -> list[float]:
        """CIDEr-D of each answer against its reference, 0 to 10; papers often print it a hundredfold.

        The same numbers as `pycocoevalcap.cider` on the same words. References that are all alike, or a single one,
        hold nothing particular: everything scores 0.

        Raises:
            ValueError: not one answer for each reference.
        """
        pairs = zip(answers, self._weighted, strict=True)
        return [_similarity(self._weigh(_counted(words_of(answer))), reference) for answer, reference in pairs]

    @cached_property
    def _counts(self) -> list[Counter[Ngram]]:
        return [_counted(words_of(reference)) for reference in self.references]

    @cached_property
    def _frequency(self) -> Counter[Ngram]:
        """References that an n-gram occurs in."""
        return Counter(ngram for counts in self._counts for ngram in counts)

    @cached_property
    def _weighted(self) -> list[_Weighted]:
        return [self._weigh(counts) for counts in self._counts]

    def _weigh(self, counts: Counter[Ngram]) -> _Weighted:
        rarest = math.log(len(self.references))
        weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(_LONGEST))
        for ngram, count in counts.items():
            rarity = rarest - math.log(max(1, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        return _Weighted(
            weights=weights,
            norms=tuple(_norm(of_length.values()) for of_length in weights),
            pairs=sum(count for ngram, count in counts.items() if len(ngram) == 2),
        )


def _counted(words: Sequence[str]) -> Counter[Ngram]:
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, _LONGEST + 1)
        for start in range(len(words) - length + 1)
    )


def _norm(weights: Iterable[float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights))


def _similarity(answer: _Weighted, reference: _Weighted) -> float:
    """Mean over lengths of the cosine, clipped so that repeating a rare n-gram wins nothing."""
    cosines = [
        sum(min(weight, wanted.get(ngram, 0.0)) * wanted.get(ngram, 0.0) for ngram, weight in given.items())
        / ((norm * wanted_norm) or 1.0)
        for given, wanted, norm, wanted_norm in zip(
            answer.weights, reference.weights, answer.norms, reference.norms, strict=True
        )
    ]
    penalty = math.exp(-((answer.pairs - reference.pairs) ** 2) / (2 * _SIGMA**2))
    return _SCALE * penalty * sum(cosines) / _LONGEST
