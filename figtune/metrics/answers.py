"""Answers of one model or baseline, with what their scores are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from figtune.metrics.cider import Consensus
from figtune.metrics.records import BASELINES, Baseline, Guess, Outcome, Prediction, Score, System
from figtune.metrics.texts import bleu_counts


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One system's answers to the same N examples as every other's."""

    texts: Sequence[str]
    stopped: Sequence[bool] | None
    """None for baselines."""
    columns: Mapping[Score, NDArray[np.float64]]
    """float64[N, K]: what is added up over examples for each score."""

    def at(self, positions: Sequence[int]) -> Answers:
        """Some of them."""
        return Answers(
            texts=[self.texts[position] for position in positions],
            stopped=None if self.stopped is None else [self.stopped[position] for position in positions],
            columns={score: column[list(positions)] for score, column in self.columns.items()},
        )


def answers_of(members: Sequence[Prediction]) -> dict[System, Answers]:
    """Of all that answered every example of one split; CIDEr-D counts how rare words are over exactly these."""
    consensus = Consensus(tuple(each.reference for each in members))
    found: dict[System, Answers] = {
        "base": _answers([each.base for each in members], members, consensus),
        "tuned": _answers([each.tuned for each in members], members, consensus),
    }
    for baseline in BASELINES:
        guesses = [_guess(each, baseline) for each in members]
        whole = [guess for guess in guesses if guess is not None]
        if len(whole) == len(members):
            found[baseline] = _answers(whole, members, consensus)
    return found


def _guess(prediction: Prediction, baseline: Baseline) -> Guess | None:
    return next((guess for guess in prediction.guesses if guess.baseline == baseline), None)


def _answers(given: Sequence[Outcome | Guess], members: Sequence[Prediction], consensus: Consensus) -> Answers:
    texts = [each.answer for each in given]
    return Answers(
        texts=texts,
        stopped=[each.stopped for each in given if isinstance(each, Outcome)] or None,
        columns={
            "CIDEr-D": _means(consensus.scores(texts)),
            "BLEU-4": np.array([bleu_counts(text, of.reference) for text, of in zip(texts, members, strict=True)]),
            "ROUGE-L": _means([each.rouge_l for each in given]),
            "chrF": _means([each.chrf for each in given]),
        },
    )


def _means(values: Sequence[float]) -> NDArray[np.float64]:
    """float64[N, 2]: each with the weight 1."""
    return np.column_stack((values, np.ones(len(values))))
