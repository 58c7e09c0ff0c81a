"""Short questions with short answers, balanced, asked only where extraction is sure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from figtune.dataset.panel_captions import PanelPart
from figtune.dataset.questions import MOST_QUESTIONS, FigureFacts, OtherCaption, ShortQuestion, ask
from figtune.extraction.records import FigureKind
from tests.rows import each_row

FACTS = FigureFacts(
    figure_id="paper-figure-1",
    kind="plot",
    kind_score=1.0,
    panels=(
        PanelPart(label="a", sentences=(), printed="training loss"),
        PanelPart(label="b", sentences=(), printed="accuracy on test images"),
    ),
    panel_count=2,
    figure_text="Accuracy Epochs Learning rate Training Validation baseline ours proposed",
    hides_words=False,
    shows_words=True,
    aspect=2.5,
    caption="Curves of the loss and accuracy.",
    other_caption=OtherCaption("Overview of the whole network.", "diagram"),
    spoken="Figure 1 compares schedules; momentum helps smaller networks.",
)


def asked(facts: FigureFacts, figures: int = 400) -> list[ShortQuestion]:
    return [question for number in range(figures) for question in ask(replace(facts, figure_id=f"figure-{number}"))]


def test_questions_are_few_and_differ() -> None:
    for number in range(40):
        slugs = [question.slug for question in ask(replace(FACTS, figure_id=f"figure-{number}"))]
        assert 0 < len(slugs) == len(set(slugs)) <= MOST_QUESTIONS


def test_every_kind_of_question_has_its_true_answer() -> None:
    questions = asked(FACTS)
    answers = {slug: {each.answer for each in questions if each.slug == slug} for slug in {q.slug for q in questions}}
    assert answers == {
        "kind": {"plot"},
        "text": {"little"},
        "shape": {"yes"},
        "count": {"2"},
        "where": {"(a)", "(b)"},
        "panel": {"training loss", "accuracy on test images"},
        "word": {"yes", "no"},
        "caption": {"1", "2"},
    }
    for each in questions:
        if each.slug == "word":
            word = each.request.split('"')[1]
            assert (word in FACTS.figure_text) == (each.answer == "yes")
        if each.slug == "caption":
            assert f"({each.answer}) {FACTS.caption}" in each.request
        if each.slug == "where":
            assert each.answer == ("(a)" if "training loss" in each.request else "(b)")


def test_answers_are_balanced() -> None:
    counts = Counter((each.slug, each.answer) for each in asked(FACTS))
    for slug, pair in (("word", ("yes", "no")), ("caption", ("1", "2")), ("where", ("(a)", "(b)"))):
        one, two = (counts[slug, answer] for answer in pair)
        assert 0.7 < one / two < 1.4


@each_row(
    ("words", "kind", "kind_score", "answer"),
    [
        (60, "plot", 1.0, "much"),
        (60, "mixed", 0.5, "much"),
        (5, "plot", 1.0, "little"),
        (5, "qualitative", 1.0, "little"),
        (0, "qualitative", 1.0, None),
        (0, "plot", 1.0, None),
        (5, "plot", 0.6, None),
        (20, "plot", 1.0, None),
    ],
)
def test_much_or_little_text_is_asked_where_the_text_layer_tells(
    words: int, kind: FigureKind, kind_score: float, answer: str | None
) -> None:
    facts = replace(FACTS, figure_text="word " * words, kind=kind, kind_score=kind_score)
    assert {each.answer for each in asked(facts) if each.slug == "text"} == ({answer} if answer else set())


@each_row(("aspect", "answer"), [(3.0, "yes"), (1.0, "no"), (0.5, "no"), (1.6, None), (2.1, None), (0.0, None)])
def test_the_shape_is_asked_where_it_is_clear(aspect: float, answer: str | None) -> None:
    questions = asked(replace(FACTS, aspect=aspect))
    assert {each.answer for each in questions if each.slug == "shape"} == ({answer} if answer else set())


def test_nothing_unsure_is_asked() -> None:
    unsure = replace(FACTS, kind_score=0.6, panel_count=0, other_caption=None, aspect=0.0)
    assert asked(unsure, 50) == []
    pictures = replace(FACTS, kind="qualitative")
    assert "word" not in {each.slug for each in asked(pictures)}
    assert "text" not in {each.slug for each in asked(replace(FACTS, hides_words=True))}
    assert "word" not in {each.slug for each in asked(replace(FACTS, shows_words=False))}
    assert "Figure" not in " ".join(each.request for each in asked(FACTS) if each.slug == "word")
    alike = replace(FACTS, panels=(FACTS.panels[0], replace(FACTS.panels[0], label="b")))
    assert not {"where", "panel"} & {each.slug for each in asked(alike)}


def test_a_panel_is_not_asked_for_by_words_that_are_printed_in_another() -> None:
    for text, answers in (
        ("Accuracy (a) Training loss (b) accuracy on test images", {"(a)", "(b)"}),
        ("Training loss falls (a) Training loss (b) accuracy on test images", {"(b)"}),
    ):
        questions = asked(replace(FACTS, figure_text=text))
        assert {each.answer for each in questions if each.slug == "where"} == answers
    named = (replace(FACTS.panels[0], printed="Multi-Scale Aggregator (MSA)"), FACTS.panels[1])
    questions = asked(replace(FACTS, panels=named, figure_text="Aggregator of the Multi-Scale block (a) (b)"))
    assert {each.answer for each in questions if each.slug == "where"} == {"(b)"}


@each_row(
    ("other", "is_asked"),
    [
        ("Curves of the loss and accuracy.", False),
        ("Curves of the loss and gradients.", False),
        ("Curves of memory over many layers.", True),
    ],
)
def test_captions_that_nobody_can_tell_apart_are_not_asked_about(other: str, is_asked: bool) -> None:
    facts = replace(FACTS, other_caption=OtherCaption(other, "diagram"))
    assert ("caption" in {each.slug for each in asked(facts)}) == is_asked


def test_numbers_of_axes_are_not_much_text() -> None:
    assert "text" not in {each.slug for each in asked(replace(FACTS, figure_text="0.5 1e4 12 ms " * 20))}


def test_captions_that_a_figure_does_not_tell_apart_are_no_choice() -> None:
    def asks(caption: str, other: str) -> bool:
        facts = replace(FACTS, caption=caption, other_caption=OtherCaption(other, "diagram"))
        return "caption" in {each.slug for each in asked(facts, 50)}

    assert asks("Qualitative comparisons on faces and hands.", "Overview of the whole network.")
    assert not asks("Qualitative comparisons on faces and hands.", "Qualitative comparisons on faces.")
    assert not asks("a. The score of each prototype. b.", "Overview of the whole network.")


@each_row(
    ("other", "kind", "is_asked"),
    [
        ("Overview of the whole network.", "diagram", True),
        ("Overview of the whole network.", "plot", True),
        ("Overview of the baseline for training.", "diagram", False),
        ("Histogram for each network accuracy.", "plot", False),
        ("Histogram for each network accuracy.", "diagram", True),
    ],
)
def test_the_kind_of_a_figure_or_its_words_tell_captions_apart(other: str, kind: FigureKind, is_asked: bool) -> None:
    facts = replace(FACTS, other_caption=OtherCaption(other, kind))
    assert ("caption" in {each.slug for each in asked(facts)}) == is_asked
