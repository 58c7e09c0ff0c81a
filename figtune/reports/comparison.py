"""Several runs in one table of plain text, for the screen: `test_model.py --compare OUTPUT_A OUTPUT_B`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from figtune.core.jsonl import read_json, read_records
from figtune.metrics.comparison import Evaluation, Peers, peers
from figtune.metrics.intervals import Bootstrap
from figtune.metrics.records import (
    EVALUATION_FOLDER,
    METRICS_FILE,
    PREDICTIONS_FILE,
    Estimate,
    EvaluationSummary,
    Gain,
    Prediction,
    Scores,
)
from figtune.metrics.verdict import chance
from figtune.metrics.words import WORDS

_MADE_BY = "python test_model.py --output_dir"
_HEAD = ("", "loss", "perplexity", "CIDEr-D", "BLEU-4", "ROUGE-L", "chrF", "image gain", "words", "repeated", "ended")

Row = tuple[str, ...]


def comparison(outputs: Sequence[Path], bootstrap: Bootstrap) -> str:
    """The evaluations of several output folders as text.

    Raises:
        ArtifactMissingError: one of them has not been evaluated.
        InputError: a file cannot be read, or is of another version.
    """
    groups = peers([read_evaluation(output) for output in outputs])
    return "\n\n".join("\n".join(_lines(group, groups, bootstrap)) for group in groups)


def read_evaluation(output_dir: Path) -> Evaluation:
    """What `test` has left in an output folder. Raises as `comparison` does."""
    folder, command = output_dir / EVALUATION_FOLDER, f"{_MADE_BY} {output_dir}"
    return Evaluation(
        name=str(output_dir),
        summary=read_json(folder / METRICS_FILE, EvaluationSummary, command),
        predictions=read_records(folder / PREDICTIONS_FILE, Prediction, command),
    )


def _lines(group: Peers, groups: Sequence[Peers], bootstrap: Bootstrap) -> Iterator[str]:
    first = group.evaluations[0]
    words, whole = WORDS[first.summary.source], first.whole(group.split)
    unit = words.group if whole.papers == 1 else words.groups
    yield f"{words.titles[group.split]}: {whole.examples} examples from {whole.papers} {unit}"
    if sum(other.split == group.split for other in groups) > 1:
        names = ", ".join(run.name for run in group.evaluations)
        yield f"(a set of examples of its own: not to be compared with the other tables; {names})"
    if not group.same_tokens:
        yield "(the models cut texts into different tokens: losses and perplexities are not to be compared)"
    yield ""
    yield from _aligned([_HEAD, *_rows(group)])
    for run in group.evaluations[1:]:
        yield ""
        yield f"{run.name} against {first.name}, paired sign-flip test over {whole.papers} {unit}:"
        gains = group.gains(run, first, bootstrap)
        yield from _aligned(
            [
                (f"  {'drop of the loss' if score == 'loss' else score}", *_verdict(found))
                for score, found in gains.items()
            ]
        )


def _rows(group: Peers) -> Iterator[Row]:
    """Tuned models, then the base models, then what needs no model."""
    wholes = [(run, run.whole(group.split)) for run in group.evaluations]
    for run, part in wholes:
        yield _row(run.name, part.tuned, part.image_gain)
    bases = {run.summary.base_model: part.base for run, part in reversed(wholes)}
    for name, scores in reversed(bases.items()):
        yield _row(f"base: {name}", scores, None)
    for scores in wholes[0][1].baselines:
        yield _row(scores.system, scores, None)


def _row(title: str, scores: Scores, image_gain: Gain | None) -> Row:
    return (
        title,
        _cell(scores.loss, 2),
        _cell(scores.perplexity, 1),
        _cell(scores.cider, 2),
        _cell(scores.bleu4, 1),
        _cell(scores.rouge_l, 1),
        _cell(scores.chrf, 1),
        _cell(image_gain, 2),
        f"{scores.words:.0f}",
        f"{scores.repetition:.0%}",
        "-" if scores.stopped is None else f"{scores.stopped:.0%}",
    )


def _cell(found: Estimate | Gain | None, digits: int) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f} {found.high:.{digits}f}]"


def _verdict(found: Gain) -> Row:
    said = {"better": "better", "worse": "worse", "not shown": "not shown to be different"}[found.change]
    interval = "no interval" if found.low is None else f"95 % interval {found.low:+.2f} to {found.high:+.2f}"
    return f"{found.value:+.2f}", f"{interval}, {chance(found)}", said


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Columns under each other: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
