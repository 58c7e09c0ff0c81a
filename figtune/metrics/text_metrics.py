"""Text metrics: BLEU-4, chrF, ROUGE-L, CIDEr-D, and the reference-free rep-4 and distinct-2."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

_REP_N = 4
_DIGITS = 2
"""Decimals of a score of one answer."""
_BLEU_ORDER = 4
_BLEU, _CHRF, _ROUGE = BLEU(), CHRF(), RougeScorer(["rougeL"], use_stemmer=False)


def bleu_counts(answer: str, reference: str) -> tuple[float, ...]:
    """Return the sufficient statistics of BLEU-4 by sacrebleu with 13a tokens, float[10].

    Order: matching 1- to 4-grams, all 1- to 4-grams, words of the answer, words of the reference.
    """
    score = _BLEU.corpus_score([answer], [[reference]])
    return (*score.counts, *score.totals, score.sys_len, score.ref_len)


def bleu4(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corpus BLEU-4, 0 to 100, exponential smoothing (Papineni 2002, Post 2018), as sacrebleu's `compute_bleu`.

    Args:
        counts: float64[..., 10], `bleu_counts` added up.
    """
    matches, totals = counts[..., :_BLEU_ORDER], counts[..., _BLEU_ORDER : 2 * _BLEU_ORDER]
    answer_words, reference_words = counts[..., -2], counts[..., -1]
    logarithms, halvings = np.zeros(counts.shape[:-1]), np.zeros(counts.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for length in range(_BLEU_ORDER):
            none = matches[..., length] == 0
            halvings = halvings + none
            found = np.where(none, 0.5**halvings, matches[..., length])
            logarithms = logarithms + np.log(found / totals[..., length])
        brevity = np.minimum(0.0, 1 - reference_words / answer_words)
        scores = 100 * np.exp(brevity + logarithms / _BLEU_ORDER)
    # 0 without a common word, or without an answer of four words.
    return np.where((matches[..., 0] > 0) & (totals[..., -1] > 0), scores, 0.0)


def chrf(answer: str, reference: str) -> float:
    """Return chrF2 of one answer, 0 to 100, by sacrebleu: character 1- to 6-grams, beta = 2 (Popovic 2015)."""
    return float(_CHRF.sentence_score(answer, [reference]).score)


def rouge_l(answer: str, reference: str) -> float:
    """Return ROUGE-L F1 of one answer, 0 to 100, by Google's rouge-score without stemming (Lin 2004)."""
    return 100 * float(_ROUGE.score(reference, answer)["rougeL"].fmeasure)


class SentenceScores(TypedDict):
    """Scores that each answer has of its own, as fields of `ModelResult` and `BaselineAnswer`."""

    chrf: float
    rouge_l: float


def sentence_scores(answer: str, reference: str) -> SentenceScores:
    """Return the scores of one answer, rounded."""
    return {"chrf": round(chrf(answer, reference), _DIGITS), "rouge_l": round(rouge_l(answer, reference), _DIGITS)}


def word_count(text: str) -> int:
    """Count whitespace-separated words."""
    return len(text.split())


def rep_4(answer: str) -> float:
    """Return the share of repeated 4-grams in an answer, 0 to 1 (seq-rep-4, Welleck 2020)."""
    words = answer.split()
    sequences = [tuple(words[start : start + _REP_N]) for start in range(len(words) - _REP_N + 1)]
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def distinct_2(answers: Sequence[str]) -> float:
    """Return distinct bigrams / all bigrams over all answers, 0 to 1 (Li 2016)."""
    pairs = [pair for answer in answers for pair in pairwise(answer.split())]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


_CIDER_NGRAM = 4
_CIDER_SIGMA = 6.0
"""Standard deviation of the Gaussian length penalty."""
_CIDER_SCALE = 10.0

_WORD = re.compile(r"\w+(?:[-'’.,/]\w+)*")

Ngram = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _WeightedNgrams:
    """TF-IDF weights of the n-grams of a text, by n."""

    weights: tuple[Mapping[Ngram, float], ...]
    norms: tuple[float, ...]
    pairs: int
    """Number of bigrams, the length that the reference implementation compares."""


def cider_words(text: str) -> list[str]:
    """Split a text into lower-case words without punctuation."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class CiderD:
    """CIDEr-D scorer (Vedantam 2015, section 5); document frequencies are counted over its references."""

    references: tuple[str, ...]

    def scores(self, answers: Sequence[str]) -> list[float]:
        """Return CIDEr-D of each answer against its reference, 0 to 10; papers often print it times 100.

        Equal to `pycocoevalcap.cider` on the same words. With a single reference, or identical ones, every idf and
        every score is 0.

        Raises:
            ValueError: the numbers of answers and references differ.
        """
        pairs = zip(answers, self._weighted, strict=True)
        return [_cider_score(self._weigh(_count_ngrams(cider_words(answer))), reference) for answer, reference in pairs]

    @cached_property
    def _counts(self) -> list[Counter[Ngram]]:
        return [_count_ngrams(cider_words(reference)) for reference in self.references]

    @cached_property
    def _frequency(self) -> Counter[Ngram]:
        """Document frequency of each n-gram."""
        return Counter(ngram for counts in self._counts for ngram in counts)

    @cached_property
    def _weighted(self) -> list[_WeightedNgrams]:
        return [self._weigh(counts) for counts in self._counts]

    def _weigh(self, counts: Counter[Ngram]) -> _WeightedNgrams:
        rarest = math.log(len(self.references))
        weights: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(_CIDER_NGRAM))
        for ngram, count in counts.items():
            rarity = rarest - math.log(max(1, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        return _WeightedNgrams(
            weights=weights,
            norms=tuple(math.sqrt(sum(each * each for each in of_length.values())) for of_length in weights),
            pairs=sum(count for ngram, count in counts.items() if len(ngram) == 2),
        )


def _count_ngrams(words: Sequence[str]) -> Counter[Ngram]:
    return Counter(
        tuple(words[start : start + length])
        for length in range(1, _CIDER_NGRAM + 1)
        for start in range(len(words) - length + 1)
    )


def _cider_score(answer: _WeightedNgrams, reference: _WeightedNgrams) -> float:
    """Return the mean clipped cosine over n, times the length penalty; clipping makes repetition useless."""
    cosines = [
        sum(min(weight, wanted.get(ngram, 0.0)) * wanted.get(ngram, 0.0) for ngram, weight in given.items())
        / ((norm * wanted_norm) or 1.0)
        for given, wanted, norm, wanted_norm in zip(
            answer.weights, reference.weights, answer.norms, reference.norms, strict=True
        )
    ]
    penalty = math.exp(-((answer.pairs - reference.pairs) ** 2) / (2 * _CIDER_SIGMA**2))
    return _CIDER_SCALE * penalty * sum(cosines) / _CIDER_NGRAM
