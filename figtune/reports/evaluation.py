"""Evaluation report `report.html`: verdict, scores by slice, image gain, facts, and every figure with both answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from figtune.core.io import write_text
from figtune.core.number_format import p_value, signed
from figtune.metrics.records import (
    ANSWER_SCORES,
    EVALUATED_SPLITS,
    MIN_EFFECT,
    NEGATIVES,
    Baseline,
    Change,
    Effect,
    EvaluationSummary,
    FactScores,
    PairedDifference,
    Prediction,
    Score,
    Slice,
    System,
)
from figtune.metrics.terminology import TERMINOLOGY, Terminology
from figtune.reports.render import render_page

_LEVELS: Mapping[Change | Effect, str] = {"better": "good", "worse": "bad", "mixed": "unsure", "not shown": "unsure"}
_SERVED_LEVELS = {"adapter": "good", "base model": "bad", "unclear": "unsure"}
_NOTICE_PLACE = "<main>"
_NOTICE = "Not the adapter that lies here now: "
_TITLES: Mapping[System, str] = {"tuned": "tuned model", "base": "base model", "served": "answers of the server"}
_BASELINE_SOURCES: Mapping[Baseline, str] = {
    "frequent words": "the most frequent words of the task's training texts, as many as the median text has",
    "typical text": "the most central training text of the task, by TF-IDF",
    "nearest picture": "the text of the training image with the nearest perceptual hash",
    "nearest prompt": "the text of the training prompt with the nearest TF-IDF vector",
}


@dataclass(frozen=True)
class AxisRange:
    """Value range of the drawn intervals in a column; contains zero."""

    lowest: float
    highest: float

    def percent(self, value: float) -> float:
        """Return the position of a value in percent, from 0 (left) to 100 (right)."""
        return round(100 * (value - self.lowest) / (self.highest - self.lowest), 2)


@dataclass(frozen=True)
class Whisker:
    """Difference as text and as a mark on a line; positions in percent."""

    value: str
    interval: str
    level: str
    zero: float
    at: float
    low: float
    high: float


def evaluation_page(
    summary: EvaluationSummary, predictions: Sequence[Prediction], *, images: str, curves: str | None
) -> str:
    """Return the page as HTML.

    Args:
        images: the data set folder relative to the page, quoted for a URL.
        curves: the training curves relative to the page, if there are any.
    """
    terms = TERMINOLOGY[summary.source]
    drops = _scale(part.gains.get("loss") for part in summary.slices)
    gains = _scale(gain for part in summary.slices for gain in (part.image_gain, part.grey_gain))
    return render_page(
        "Evaluation",
        "evaluation.html",
        {
            "summary": summary,
            "terms": terms,
            "wholes": [part for part in summary.slices if part.by == "all"],
            "blocks": _rows_by_title(summary.slices, terms),
            "drop_of_loss": lambda part: _whisker(part.gains.get("loss"), drops, terms),
            "image_gain": lambda gain: _whisker(gain, gains, terms),
            "facts": _facts_by_title(summary.facts, terms),
            "chosen": any(part.choice for part in summary.slices),
            "negatives": NEGATIVES,
            "baselines": _BASELINE_SOURCES,
            "curves": curves,
            "name": lambda system: _TITLES.get(system, system),
            "level": lambda score, gain: _level(gain, score),
            "min_effect": MIN_EFFECT,
            "answer_scores": ANSWER_SCORES,
            "served_level": "" if summary.served is None else _SERVED_LEVELS[summary.served.serves],
            "verdict_level": "bad" if summary.verdict.image_use == "ignores" else _LEVELS[summary.verdict.helped],
            "predictions": sorted(predictions, key=lambda each: (-each.tuned.chrf, each.example_id, each.split)),
            "drop_of": _loss_drop,
            "image_source": lambda image: f"{images}/{quote(image)}",
            "splits": [split for split in EVALUATED_SPLITS if any(each.split == split for each in predictions)],
            "tasks": _names(prediction.task for prediction in predictions),
            "kinds": _names(prediction.kind for prediction in predictions),
        },
    )


def relative_url(target: Path, folder: Path) -> str:
    """Return the URL of `target` relative to a page in `folder`."""
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())


def mark_stale(page: Path, command: str) -> None:
    """Insert a notice on top of a report whose adapter is no longer the one in OUTPUT; idempotent."""
    if not page.is_file():
        return
    text = page.read_text(encoding="utf-8")
    if _NOTICE in text:
        return
    notice = (
        f'<div class="card bad"><b>{_NOTICE}</b>this page is about an earlier one. Make it anew with '
        f"<code>{escape(command)}</code></div>"
    )
    write_text(page, text.replace(_NOTICE_PLACE, f"{_NOTICE_PLACE}\n{notice}", 1))


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names) - {""})


def _loss_drop(prediction: Prediction) -> float:
    """Return the drop of the loss of one example; 0 if a loss is not finite."""
    base, tuned = prediction.base.loss, prediction.tuned.loss
    return 0.0 if base is None or tuned is None else round(base - tuned, 4)


def _rows_by_title(slices: Sequence[Slice], terms: Terminology) -> dict[str, list[Slice]]:
    """Return the slices of each split that are worth a row, by the title of the split."""
    rows = {
        title: [part for part in slices if part.split == split and _worth_a_row(part, slices)]
        for split, title in terms.titles.items()
    }
    return {title: of_split for title, of_split in rows.items() if of_split}


def _facts_by_title(
    facts: Sequence[FactScores], terms: Terminology
) -> list[tuple[str, list[System], list[FactScores]]]:
    """Return the facts of each split with its title and the systems scored on all of them."""
    found = []
    for split, title in terms.titles.items():
        if chosen := [each for each in facts if each.split == split]:
            systems = [system for system in chosen[0].scores if all(system in each.scores for each in chosen)]
            found.append((title, systems, chosen))
    return found


def _worth_a_row(part: Slice, slices: Sequence[Slice]) -> bool:
    """Return False for the only task or kind of a split, which repeats the whole."""
    alike = [other for other in slices if other.split == part.split and other.by == part.by]
    return part.by == "all" or len(alike) > 1


def _scale(gains: Iterable[PairedDifference | None]) -> AxisRange:
    ends = [end for each in gains if each for end in (each.low, each.value, each.high) if end is not None]
    lowest, highest = min(0.0, *ends, 0.0), max(0.0, *ends, 0.0)
    margin = 0.04 * (highest - lowest) or 1.0
    return AxisRange(lowest - margin, highest + margin)


def _whisker(gain: PairedDifference | None, scale: AxisRange, terms: Terminology) -> Whisker | None:
    if gain is None:
        return None
    low = gain.value if gain.low is None else gain.low
    high = gain.value if gain.high is None else gain.high
    return Whisker(
        value=signed(gain.value),
        interval=f"one {terms.group}" if gain.low is None else f"{signed(low)} to {signed(high)}, {p_value(gain.p)}",
        level=_level(gain, "loss"),
        zero=scale.percent(0),
        at=scale.percent(gain.value),
        low=scale.percent(low),
        high=scale.percent(high),
    )


def _level(gain: PairedDifference, score: Score) -> str:
    """Return the CSS class of a difference: good or bad only if significant and at least `MIN_EFFECT`."""
    return _LEVELS[gain.change(MIN_EFFECT[score])]
