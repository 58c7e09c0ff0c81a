"""Several runs in one table of plain text, for the screen: `test_model.py --compare OUTPUT_A OUTPUT_B`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from figtune.metrics.comparison import Evaluation, Peers, peers
from figtune.metrics.intervals import Bootstrap
from figtune.metrics.records import LEAST_EFFECT, Estimate, Gain, Score, Scores
from figtune.metrics.words import WORDS
from figtune.pipeline.number_format import count, fixed, p_value, percent, perplexity, signed

_HEAD = ("", "loss", "perplexity", "CIDEr-D", "BLEU-4", "ROUGE-L", "chrF", "image gain", "words", "repeated", "ended")

Row = tuple[str, ...]


def comparison(evaluations: Sequence[Evaluation], bootstrap: Bootstrap) -> str:
    """Return several evaluations as text: a table for each set of examples, and paired tests against the first run."""
    groups = peers(evaluations)
    return "\n\n".join("\n".join(_lines(group, groups, bootstrap)) for group in groups)


def _lines(group: Peers, groups: Sequence[Peers], bootstrap: Bootstrap) -> Iterator[str]:
    first = group.evaluations[0]
    words, whole = WORDS[first.summary.source], first.whole(group.split)
    unit = words.group if whole.papers == 1 else words.groups
    yield f"{words.titles[group.split]}: {count(whole.examples, 'examples')} from {whole.papers:,} {unit}"
    if sum(other.split == group.split for other in groups) > 1:
        names = ", ".join(run.name for run in group.evaluations)
        yield f"(a set of examples of its own: not to be compared with the other tables; {names})"
    if not group.same_tokens:
        yield "(the models cut texts into different tokens: losses and perplexities are not to be compared)"
    yield ""
    yield from _aligned([_HEAD, *_rows(group)])
    for run in group.evaluations[1:]:
        yield ""
        test = f"paired sign-flip test over {whole.papers:,} {unit} (+ better, - worse)"
        yield f"{run.name} against {first.name}, {test}:"
        gains = group.gains(run, first, bootstrap)
        yield from _aligned(
            [
                (f"  {'drop of the loss' if score == 'loss' else score}", *_verdict(score, found))
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
        _perplexity(scores.perplexity),
        _cell(scores.cider, 2),
        _cell(scores.bleu4, 1),
        _cell(scores.rouge_l, 1),
        _cell(scores.chrf, 1),
        _cell(image_gain, 2),
        fixed(scores.words, 0),
        percent(scores.repetition),
        "-" if scores.stopped is None else percent(scores.stopped),
    )


def _cell(found: Estimate | Gain | None, digits: int) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return fixed(found.value, digits)
    return f"{fixed(found.value, digits)} [{fixed(found.low, digits)} {fixed(found.high, digits)}]"


def _perplexity(found: Estimate | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "-" if found is None else perplexity(found.value)
    return f"{perplexity(found.value)} [{perplexity(found.low)} {perplexity(found.high)}]"


def _verdict(score: Score, found: Gain) -> Row:
    change = found.change(LEAST_EFFECT[score])
    said = {"better": "better", "worse": "worse", "not shown": "not shown to be different"}[change]
    if found.low is None or found.high is None:
        return signed(found.value), "no interval", said
    return signed(found.value), f"95 % interval {signed(found.low)} to {signed(found.high)}, {p_value(found.p)}", said


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Columns under each other: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
