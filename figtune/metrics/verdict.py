"""What the numbers say, in words that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from figtune.metrics.records import Estimate, EvaluatedSplit, Slice, Verdict

_FEW_PAPERS = 6
"""With fewer, even a change of the same sign in all of them comes about by chance more often than once in twenty."""
_NOTABLE_GAP = 0.1
"""Nats per token by which training figures must have gained more before it is called memorising."""

_PLACES: dict[EvaluatedSplit, str] = {"test": "on held-out papers", "minitrain": "on training figures"}

Sign = Literal["positive", "negative", "unclear", "unknown"]


def judge(slices: Sequence[Slice], *, demo: bool) -> Verdict:
    """Did it help, on what, does it look at the picture: one sentence, and what limits it.

    Args:
        slices: as measured, at least one of them whole.
        demo: whether the base model is the tiny one with random weights.
    """
    wholes = {part.split: part for part in slices if part.by == "all"}
    whole = wholes.get("test") or wholes["minitrain"]
    tasks = [part for part in slices if part.split == whole.split and part.by == "task"]
    sentence = f"{_whether_it_helped(whole)}{_on_what(tasks)}; {_whether_it_looks(whole)}."
    return Verdict(sentence=sentence, notes=tuple(_notes(wholes, whole, demo=demo)))


def sign_of(estimate: Estimate) -> Sign:
    """Which side of zero the whole interval lies on; unknown where there is none."""
    if estimate.low is None or estimate.high is None:
        return "unknown"
    if estimate.low > 0:
        return "positive"
    return "negative" if estimate.high < 0 else "unclear"


def _whether_it_helped(whole: Slice) -> str:
    place = _PLACES[whole.split]
    few = whole.papers < _FEW_PAPERS
    course = f"{_course(whole)} nats per token"
    match sign_of(whole.loss_drop):
        case "positive":
            did = "seems to have helped" if few else "helped"
            return f"Fine-tuning {did} {place}: {course} ({_interval(whole.loss_drop)})"
        case "negative":
            did = "seems to have made" if few else "made"
            return f"Fine-tuning {did} the model worse {place}: {course} ({_interval(whole.loss_drop)})"
        case "unclear":
            return (
                f"Whether fine-tuning helped {place} cannot be told: {course}, "
                f"and the interval of the drop spans zero ({_interval(whole.loss_drop)})"
            )
        case "unknown":
            return f"Whether fine-tuning helped {place} cannot be told from one paper: there {course}"


def _course(whole: Slice) -> str:
    drop = whole.loss_drop.value
    went = "fell" if drop > 0 else "rose" if drop < 0 else "went"
    return f"the loss {went} from {whole.base.loss:.2f} to {whole.tuned.loss:.2f}"


def _on_what(tasks: Sequence[Slice]) -> str:
    """Which tasks the change is sure for; nothing to say about a single task or without intervals."""
    if len(tasks) < 2 or any(sign_of(task.loss_drop) == "unknown" for task in tasks):
        return ""
    named = {
        "better": [task.name for task in tasks if sign_of(task.loss_drop) == "positive"],
        "worse": [task.name for task in tasks if sign_of(task.loss_drop) == "negative"],
        "not clearly different": [task.name for task in tasks if sign_of(task.loss_drop) == "unclear"],
    }
    parts = [f"{change} at {listed(names)}" for change, names in named.items() if names]
    return f", {', '.join(parts)}"


def _whether_it_looks(whole: Slice) -> str:
    gain = whole.image_gain
    if gain is None:
        return "whether it looks at the picture could not be tested, since there is only one picture"
    cost = f"a wrong one costs it {_number(gain.value)} nats per token"
    match sign_of(gain):
        case "positive":
            does = "seems to look" if whole.papers < _FEW_PAPERS else "looks"
            return f"it {does} at the picture: {cost} ({_interval(gain)})"
        case "unknown":
            return f"whether it looks at the picture cannot be told either: {cost}"
        case "negative" | "unclear":
            return f"it shows no sign of looking at the picture: {cost} ({_interval(gain)})"


def _notes(wholes: dict[EvaluatedSplit, Slice], whole: Slice, *, demo: bool) -> list[str]:
    notes = []
    if demo:
        notes.append(
            "This is the demo model: tiny, with random weights before training. It shows that every stage works; "
            "its answers say nothing about what a real model can do."
        )
    if whole.split == "minitrain":
        notes.append(
            "No paper was held out for the test: every number here is about training figures and none about new ones. "
            "More papers, or a larger --prepare.test_fraction, give a test split."
        )
    notes += _on_the_number_of_papers(whole)
    if whole.split == "test" and "minitrain" in wholes:
        notes += _on_memorising(whole, wholes["minitrain"])
    if whole.tuned.stopped < 0.5:
        share = f"Only {whole.tuned.stopped:.0%}" if whole.tuned.stopped else "None"
        notes.append(
            f"{share} of the tuned model's answers ended by themselves; answers are cut at --test.max_new_tokens."
        )
    return notes


def _on_the_number_of_papers(whole: Slice) -> list[str]:
    what = "test" if whole.split == "test" else "training"
    if whole.papers == 1:
        return [f"All {what} figures come from one paper: there is no interval, and another paper may say otherwise."]
    if whole.papers < _FEW_PAPERS:
        return [f"There are only {whole.papers} {what} papers: so few prove nothing, and the intervals are rough."]
    return []


def _on_memorising(test: Slice, minitrain: Slice) -> list[str]:
    notes = []
    if minitrain.loss_drop.value - test.loss_drop.value > _NOTABLE_GAP:
        notes.append(f"On training figures {_course(minitrain)}: what goes beyond the held-out papers is memorised.")
    if minitrain.image_gain is not None:
        notes.append(
            f"On training figures a wrong picture costs it {_number(minitrain.image_gain.value)} nats per token"
            f"{_bracketed(minitrain.image_gain)}."
        )
    return notes


def _bracketed(estimate: Estimate) -> str:
    return "" if estimate.low is None else f" ({_interval(estimate)})"


def _interval(estimate: Estimate) -> str:
    return f"95 % interval {_number(estimate.low or 0.0)} to {_number(estimate.high or 0.0)}"


def _number(value: float) -> str:
    """Two decimals, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
