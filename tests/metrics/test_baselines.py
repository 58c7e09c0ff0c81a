"""Answers without a model: the same every time, and each what its name says."""

from __future__ import annotations

import pytest

from figtune.evaluation.baselines import (
    BaselineExample,
    TaskBaselines,
    TfidfIndex,
    fit_baselines,
    frequent_words,
)


def known(
    text: str, *, group: str = "one", prompt: str = "Describe it.", image_hash: int | None = 0, task: str = "caption"
) -> BaselineExample:
    return BaselineExample(task=task, group=group, prompt=prompt, text=text, image_hash=image_hash)


def test_frequent_words_come_in_the_order_of_their_number() -> None:
    assert frequent_words(["A plot of loss.", "A plot of speed over time.", "A mask."]) == "a of plot loss"


def test_the_typical_text_is_the_one_most_like_the_others() -> None:
    baselines = TaskBaselines(
        [known("Masks."), known("Loss over time."), known("A plot of loss."), known("Time for masks.")]
    )
    assert baselines.answers(known("?"))["typical text"] == "Time for masks."


def test_the_nearest_picture_differs_in_the_fewest_bits() -> None:
    baselines = TaskBaselines(
        [known("far", image_hash=0b1111), known("near", image_hash=0b0001), known("blind", image_hash=None)]
    )
    assert baselines.answers(known("?", group="two", image_hash=0b0011))["nearest picture"] == "near"


def test_the_nearest_prompt_shares_the_rarest_words() -> None:
    baselines = TaskBaselines(
        [
            known("of masks", prompt="Explain this figure. Caption: masks of objects."),
            known("of loss", prompt="Explain this figure. Caption: loss over time."),
        ]
    )
    asked = known("?", group="two", prompt="Explain this figure. Caption: objects and more objects.")
    assert baselines.answers(asked)["nearest prompt"] == "of masks"


def test_prompts_that_are_all_alike_leave_the_typical_text() -> None:
    baselines = TaskBaselines([known("Masks."), known("Loss over time."), known("Time for masks.")])
    answers = baselines.answers(known("?", group="two"))
    assert answers["nearest prompt"] == answers["typical text"] == "Time for masks."


def test_nothing_is_taken_from_the_same_paper() -> None:
    examples = [known("mine", image_hash=0), known("another's", group="two", image_hash=255)]
    assert TaskBaselines(examples).answers(known("?", image_hash=0))["nearest picture"] == "another's"
    alone = TaskBaselines(examples[:1]).answers(known("?"))
    assert sorted(alone) == ["frequent words", "typical text"]


def test_every_task_answers_from_its_own_examples() -> None:
    by_task = fit_baselines([known("a caption"), known("an explanation", task="explain")])
    answers = {task: baselines.answers(known("?"))["typical text"] for task, baselines in by_task.items()}
    assert answers == {"caption": "a caption", "explain": "an explanation"}


def test_likeness_is_a_cosine() -> None:
    likeness = TfidfIndex(["a b", "b c", "c d"])
    assert list(likeness.similarities("a b")) == pytest.approx([1.0, likeness.similarities("b c")[0], 0.0])
    assert list(likeness.similarities("unknown words")) == [0, 0, 0]
    assert list(likeness.centrality) == pytest.approx(
        [sum(likeness.similarities(text)) for text in likeness.texts], abs=1e-6
    )
