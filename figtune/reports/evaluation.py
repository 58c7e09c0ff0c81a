"""`report.html`: did it help, on what, does it look at the picture; then every figure with both answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from figtune.metrics.records import EVALUATED_SPLITS, Estimate, EvaluatedSplit, EvaluationSummary, Prediction, Slice
from figtune.metrics.verdict import sign_of
from figtune.reports.page import render_page

_SPLIT_TITLES: dict[EvaluatedSplit, str] = {"test": "Held-out papers", "minitrain": "Training figures"}
_LEVELS = {"positive": "good", "negative": "bad", "unclear": "unsure", "unknown": "unsure"}

_LARGEST_PERPLEXITY = 99_999


@dataclass(frozen=True)
class Scale:
    """The range that the intervals of a column are drawn in, zero always inside."""

    lowest: float
    highest: float

    def percent(self, value: float) -> float:
        """Where `value` lies, from 0 at the left to 100 at the right."""
        return round(100 * (value - self.lowest) / (self.highest - self.lowest), 2)


@dataclass(frozen=True)
class Whisker:
    """An estimate in words and as a mark on a line: positions in percent."""

    value: str
    interval: str
    level: str
    zero: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A slice with its estimates ready to draw."""

    title: str
    slice: Slice
    loss_drop: Whisker
    image_gain: Whisker | None
    grey_gain: Whisker


@dataclass(frozen=True)
class Block:
    """The rows of one split."""

    title: str
    rows: tuple[Row, ...]


def evaluation_page(
    summary: EvaluationSummary, predictions: Sequence[Prediction], *, images: str, curves: str | None
) -> str:
    """The page as HTML.

    Args:
        images: the data set folder relative to the page, quoted for a URL.
        curves: the picture of the training curves relative to the page, where there is one.
    """
    return render_page(
        "Evaluation",
        "evaluation.html",
        {
            "summary": summary,
            "wholes": [part for part in summary.slices if part.by == "all"],
            "blocks": _blocks(summary.slices),
            "curves": curves,
            "perplexity": _perplexity,
            "predictions": sorted(predictions, key=lambda each: (-each.tuned.chrf, each.example_id, each.split)),
            "image_source": lambda image: f"{images}/{quote(image)}",
            "splits": [split for split in EVALUATED_SPLITS if any(each.split == split for each in predictions)],
            "split_titles": _SPLIT_TITLES,
            "tasks": _names(prediction.task for prediction in predictions),
            "kinds": _names(prediction.kind for prediction in predictions),
        },
    )


def relative_url(target: Path, folder: Path) -> str:
    """How a page in `folder` refers to `target`."""
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())


def _perplexity(value: float) -> str:
    """A random model's runs into millions, of which nobody needs every digit."""
    if value >= _LARGEST_PERPLEXITY:
        return f"over {_LARGEST_PERPLEXITY:,}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names) - {""})


def _blocks(slices: Sequence[Slice]) -> list[Block]:
    drops = _scale(part.loss_drop for part in slices)
    gains = _scale(gain for part in slices for gain in (part.image_gain, part.grey_gain) if gain is not None)
    blocks = []
    for split, title in _SPLIT_TITLES.items():
        rows = tuple(_row(part, drops, gains) for part in slices if part.split == split and _worth_a_row(part, slices))
        if rows:
            blocks.append(Block(title=title, rows=rows))
    return blocks


def _worth_a_row(part: Slice, slices: Sequence[Slice]) -> bool:
    """A task or kind that is the only one says what the whole has said."""
    alike = [other for other in slices if other.split == part.split and other.by == part.by]
    return part.by == "all" or len(alike) > 1


def _row(part: Slice, drops: Scale, gains: Scale) -> Row:
    return Row(
        title=part.name or "all",
        slice=part,
        loss_drop=_whisker(part.loss_drop, drops),
        image_gain=None if part.image_gain is None else _whisker(part.image_gain, gains),
        grey_gain=_whisker(part.grey_gain, gains),
    )


def _scale(estimates: Iterable[Estimate]) -> Scale:
    ends = [end for each in estimates for end in (each.low, each.value, each.high) if end is not None]
    lowest, highest = min(0.0, *ends), max(0.0, *ends)
    margin = 0.04 * (highest - lowest) or 1.0
    return Scale(lowest - margin, highest + margin)


def _whisker(estimate: Estimate, scale: Scale) -> Whisker:
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return Whisker(
        value=_signed(estimate.value),
        interval="one paper" if estimate.low is None else f"{_signed(low)} to {_signed(high)}",
        level=_LEVELS[sign_of(estimate)],
        zero=scale.percent(0),
        at=scale.percent(estimate.value),
        low=scale.percent(low),
        high=scale.percent(high),
    )


def _signed(value: float) -> str:
    """`+0.12`, `−0.12`, `0.00`."""
    text = f"{abs(value):.2f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"
