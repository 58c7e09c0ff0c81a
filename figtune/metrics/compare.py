"""Comparison of several evaluated runs: paired tests where they share examples, and the table of --compare as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from figtune.core.number_format import count, fixed, p_value, percent, perplexity, signed
from figtune.metrics.aggregate import STATISTICS, answers_by_system
from figtune.metrics.bootstrap import Bootstrap, paired_difference, ratio, sum_by_group
from figtune.metrics.image_use import choice_difference
from figtune.metrics.records import (
    ANSWER_SCORES,
    EVALUATED_SPLITS,
    MIN_EFFECT,
    ChoiceScores,
    Estimate,
    EvaluatedSplit,
    EvaluationSummary,
    PairedDifference,
    Prediction,
    Score,
    Scores,
    Slice,
)
from figtune.metrics.terminology import TERMINOLOGY

_HEADER = (
    "",
    "loss",
    "perplexity",
    *ANSWER_SCORES,
    "image gain",
    "choice",
    "words",
    "rep-4",
    "EOS",
)
TableRow = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """Evaluation of one run."""

    name: str
    """Output folder as given by the user."""
    summary: EvaluationSummary
    predictions: Sequence[Prediction]

    def overall(self, split: EvaluatedSplit) -> Slice:
        """Return the slice that covers a whole split, which must be evaluated."""
        return next(part for part in self.summary.slices if (part.split, part.by) == (split, "all"))

    def predictions_of(self, split: EvaluatedSplit) -> list[Prediction]:
        """Return the predictions of a split, sorted by example id."""
        return sorted((each for each in self.predictions if each.split == split), key=lambda each: each.example_id)


@dataclass(frozen=True, kw_only=True)
class ComparableRuns:
    """Runs evaluated on the same examples of a split, so that their numbers are comparable."""

    split: EvaluatedSplit
    runs: tuple[EvaluatedRun, ...]

    @property
    def same_tokens(self) -> bool:
        """True if the losses are over the same tokens, as with one tokenizer."""
        return len({tuple(each.tokens for each in run.predictions_of(self.split)) for run in self.runs}) == 1

    def differences(
        self, one: EvaluatedRun, other: EvaluatedRun, bootstrap: Bootstrap
    ) -> dict[Score, PairedDifference]:
        """Return the differences of the tuned models, `one` against `other`; the loss only over the same tokens."""
        members, others = one.predictions_of(self.split), other.predictions_of(self.split)
        groups = [each.group for each in members]
        found: dict[Score, PairedDifference] = {}
        if self.same_tokens and (drop := _loss_drop(others, members, bootstrap)) is not None:
            found["loss"] = drop
        answers, answered = answers_by_system(members)["tuned"].columns, answers_by_system(others)["tuned"].columns
        for score, statistic in STATISTICS.items():
            found[score] = paired_difference(
                sum_by_group(answers[score], groups), sum_by_group(answered[score], groups), statistic, bootstrap
            )
        if (choice := choice_difference(members, others, bootstrap)) is not None:
            found["choice"] = choice
        return found


def group_comparable_runs(evaluations: Sequence[EvaluatedRun]) -> list[ComparableRuns]:
    """Group runs by split and example set, in the order given."""
    found: dict[tuple[EvaluatedSplit, frozenset[tuple[str, ...]]], list[EvaluatedRun]] = {}
    for split in EVALUATED_SPLITS:
        for evaluation in evaluations:
            members = evaluation.predictions_of(split)
            if members:
                asked = frozenset(
                    (each.example_id, each.group, each.image, each.prompt, each.reference) for each in members
                )
                found.setdefault((split, asked), []).append(evaluation)
    return [ComparableRuns(split=split, runs=tuple(runs)) for (split, _), runs in found.items()]


def _loss_drop(
    before: Sequence[Prediction], after: Sequence[Prediction], bootstrap: Bootstrap
) -> PairedDifference | None:
    pairs = [
        (one.tuned.loss, other.tuned.loss, one.tokens, one.group)
        for one, other in zip(before, after, strict=True)
        if one.tuned.loss is not None and other.tuned.loss is not None
    ]
    if not pairs:
        return None
    groups = [group for *_, group in pairs]
    larger, smaller = (
        sum_by_group(np.array([(losses[place] * losses[2], losses[2]) for losses in pairs], dtype=np.float64), groups)
        for place in (0, 1)
    )
    return paired_difference(larger, smaller, ratio, bootstrap)


def comparison_table(evaluations: Sequence[EvaluatedRun], bootstrap: Bootstrap) -> str:
    """Return several evaluations as text: a table for each set of examples, and paired tests against the first run."""
    groups = group_comparable_runs(evaluations)
    return "\n\n".join("\n".join(_lines(group, groups, bootstrap)) for group in groups)


def _lines(group: ComparableRuns, groups: Sequence[ComparableRuns], bootstrap: Bootstrap) -> Iterator[str]:
    first = group.runs[0]
    terms, whole = TERMINOLOGY[first.summary.source], first.overall(group.split)
    unit = terms.group if whole.papers == 1 else terms.groups
    yield f"{terms.titles[group.split]}: {count(whole.examples, 'examples')} from {whole.papers:,} {unit}"
    if sum(other.split == group.split for other in groups) > 1:
        names = ", ".join(run.name for run in group.runs)
        yield f"(another set of examples, not comparable with the other tables: {names})"
    if not group.same_tokens:
        yield "(the tokenizers differ: losses and perplexities are not comparable)"
    yield ""
    yield from _aligned([_HEADER, *_rows(group)])
    for run in group.runs[1:]:
        yield ""
        test = f"paired sign-flip test over {whole.papers:,} {unit} (+ better, - worse)"
        yield f"{run.name} against {first.name}, {test}:"
        gains = group.differences(run, first, bootstrap)
        yield from _aligned(
            [
                (f"  {'drop of the loss' if score == 'loss' else score}", *_difference_cells(score, found))
                for score, found in gains.items()
            ]
        )


def _rows(group: ComparableRuns) -> Iterator[TableRow]:
    """Yield rows of the tuned models, then the base models, then the baselines."""
    wholes = [(run, run.overall(group.split)) for run in group.runs]
    for run, part in wholes:
        yield _row(run.name, part.tuned, part.image_gain, part.choice)
    bases = {run.summary.base_model: part.base for run, part in reversed(wholes)}
    for name, scores in reversed(bases.items()):
        yield _row(f"base: {name}", scores)
    for scores in wholes[0][1].baselines:
        yield _row(scores.system, scores)


def _row(
    title: str, scores: Scores, image_gain: PairedDifference | None = None, choice: ChoiceScores | None = None
) -> TableRow:
    return (
        title,
        _cell(scores.loss, 2),
        _perplexity(scores.perplexity),
        *(_cell(scores.of_answers(name), score.digits) for name, score in ANSWER_SCORES.items()),
        _cell(image_gain, 2),
        _cell(None if choice is None else choice.accuracy, 2),
        fixed(scores.words, 0),
        percent(scores.rep_4),
        "-" if scores.ended_with_eos is None else percent(scores.ended_with_eos),
    )


def _cell(found: Estimate | None, digits: int) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return fixed(found.value, digits)
    return f"{fixed(found.value, digits)} [{fixed(found.low, digits)} {fixed(found.high, digits)}]"


def _perplexity(found: Estimate | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "-" if found is None else perplexity(found.value)
    return f"{perplexity(found.value)} [{perplexity(found.low)} {perplexity(found.high)}]"


def _difference_cells(score: Score, found: PairedDifference) -> TableRow:
    change = found.change(MIN_EFFECT[score])
    said = {"better": "better", "worse": "worse", "not shown": "not shown to be different"}[change]
    if found.low is None or found.high is None:
        return signed(found.value), "no interval", said
    return signed(found.value), f"95 % interval {signed(found.low)} to {signed(found.high)}, {p_value(found.p)}", said


def _aligned(rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield lines with aligned columns: the first left-aligned, the others right-aligned."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
