"""Scores of answers that are right or wrong, and of words read off a figure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from figtune.dataset.records import QUESTION_TASK, READ_TASK
from figtune.metrics.bootstrap import Bootstrap, Sums, bootstrap_interval, paired_difference, ratio, sum_by_group
from figtune.metrics.records import EVALUATED_SPLITS, Prediction, ShortScores

Measure = Literal["questions", "read recall", "read precision"]
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


def short_scores(predictions: Sequence[Prediction], bootstrap: Bootstrap) -> tuple[ShortScores, ...]:
    """Return the scores of each split that has short questions or figures to read."""
    found = []
    for split in EVALUATED_SPLITS:
        members = [each for each in predictions if each.split == split and each.grey_answer is not None]
        if questions := [each for each in members if each.task == QUESTION_TASK]:
            found.append(_scores("questions", questions, is_exact, bootstrap))
        if readings := [each for each in members if each.task == READ_TASK]:
            found += [
                _scores("read recall", readings, lambda *texts: word_recall_precision(*texts)[0], bootstrap),
                _scores("read precision", readings, lambda *texts: word_recall_precision(*texts)[1], bootstrap),
            ]
    return tuple(found)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(_EDGES)


def _scores(
    measure: Measure, members: Sequence[Prediction], share: Callable[[str, str], float], bootstrap: Bootstrap
) -> ShortScores:
    groups = [each.group for each in members]

    def score_sums(answers: Iterable[str | None]) -> Sums:
        shares = [share(answer or "", each.reference) for answer, each in zip(answers, members, strict=True)]
        return sum_by_group(np.column_stack((shares, np.ones(len(shares)))), groups)

    tuned, base = score_sums(each.tuned.answer for each in members), score_sums(each.base.answer for each in members)
    grey = score_sums(each.grey_answer for each in members)
    return ShortScores(
        split=members[0].split,
        measure=measure,
        examples=len(members),
        papers=len(set(groups)),
        tuned=bootstrap_interval(tuned, ratio, bootstrap),
        base=bootstrap_interval(base, ratio, bootstrap),
        grey=bootstrap_interval(grey, ratio, bootstrap),
        majority=_majority_share(members) if measure == "questions" else None,
        gain=paired_difference(tuned, grey, ratio, bootstrap),
    )


def _majority_share(questions: Sequence[Prediction]) -> float:
    """Return the share that the most frequent answer to each kind of question would get right."""
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in questions:
        # The kind of question is the end of the example's id.
        answers[each.example_id.rsplit("-", 1)[-1]][_plain(each.reference)] += 1
    return round(sum(max(counts.values()) for counts in answers.values()) / len(questions), 4)
