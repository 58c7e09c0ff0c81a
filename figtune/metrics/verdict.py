"""Verdict on an evaluation in words, limited to claims that tests and intervals support."""

from __future__ import annotations

from collections.abc import Sequence

from figtune.core.number_format import count, fixed, percent
from figtune.metrics.image_use import ImageTest, image_tests, image_use, interval_text, mismatch_cost
from figtune.metrics.records import (
    ANSWER_SCORES,
    MIN_EFFECT,
    Change,
    Effect,
    EvaluatedSplit,
    ImageUse,
    Score,
    Scores,
    ShortScores,
    Slice,
    Source,
    Verdict,
)
from figtune.metrics.terminology import TERMINOLOGY, Terminology

_MIN_GROUPS = 6
"""Fewest groups with which the sign-flip test can reach alpha = 0.05: 2 / 2^6 = 0.031."""
_MEMORISATION_GAP = 0.1
"""Nats per token by which the loss must have fallen further on training figures to be called memorisation."""
_DEGENERATE_REP_4 = 0.5
"""rep-4 from which answers count as degenerate (human text: below 0.01; greedy decoding: 0.44 in Welleck 2020)."""


def summarize(
    slices: Sequence[Slice],
    short: Sequence[ShortScores],
    *,
    demo: bool,
    source: Source,
    trained_on_another: bool = False,
) -> Verdict:
    """Summarize an evaluation: effect of fine-tuning, by task, use of the image, and caveats.

    Args:
        slices: at least one of them a whole split.
        trained_on_another: the model was trained on another data set than the one that was held out of.
    """
    terms = TERMINOLOGY[source]
    wholes = {part.split: part for part in slices if part.by == "all"}
    whole = wholes.get("test") or wholes["minitrain"]
    tasks = [part for part in slices if part.split == whole.split and part.by == "task"]
    trained = wholes.get("minitrain") if whole.split == "test" else None
    tests = image_tests(whole, short)
    use = image_use(whole, trained, tests)
    sentence = f"{_effect_clause(whole, terms)}{_task_clause(tasks)}; {_image_use_clause(whole, use, tests)}."
    return Verdict(
        headline=_headline(whole, use, terms, trained_on_another=trained_on_another),
        sentence=sentence,
        helped=overall_effect(whole),
        image_use=use,
        notes=tuple(_notes(wholes, whole, terms, demo=demo, use=use, tests=tests)),
    )


def overall_effect(whole: Slice) -> Effect:
    """Return the effect of fine-tuning, by loss and answers together.

    "not shown" where no loss is finite; "mixed" where loss and answers changed in opposite ways, where scores of the
    answers disagree, and where one of them got better although every baseline scores higher or the answers repeat
    themselves.
    """
    found: set[Effect] = {_loss_change(whole), answer_effect(whole)} - {"not shown"}
    if not found or "loss" not in whole.gains:
        return "not shown"
    if "mixed" in found or len(found) > 1 or (found == {"better"} and _flaws(whole)):
        return "mixed"
    return found.pop()


def answer_effect(whole: Slice) -> Effect:
    """Return the effect on answers: better or worse if no score says the opposite, else mixed."""
    found = {whole.gains[score].change(MIN_EFFECT[score]) for score in ANSWER_SCORES} - {"not shown"}
    if not found:
        return "not shown"
    return "mixed" if len(found) > 1 else found.pop()


def _loss_change(whole: Slice) -> Change:
    return whole.gains["loss"].change(MIN_EFFECT["loss"]) if "loss" in whole.gains else "not shown"


def beats(one: Scores, other: Scores) -> bool:
    """Return True if `one` is higher by more scores than `other`, by at least `MIN_EFFECT` each."""
    differences = [
        (one.of_answers(name).value - other.of_answers(name).value) / score.min_effect
        for name, score in ANSWER_SCORES.items()
    ]
    return sum(each >= 1 for each in differences) > sum(each <= -1 for each in differences)


def _flaws(whole: Slice) -> list[str]:
    """List the flaws of answers that a lower loss does not outweigh, as clauses."""
    flaws = []
    if whole.tuned.words < 1:
        flaws.append("its answers are empty or nearly so")
    elif whole.tuned.rep_4 >= _DEGENERATE_REP_4:
        flaws.append(f"its answers repeat themselves ({percent(whole.tuned.rep_4)} of their 4-word sequences)")
    if whole.baselines and all(beats(baseline, whole.tuned) for baseline in whole.baselines):
        baselines = count(len(whole.baselines), "baselines")
        which = "the baseline, which needs" if len(whole.baselines) == 1 else f"all {baselines}, which need"
        flaws.append(f"{which} no model, answer{'s' if len(whole.baselines) == 1 else ''} better")
    return flaws


def _headline(whole: Slice, use: ImageUse, terms: Terminology, *, trained_on_another: bool) -> str:
    parts = []
    if trained_on_another:
        parts.append(
            "This model was trained on another data set than the one here: "
            f"{terms.groups} called held out may be among those it was trained on."
        )
    if overall_effect(whole) == "mixed":
        parts.append(f"Mixed result: {_disagreement(whole)}.")
    if use == "ignores":
        parts.append(f"This model {_ignores_verb(whole)} its images: its answers hardly depend on them.")
    return " ".join(parts)


def _disagreement(whole: Slice) -> str:
    """Describe the disagreement without numbers: `the loss fell, but its answers are worse ...`."""
    losses: dict[Change, str] = {
        "better": "the loss fell",
        "worse": "the loss rose",
        "not shown": "the loss is not shown to have changed",
    }
    clauses = [losses[_loss_change(whole)], _answers_clause(whole), *_flaws(whole)]
    first, *rest = [clause for clause in clauses if clause]
    return f"{first}, but {join_names(rest)}" if rest else first


def _answers_clause(whole: Slice) -> str:
    return {
        "better": "its answers are better than the base model's",
        "worse": "its answers are worse than the base model's",
        "mixed": "its answers are better by some scores and worse by others",
        "not shown": "",
    }[answer_effect(whole)]


def _ignores_verb(whole: Slice) -> str:
    return "seems to ignore" if whole.papers < _MIN_GROUPS else "ignores"


def _effect_clause(whole: Slice, terms: Terminology) -> str:
    place = terms.places[whole.split]
    if "loss" not in whole.gains:
        return f"The effect of fine-tuning {place} is unknown: no loss is finite"
    drop, verdict = whole.gains["loss"], overall_effect(whole)
    openings: dict[Effect, str] = {
        "better": "Fine-tuning helped",
        "worse": "Fine-tuning made the model worse",
        "mixed": "Fine-tuning has mixed effects",
        "not shown": "Fine-tuning is not shown to make the model " + ("better" if drop.value >= 0 else "worse"),
    }
    too_few, clauses = "", _clauses_beside_the_loss(whole)
    if verdict == "not shown":
        too_few = _too_few_groups(whole, terms)
        if drop.change(0) != "not shown":
            openings["not shown"] = "Fine-tuning made no difference that counts"
            clauses = f", less than the {fixed(MIN_EFFECT['loss'], 2)} that count"
    return f"{openings[verdict]} {place}: {_loss_change_text(whole)} ({interval_text(drop)}{too_few}){clauses}"


def _clauses_beside_the_loss(whole: Slice) -> str:
    """Describe the change of the answers, then their flaws; empty with too few groups for a test."""
    if whole.papers < _MIN_GROUPS:
        return ""
    loss, answers = _loss_change(whole), answer_effect(whole)
    clauses = ""
    if answers != "not shown":
        clauses = f", {'and' if answers == loss else 'but'} {_answers_clause(whole)}"
    if flaws := _flaws(whole):
        clauses += f", {'but' if 'better' in (loss, answers) and 'but' not in clauses else 'and'} {join_names(flaws)}"
    return clauses


def _too_few_groups(whole: Slice, terms: Terminology) -> str:
    if whole.papers == 1:
        return f": one {terms.group} allows no test"
    return f": {whole.papers} {terms.groups} are too few for a significant result" if whole.papers < _MIN_GROUPS else ""


def _loss_change_text(whole: Slice) -> str:
    drop = whole.gains["loss"].value
    if not drop:
        return f"the loss stayed at {_loss_text(whole.tuned)} nats per token"
    went = "fell" if drop > 0 else "rose"
    ends = f"from {_loss_text(whole.base)} to {_loss_text(whole.tuned)}"
    return f"the loss {went} by {fixed(abs(drop), 2)} nats per token, {ends}"


def _task_clause(tasks: Sequence[Slice]) -> str:
    """Describe the change by task; empty for a single task, or with too few groups for a test."""
    if len(tasks) < 2 or all(task.papers < _MIN_GROUPS for task in tasks):
        return ""
    changes = {task.name: _loss_change(task) for task in tasks if "loss" in task.gains}
    phrases: dict[Change, str] = {"better": "better", "worse": "worse", "not shown": "not shown to be different"}
    parts = [
        f"{phrase} at {join_names(names)}"
        for change, phrase in phrases.items()
        if (names := [name for name, found in changes.items() if found == change])
    ]
    return f", {', '.join(parts)}"


def _image_use_clause(whole: Slice, use: ImageUse, tests: Sequence[ImageTest]) -> str:
    """Describe the use of the image by the tests that show it, or else by the first one."""
    openings: dict[ImageUse, str] = {
        "uses image": "it uses the image",
        "ignores": f"it {_ignores_verb(whole)} the image",
        "memorised only": "it uses the images that it was trained on, but not new ones",
        "not shown": "it is not shown to use the image",
        "untested": "use of the image could not be tested, since the split has only one image",
    }
    return ": ".join(filter(None, (openings[use], join_names(_told(tests)))))


def _told(tests: Sequence[ImageTest]) -> list[str]:
    """Return the clauses of the tests that stand in the sentence."""
    return [test.clause for test in tests if test.shows_use] or [test.clause for test in tests[:1]]


def _notes(
    wholes: dict[EvaluatedSplit, Slice],
    whole: Slice,
    terms: Terminology,
    *,
    demo: bool,
    use: ImageUse,
    tests: Sequence[ImageTest],
) -> list[str]:
    notes = []
    if demo:
        notes.append(
            "This is the demo model: tiny, with random weights before training. It shows that every stage works; "
            "its answers do not show what a real model can do."
        )
    if whole.split == "minitrain":
        notes.append(
            f"No {terms.group} was held out for the test: all numbers are of training {terms.images}. "
            f"{terms.test_split_remedy}."
        )
    notes += [note for part in wholes.values() for note in _nonfinite_notes(part, terms)]
    if use in ("ignores", "memorised only") and terms.image_use_remedy and not demo:
        notes.append(f"{terms.image_use_remedy}.")
    told = _told(tests)
    notes += [f"{test.clause[:1].upper()}{test.clause[1:]}." for test in tests if test.clause not in told]
    notes += _answer_notes(whole)
    notes += _baseline_notes(whole)
    if whole.split == "test" and "minitrain" in wholes:
        notes += _memorisation_notes(whole, wholes["minitrain"], terms)
    return notes


def _nonfinite_notes(whole: Slice, terms: Terminology) -> list[str]:
    if not whole.not_finite:
        return []
    return [
        f"{terms.titles[whole.split]}: the loss is not finite for {whole.not_finite:,} of "
        f"{count(whole.examples, 'examples')}, which are excluded from its mean; metrics.json lists them."
    ]


def _answer_notes(whole: Slice) -> list[str]:
    notes = []
    if whole.papers >= _MIN_GROUPS:
        named: dict[Change, list[Score]] = {"better": [], "worse": [], "not shown": []}
        for score, gain in whole.gains.items():
            if score != "loss":
                named[gain.change(MIN_EFFECT[score])].append(score)
        phrases = {"better": "better by", "worse": "worse by", "not shown": "not shown to be different by"}
        parts = [f"{phrases[change]} {join_names(scores)}" for change, scores in named.items() if scores]
        notes.append(f"Its answers are {', '.join(parts)}.")
    ended = whole.tuned.ended_with_eos or 0.0
    if ended < 0.5:
        share = f"Only {percent(ended)}" if ended else "None"
        notes.append(
            f"{share} of the tuned model's answers ended with EOS; longer answers are cut at --test.max_new_tokens."
        )
    return notes


def _baseline_notes(whole: Slice) -> list[str]:
    """Name the best baseline, where its CIDEr-D is at least that of the tuned model."""
    best = max(whole.baselines, key=lambda each: (each.cider.value, each.chrf.value), default=None)
    if best is None or not (best.cider.value > 0 and best.cider.value >= whole.tuned.cider.value):
        return []
    return [
        f'The baseline "{best.system}", which needs no model, reaches a CIDEr-D of {fixed(best.cider.value, 2)}, '
        f"the tuned model {fixed(whole.tuned.cider.value, 2)}."
    ]


def _memorisation_notes(test: Slice, minitrain: Slice, terms: Terminology) -> list[str]:
    notes = []
    known = f"On training {terms.images}"
    drops = [part.gains["loss"].value for part in (test, minitrain) if "loss" in part.gains]
    if len(drops) == 2 and drops[1] - drops[0] > _MEMORISATION_GAP:
        beyond = terms.places["test"].removeprefix("on ")
        notes.append(f"{known} {_loss_change_text(minitrain)}: what exceeds the {beyond} is memorisation.")
    if minitrain.image_gain is not None:
        gain = minitrain.image_gain
        notes.append(f"{known} {mismatch_cost(gain)} ({interval_text(gain)}).")
    return notes


def _loss_text(scores: Scores) -> str:
    assert scores.loss is not None, "there is a drop only of a loss"
    return fixed(scores.loss.value, 2)


def join_names(names: Sequence[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`; nothing for none."""
    if not names:
        return ""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
