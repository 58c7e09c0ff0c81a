"""Scores of answers that are right or wrong, and of words read off a figure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from figtune.metrics.records import EvaluatedSplit, Prediction
from figtune.metrics.short_answer_records import QuestionScores, ReadingScores

QUESTION_TASK = "question"
READ_TASK = "read"
_EDGES = " .,;:!?\"'“”‘’()[]"
_WORD = re.compile(r"[^\W_]+(?:[-.][^\W_]+)*")


def is_exact(answer: str, reference: str) -> bool:
    """Return True if an answer is the reference, without regard to case, white space and marks around it."""
    return _plain(answer) == _plain(reference)


def word_recall_precision(answer: str, reference: str) -> tuple[float, float]:
    """Return the share of the reference's words in the answer, and of the answer's words in the reference.

    Words count as often as they stand there, in any order and case. An empty answer has neither.
    """
    said, true = (Counter(_WORD.findall(text.casefold())) for text in (answer, reference))
    common = (said & true).total()
    return common / max(1, true.total()), common / max(1, said.total())


def question_scores(predictions: Sequence[Prediction]) -> tuple[QuestionScores, ...]:
    """Return the accuracy of each split that has questions."""
    return tuple(_questions(split, members) for split, members in _by_split(predictions, QUESTION_TASK).items())


def reading_scores(predictions: Sequence[Prediction]) -> tuple[ReadingScores, ...]:
    """Return recall and precision of each split that has figures to read."""
    return tuple(_readings(split, members) for split, members in _by_split(predictions, READ_TASK).items())


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(_EDGES)


def _by_split(predictions: Sequence[Prediction], task: str) -> dict[EvaluatedSplit, list[Prediction]]:
    found: defaultdict[EvaluatedSplit, list[Prediction]] = defaultdict(list)
    for each in predictions:
        if each.task == task:
            found[each.split].append(each)
    return dict(found)


def _questions(split: EvaluatedSplit, members: Sequence[Prediction]) -> QuestionScores:
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in members:
        # The kind of question is the end of the example's id.
        answers[each.example_id.rsplit("-", 1)[-1]][_plain(each.reference)] += 1
    return QuestionScores(
        split=split,
        examples=len(members),
        tuned=_mean([is_exact(each.tuned.answer, each.reference) for each in members]),
        base=_mean([is_exact(each.base.answer, each.reference) for each in members]),
        majority=sum(max(counts.values()) for counts in answers.values()) / len(members),
    )


def _readings(split: EvaluatedSplit, members: Sequence[Prediction]) -> ReadingScores:
    tuned = [word_recall_precision(each.tuned.answer, each.reference) for each in members]
    base = [word_recall_precision(each.base.answer, each.reference) for each in members]
    return ReadingScores(
        split=split,
        examples=len(members),
        tuned_recall=_mean([recall for recall, _ in tuned]),
        tuned_precision=_mean([precision for _, precision in tuned]),
        base_recall=_mean([recall for recall, _ in base]),
        base_precision=_mean([precision for _, precision in base]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
