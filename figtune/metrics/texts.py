"""Scores of answers against references, and what can be said of answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

_REPEATED_WORDS = 4
_BLEU_LENGTHS = 4


def bleu_counts(answer: str, reference: str) -> tuple[float, ...]:
    """What BLEU-4 adds up over answers, by sacrebleu with 13a tokens: float[10].

    Matching 1- to 4-grams, all 1- to 4-grams, words of the answer, words of the reference.
    """
    score = _bleu().corpus_score([answer], [[reference]])
    return (*score.counts, *score.totals, score.sys_len, score.ref_len)


def bleu4(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corpus BLEU-4, 0 to 100, exponential smoothing (Papineni 2002, Post 2018), as sacrebleu's `compute_bleu`.

    Args:
        counts: float64[..., 10], `bleu_counts` added up.
    """
    matches, totals = counts[..., :_BLEU_LENGTHS], counts[..., _BLEU_LENGTHS : 2 * _BLEU_LENGTHS]
    answer_words, reference_words = counts[..., -2], counts[..., -1]
    logarithms, halvings = np.zeros(counts.shape[:-1]), np.zeros(counts.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for length in range(_BLEU_LENGTHS):
            none = matches[..., length] == 0
            halvings = halvings + none
            found = np.where(none, 0.5**halvings, matches[..., length])
            logarithms = logarithms + np.log(found / totals[..., length])
        brevity = np.minimum(0.0, 1 - reference_words / answer_words)
        scores = 100 * np.exp(brevity + logarithms / _BLEU_LENGTHS)
    # No word in common, or no answer of four words.
    return np.where((matches[..., 0] > 0) & (totals[..., -1] > 0), scores, 0.0)


@cache
def _bleu() -> BLEU:
    return BLEU()


def chrf(answer: str, reference: str) -> float:
    """chrF2 of one answer, 0 to 100, by sacrebleu: character 1- to 6-grams, recall counts twice (Popovic 2015)."""
    return float(_chrf().sentence_score(answer, [reference]).score)


@cache
def _chrf() -> CHRF:
    return CHRF()


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1 of one answer, 0 to 100, by Google's rouge-score without stemming (Lin 2004)."""
    return 100 * float(_rouge_scorer().score(reference, answer)["rougeL"].fmeasure)


@cache
def _rouge_scorer() -> RougeScorer:
    return RougeScorer(["rougeL"], use_stemmer=False)


def word_count(text: str) -> int:
    """Words between blanks."""
    return len(text.split())


def repetition(answer: str) -> float:
    """Share of an answer's 4-word sequences that occurred in it before, 0 to 1 (seq-rep-4, Welleck 2020)."""
    words = answer.split()
    sequences = [tuple(words[start : start + _REPEATED_WORDS]) for start in range(len(words) - _REPEATED_WORDS + 1)]
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def variety(answers: Sequence[str]) -> float:
    """Different word pairs / all word pairs of all answers, 0 to 1 (distinct-2, Li 2016)."""
    pairs = [pair for answer in answers for pair in pairwise(answer.split())]
    return len(set(pairs)) / len(pairs) if pairs else 0.0
