"""What the numbers say, in words that claim no more than tests and intervals allow."""

from __future__ import annotations

from collections.abc import Sequence

from figtune.metrics.records import Change, Estimate, EvaluatedSplit, Gain, Looking, Score, Slice, Source, Verdict
from figtune.metrics.words import WORDS, Words

_FEW_PAPERS = 6
"""With fewer, even a change of the same sign in all of them comes about by chance more often than once in twenty."""
_NOTABLE_GAP = 0.1
"""Nats per token by which training figures must have gained more before it is called memorising."""
_NO_GAIN = 0.02
"""Nats per token: a model that the right picture helps by less than 2 % of its perplexity ignores it."""


def judge(slices: Sequence[Slice], *, demo: bool, source: Source) -> Verdict:
    """Did it help, on what, does it look at the picture: one sentence, and what limits it.

    Args:
        slices: as measured, at least one of them whole.
        demo: whether the base model is the tiny one with random weights.
    """
    words = WORDS[source]
    wholes = {part.split: part for part in slices if part.by == "all"}
    whole = wholes.get("test") or wholes["minitrain"]
    tasks = [part for part in slices if part.split == whole.split and part.by == "task"]
    trained = wholes.get("minitrain") if whole.split == "test" else None
    sentence = f"{_whether_it_helped(whole, words)}{_on_what(tasks)}; {_whether_it_looks(whole, trained)}."
    return Verdict(
        headline=_headline(whole, trained),
        sentence=sentence,
        helped=whole.gains["loss"].change if "loss" in whole.gains else "not shown",
        looking=looking(whole, trained),
        notes=tuple(_notes(wholes, whole, words, demo=demo)),
    )


def looking(whole: Slice, trained: Slice | None) -> Looking:
    """Whether the tuned model looks at its pictures: by a paired test, and by how little a wrong one costs at most.

    Args:
        trained: the same of the training examples, where `whole` is of others.
    """
    gain = whole.image_gain
    if gain is None:
        return "untested"
    if gain.change == "better" and gain.value >= _NO_GAIN:
        return "looks"
    if gain.change != "better" and _most(gain) >= _NO_GAIN:
        return "not shown"
    known = trained.image_gain if trained is not None else None
    if known is not None and _most(known) >= _NO_GAIN:
        return "at known ones only" if _least(known) > 0 else "not shown"
    return "ignores"


def _most(gain: Gain) -> float:
    return gain.value if gain.high is None else gain.high


def _least(gain: Gain) -> float:
    return gain.value if gain.low is None else gain.low


def _headline(whole: Slice, trained: Slice | None) -> str:
    if looking(whole, trained) != "ignores":
        return ""
    return f"This model {_ignores(whole)} its pictures: what it writes hardly depends on what they show."


def _ignores(whole: Slice) -> str:
    return "seems to ignore" if whole.papers < _FEW_PAPERS else "ignores"


def _whether_it_helped(whole: Slice, words: Words) -> str:
    place = words.places[whole.split]
    if "loss" not in whole.gains:
        return f"Whether fine-tuning helped {place} cannot be told: no loss is a finite number"
    drop = whole.gains["loss"]
    course = _course(whole)
    match drop.change:
        case "better":
            return f"Fine-tuning helped {place}: {course} ({_evidence(drop)})"
        case "worse":
            return f"Fine-tuning made the model worse {place}: {course} ({_evidence(drop)})"
        case "not shown":
            better = "better" if drop.value >= 0 else "worse"
            return (
                f"Fine-tuning is not shown to make the model {better} {place}: "
                f"{course} ({_evidence(drop)}{_too_few(whole, words)})"
            )


def _too_few(whole: Slice, words: Words) -> str:
    if whole.papers == 1:
        return f": one {words.group} proves nothing"
    return f": {whole.papers} {words.groups} are too few to prove anything" if whole.papers < _FEW_PAPERS else ""


def _course(whole: Slice) -> str:
    drop = whole.gains["loss"].value
    if not drop:
        return f"the loss stayed at {_value(whole.tuned.loss)} nats per token"
    went = "fell" if drop > 0 else "rose"
    ends = f"from {_value(whole.base.loss)} to {_value(whole.tuned.loss)}"
    return f"the loss {went} by {_number(abs(drop))} nats per token, {ends}"


def _on_what(tasks: Sequence[Slice]) -> str:
    """Which tasks the change is sure for; nothing to say about a single task, or where no test can tell."""
    if len(tasks) < 2 or all(task.papers < _FEW_PAPERS for task in tasks):
        return ""
    changes = {task.name: task.gains["loss"].change for task in tasks if "loss" in task.gains}
    phrases: dict[Change, str] = {"better": "better", "worse": "worse", "not shown": "not shown to be different"}
    parts = [
        f"{phrase} at {listed(names)}"
        for change, phrase in phrases.items()
        if (names := [name for name, found in changes.items() if found == change])
    ]
    return f", {', '.join(parts)}"


def _whether_it_looks(whole: Slice, trained: Slice | None) -> str:
    gain = whole.image_gain
    if gain is None:
        return "whether it looks at the picture could not be tested, since no picture could be exchanged for another"
    cost = f"a wrong one costs it {_number(gain.value)} nats per token ({_evidence(gain)})"
    match looking(whole, trained):
        case "looks":
            return f"it looks at the picture: {cost}"
        case "ignores":
            return f"it {_ignores(whole)} the picture: {cost}"
        case "at known ones only":
            return f"it knows the pictures it was trained on, but new ones do not help it: {cost}"
        case "not shown" | "untested":
            return f"it is not shown to look at the picture: {cost}"


def _notes(wholes: dict[EvaluatedSplit, Slice], whole: Slice, words: Words, *, demo: bool) -> list[str]:
    notes = []
    if demo:
        notes.append(
            "This is the demo model: tiny, with random weights before training. It shows that every stage works; "
            "its answers say nothing about what a real model can do."
        )
    if whole.split == "minitrain":
        notes.append(
            f"No {words.group} was held out for the test: every number here is about training {words.pictures} and "
            f"none about new ones. {words.more}."
        )
    notes += [note for part in wholes.values() for note in _on_losses(part, words)]
    notes += _on_answers(whole)
    notes += _on_baselines(whole)
    if whole.split == "test" and "minitrain" in wholes:
        notes += _on_memorising(whole, wholes["minitrain"], words)
    return notes


def _on_losses(whole: Slice, words: Words) -> list[str]:
    if not whole.not_finite:
        return []
    return [
        f"{words.titles[whole.split]}: a loss is no finite number for {whole.not_finite} of {whole.examples} examples, "
        "which are left out of the means that it belongs to; metrics.json names them."
    ]


def _on_answers(whole: Slice) -> list[str]:
    notes = []
    if whole.papers >= _FEW_PAPERS:
        named: dict[Change, list[Score]] = {"better": [], "worse": [], "not shown": []}
        for score, gain in whole.gains.items():
            if score != "loss":
                named[gain.change].append(score)
        phrases = {"better": "better by", "worse": "worse by", "not shown": "not shown to be different by"}
        parts = [f"{phrases[change]} {listed(scores)}" for change, scores in named.items() if scores]
        notes.append(f"Its answers are {', '.join(parts)}.")
    stopped = whole.tuned.stopped or 0.0
    if stopped < 0.5:
        share = f"Only {stopped:.0%}" if stopped else "None"
        notes.append(
            f"{share} of the tuned model's answers ended by themselves; answers are cut at --test.max_new_tokens."
        )
    return notes


def _on_baselines(whole: Slice) -> list[str]:
    """Whether something that needs no model scores as high."""
    best = max(whole.baselines, key=lambda each: each.cider.value, default=None)
    if best is None or best.cider.value <= 0 or best.cider.value < whole.tuned.cider.value:
        return []
    return [
        f'The baseline "{best.system}", which needs no model, reaches a CIDEr-D of {_number(best.cider.value)}, '
        f"the tuned model {_number(whole.tuned.cider.value)}."
    ]


def _on_memorising(test: Slice, minitrain: Slice, words: Words) -> list[str]:
    notes = []
    known = f"On training {words.pictures}"
    drops = [part.gains["loss"].value for part in (test, minitrain) if "loss" in part.gains]
    if len(drops) == 2 and drops[1] - drops[0] > _NOTABLE_GAP:
        beyond = words.places["test"].removeprefix("on ")
        notes.append(f"{known} {_course(minitrain)}: what goes beyond the {beyond} is memorised.")
    if minitrain.image_gain is not None:
        gain = minitrain.image_gain
        notes.append(f"{known} a wrong picture costs it {_number(gain.value)} nats per token ({_evidence(gain)}).")
    return notes


def _evidence(gain: Gain) -> str:
    """`95 % interval 0.10 to 0.20, p = 0.03`"""
    if gain.low is None or gain.high is None:
        return "no interval"
    return f"95 % interval {_number(gain.low)} to {_number(gain.high)}, {chance(gain)}"


def chance(gain: Gain) -> str:
    """`p = 0.03`, `p < 0.001`"""
    return f"p = {gain.p:.2g}" if gain.p >= 0.001 else "p < 0.001"


def _value(estimate: Estimate | None) -> str:
    assert estimate is not None, "there is a drop only of a loss"
    return _number(estimate.value)


def _number(value: float) -> str:
    """Two decimals, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
