"""Predictions of base and tuned model: losses given the right, a mismatched and a grey image, choices, and answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

from figtune.batching.loss import completion_losses, per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.dataset.records import SHORT_TASKS, Example
from figtune.evaluation.eval_items import EvalItem
from figtune.inference.generate import generate_answers
from figtune.inference.settings import Decoding
from figtune.metrics.records import NEGATIVES, BaselineAnswer, Choice, ModelResult, Prediction
from figtune.metrics.text_metrics import sentence_scores
from figtune.models.family import ImageInputs, TokenizedExample
from figtune.models.feature_cache import ImageSource, read_inputs
from figtune.models.loading import LoadedModel

Result = TypeVar("Result")

_LOSS_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Base and tuned model with everything needed to predict batches of examples."""

    loaded: LoadedModel
    images: ImageSource
    greys: ImageSource
    """A uniform grey in place of each image."""
    decoding: Decoding
    baseline_answers: Callable[[Example], tuple[BaselineAnswer, ...]]
    """Baseline answers to an example."""

    def predict(self, items: Sequence[EvalItem]) -> list[Prediction]:
        """Predict a batch: one forward pass per kind of loss, one generation per model, and choices."""
        right = [read_inputs(self.images, item.example.image_sha256) for item in items]
        rows = [self._tokenized(item, item.example.completion, image) for item, image in zip(items, right, strict=True)]
        base = self._model_results(items, rows, right, tuned=False)
        tuned = self._model_results(items, rows, right, tuned=True)
        greys = [read_inputs(self.greys, item.example.image_sha256) for item in items]
        wrongs = [
            None if item.mismatched is None else read_inputs(self.images, item.mismatched.image_sha256)
            for item in items
        ]
        grey = self._losses(items, greys)
        wrong = self._where_known(self._losses, items, wrongs)
        choices = self._choices(items, right, wrongs, greys)
        grey_answers = self._grey_answers(items, greys)
        return [
            Prediction(
                example_id=item.example.example_id,
                split=item.split,
                task=item.example.task,
                kind=item.example.kind,
                group=item.example.group,
                source=item.example.source,
                image=item.example.image,
                wrong_image=None if item.mismatched is None else item.mismatched.image,
                prompt=item.example.prompt,
                reference=item.example.completion,
                tokens=row.num_target_tokens,
                base=of_base,
                tuned=of_tuned,
                wrong_image_loss=of_wrong if of_wrong is None else _finite(of_wrong),
                grey_image_loss=_finite(of_grey),
                guesses=self.baseline_answers(item.example),
                choice=choice,
                grey_answer=grey_answer,
            )
            for item, row, of_base, of_tuned, of_wrong, of_grey, choice, grey_answer in zip(
                items, rows, base, tuned, wrong, grey, choices, grey_answers, strict=True
            )
        ]

    def _tokenized(self, item: EvalItem, completion: str, image: ImageInputs) -> TokenizedExample:
        loaded = self.loaded
        return tokenize_example(
            loaded.family,
            loaded.processor,
            item.example.prompt,
            completion,
            image.layout,
            loaded.record.max_length,
        )

    def _model_results(
        self,
        items: Sequence[EvalItem],
        rows: Sequence[TokenizedExample],
        images: Sequence[ImageInputs],
        *,
        tuned: bool,
    ) -> list[ModelResult]:
        with nullcontext() if tuned else self.loaded.peft_model.disable_adapter():
            losses = per_example_loss(self.loaded, rows, [image.tensors for image in images])
            prompts = [item.example.prompt for item in items]
            answers = generate_answers(self.loaded, prompts, images, self.decoding)
        return [
            ModelResult(
                loss=_finite(loss),
                answer=answer.text,
                answer_tokens=answer.tokens,
                ended_with_eos=answer.ended_with_eos,
                **sentence_scores(answer.text, item.example.completion),
            )
            for loss, answer, item in zip(losses, answers, items, strict=True)
        ]

    def _choices(
        self,
        items: Sequence[EvalItem],
        right: Sequence[ImageInputs],
        wrong: Sequence[ImageInputs | None],
        grey: Sequence[ImageInputs],
    ) -> list[Choice | None]:
        found: list[Choice | None] = [None] * len(items)
        places = [place for place, item in enumerate(items) if item.negatives]
        asked = [items[place] for place in places]
        results = zip(
            places,
            self._choice_losses(asked, [right[place] for place in places]),
            self._where_known(self._choice_losses, asked, [wrong[place] for place in places]),
            self._choice_losses(asked, [grey[place] for place in places]),
            strict=True,
        )
        for place, of_right, of_wrong, of_grey in results:
            negatives = items[place].negatives
            found[place] = Choice(
                negatives=tuple(each.example.example_id for each in negatives),
                rules=tuple(each.rule for each in negatives),
                losses=of_right,
                wrong_image_losses=of_wrong,
                grey_image_losses=of_grey,
            )
        return found

    def _choice_losses(
        self, items: Sequence[EvalItem], images: Sequence[ImageInputs]
    ) -> list[tuple[float | None, ...]]:
        """Return the losses of the reference and the negatives of each item."""
        rows = [
            [
                self._tokenized(item, completion, image)
                for completion in (item.example.completion, *(each.example.completion for each in item.negatives))
            ]
            for item, image in zip(items, images, strict=True)
        ]
        tensors = [image.tensors for image in images]
        # A row holds several texts: so few of them at a time take no more memory than a batch of examples.
        at_once = max(1, len(rows) // (1 + NEGATIVES))
        losses = []
        for first in range(0, len(rows), at_once):
            chosen = slice(first, first + at_once)
            losses += completion_losses(self.loaded, rows[chosen], tensors[chosen])
        return [tuple(map(_finite, of_item)) for of_item in losses]

    def _grey_answers(self, items: Sequence[EvalItem], grey: Sequence[ImageInputs]) -> list[str | None]:
        """Return the answers of those whose answers are right or wrong."""
        answers: list[str | None] = [None] * len(items)
        places = [place for place, item in enumerate(items) if item.example.task in SHORT_TASKS]
        if places:
            prompts = [items[place].example.prompt for place in places]
            given = generate_answers(self.loaded, prompts, [grey[place] for place in places], self.decoding)
            for place, answer in zip(places, given, strict=True):
                answers[place] = answer.text
        return answers

    @staticmethod
    def _where_known(
        measure: Callable[[Sequence[EvalItem], Sequence[ImageInputs]], Sequence[Result]],
        items: Sequence[EvalItem],
        images: Sequence[ImageInputs | None],
    ) -> list[Result | None]:
        """Measure the items that have an image; None for the others."""
        results: list[Result | None] = [None] * len(items)
        known = [(place, image) for place, image in enumerate(images) if image is not None]
        if known:
            found = measure([items[place] for place, _ in known], [image for _, image in known])
            for (place, _), result in zip(known, found, strict=True):
                results[place] = result
        return results

    def _losses(self, items: Sequence[EvalItem], images: Sequence[ImageInputs]) -> list[float]:
        rows = [
            self._tokenized(item, item.example.completion, image) for item, image in zip(items, images, strict=True)
        ]
        return per_example_loss(self.loaded, rows, [image.tensors for image in images])


def _finite(loss: float) -> float | None:
    """Return the rounded loss, or None if it is not finite, which JSON cannot hold."""
    return round(loss, _LOSS_DIGITS) if math.isfinite(loss) else None
