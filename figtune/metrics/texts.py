"""Scores of answers against references, and what can be said of answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

_REPEATED_WORDS = 4


def bleu4(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4, 0 to 100, by sacrebleu: 13a tokens, exponential smoothing (Papineni 2002, Post 2018).

    Raises:
        ValueError: no answers, or not one reference for each.
    """
    if not answers or len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers against {len(references)} references")
    return float(BLEU().corpus_score(list(answers), [list(references)]).score)


def chrf(answer: str, reference: str) -> float:
    """chrF2 of one answer, 0 to 100, by sacrebleu: character 1- to 6-grams, recall counts twice (Popovic 2015)."""
    return float(CHRF().sentence_score(answer, [reference]).score)


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
