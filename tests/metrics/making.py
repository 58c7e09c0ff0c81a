"""Predictions made up for the tests."""

from __future__ import annotations

from typing import TypedDict, Unpack

from figtune.metrics.records import EvaluatedSplit, Outcome, Prediction
from figtune.metrics.texts import chrf, rouge_l


class Given(TypedDict, total=False):
    """What a test cares about; everything else is the same for all."""

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
    base_loss: float
    tuned_loss: float
    wrong_image_loss: float | None
    grey_image_loss: float
    stopped: bool


def prediction(number: int, **given: Unpack[Given]) -> Prediction:
    """The prediction with this number."""
    reference = given.get("reference", "A plot of accuracy over time.")
    stopped = given.get("stopped", True)
    wrong_image = None if given.get("wrong_image_loss", 0.0) is None else "images/other.png"
    return Prediction(
        example_id=f"example-{number}",
        split=given.get("split", "test"),
        task=given.get("task", "caption"),
        kind=given.get("kind", "plot"),
        group=given.get("group", f"paper-{number}"),
        source=f"paper-{number}.pdf, page 1, Figure {number}",
        image=given.get("image", f"images/{number}.png"),
        wrong_image=wrong_image,
        prompt=given.get("prompt", "Describe this figure."),
        reference=reference,
        tokens=given.get("tokens", 10),
        base=_outcome(given.get("base_answer", "Nothing."), given.get("base_loss", 3.0), reference, stopped=stopped),
        tuned=_outcome(given.get("tuned_answer", reference), given.get("tuned_loss", 1.0), reference, stopped=stopped),
        wrong_image_loss=given.get("wrong_image_loss", 1.5),
        grey_image_loss=given.get("grey_image_loss", 1.25),
    )


def _outcome(answer: str, loss: float, reference: str, *, stopped: bool) -> Outcome:
    return Outcome(
        loss=loss,
        answer=answer,
        answer_tokens=len(answer.split()) + 1,
        stopped=stopped,
        chrf=chrf(answer, reference),
        rouge_l=rouge_l(answer, reference),
    )
