"""Predictions made up for the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

from figtune.metrics.records import Baseline, BaselineAnswer, Choice, EvaluatedSplit, ModelResult, Prediction
from figtune.metrics.text_metrics import sentence_scores

RIGHT = (1.0, 2.0, 2.0, 2.0, 2.0)
WRONG = (2.0, 1.0, 2.0, 2.0, 2.0)
"""Losses of five completions by which the first is chosen, and another."""


class Given(TypedDict, total=False):
    """Return a prediction of what a test cares about; everything else is the same for all."""

    split: EvaluatedSplit
    task: str
    kind: str
    group: str
    image: str
    prompt: str
    reference: str
    tokens: int
    base_answer: str
    tuned_answer: str
    base_loss: float | None
    tuned_loss: float | None
    wrong_image: str | None
    wrong_image_loss: float | None
    grey_image_loss: float | None
    ended_with_eos: bool
    guesses: Mapping[Baseline, str]


def prediction(number: int, **given: Unpack[Given]) -> Prediction:
    """The prediction with this number."""
    reference = given.get("reference", "A plot of accuracy over time.")
    eos = given.get("ended_with_eos", True)
    return Prediction(
        example_id=f"example-{number}",
        split=given.get("split", "test"),
        task=given.get("task", "caption"),
        kind=given.get("kind", "plot"),
        group=given.get("group", f"paper-{number}"),
        source=f"paper-{number}.pdf, page 1, Figure {number}",
        image=given.get("image", f"images/{number}.png"),
        wrong_image=given.get("wrong_image", "images/other.png"),
        prompt=given.get("prompt", "Describe this figure."),
        reference=reference,
        tokens=given.get("tokens", 10),
        base=_outcome(given.get("base_answer", "Nothing."), given.get("base_loss", 3.0), reference, eos=eos),
        tuned=_outcome(given.get("tuned_answer", reference), given.get("tuned_loss", 1.0), reference, eos=eos),
        wrong_image_loss=given.get("wrong_image_loss", 1.5),
        grey_image_loss=given.get("grey_image_loss", 1.25),
        guesses=tuple(
            BaselineAnswer(baseline=name, answer=text, **sentence_scores(text, reference))
            for name, text in given.get("guesses", {}).items()
        ),
    )


def choosing(
    number: int,
    losses: Sequence[float | None] = RIGHT,
    wrong: Sequence[float | None] | None = WRONG,
    grey: Sequence[float | None] = WRONG,
) -> Prediction:
    """Return the prediction with this number and a choice among five."""
    choice = Choice(
        negatives=("a", "b", "c", "d"),
        rules=("group", "group", "kind", "any"),
        losses=tuple(losses),
        wrong_image_losses=None if wrong is None else tuple(wrong),
        grey_image_losses=tuple(grey),
    )
    return replace(prediction(number), choice=choice)


def _outcome(answer: str, loss: float | None, reference: str, *, eos: bool) -> ModelResult:
    return ModelResult(
        loss=loss,
        answer=answer,
        answer_tokens=len(answer.split()) + 1,
        ended_with_eos=eos,
        **sentence_scores(answer, reference),
    )
