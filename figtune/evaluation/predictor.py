"""Predictions of base and tuned model: losses given the right, a mismatched and a grey image, and answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from PIL import Image

from figtune.batching.loss import per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.dataset.records import Example
from figtune.evaluation.eval_items import EvalItem
from figtune.inference.generate import Answer, generate_answers
from figtune.inference.settings import Decoding
from figtune.metrics.records import BaselineAnswer, ModelResult, Prediction
from figtune.metrics.text_metrics import chrf, rouge_l
from figtune.models.family import ImageInputs, ImageLayout, TokenizedExample
from figtune.models.feature_cache import ImageSource, encode_image, read_inputs
from figtune.models.loading import LoadedModel

_GREY = (128, 128, 128)
_GREY_SIDE = 64
_LOSS_DIGITS = 4
_SCORE_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Base and tuned model with everything needed to predict batches of examples."""

    loaded: LoadedModel
    images: ImageSource
    decoding: Decoding
    baseline_answers: Callable[[Example], tuple[BaselineAnswer, ...]]
    """Baseline answers to an example."""
    _grey: dict[ImageLayout, ImageInputs] = field(default_factory=dict, repr=False, compare=False)

    def predict(self, items: Sequence[EvalItem]) -> list[Prediction]:
        """Predict a batch: one forward pass per kind of loss, one generation per model."""
        right = [read_inputs(self.images, item.example.image_sha256) for item in items]
        rows = [self._row(item, image) for item, image in zip(items, right, strict=True)]
        base = self._model_results(items, rows, right, tuned=False)
        tuned = self._model_results(items, rows, right, tuned=True)
        grey = self._losses(items, [self._grey_image(image) for image in right])
        wrong = self._wrong_image_losses(items)
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
                wrong_image_loss=of_wrong,
                grey_image_loss=_finite(of_grey),
                guesses=self.baseline_answers(item.example),
            )
            for item, row, of_base, of_tuned, of_wrong, of_grey in zip(
                items, rows, base, tuned, wrong, grey, strict=True
            )
        ]

    def _row(self, item: EvalItem, image: ImageInputs) -> TokenizedExample:
        loaded, example = self.loaded, item.example
        return tokenize_example(
            loaded.family,
            loaded.processor,
            example.prompt,
            example.completion,
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
        with nullcontext() if tuned else self.loaded.tuned.disable_adapter():
            losses = per_example_loss(self.loaded, rows, [image.tensors for image in images])
            prompts = [item.example.prompt for item in items]
            answers = generate_answers(self.loaded, prompts, images, self.decoding)
        return [
            _model_result(loss, answer, item.example.completion)
            for loss, answer, item in zip(losses, answers, items, strict=True)
        ]

    def _wrong_image_losses(self, items: Sequence[EvalItem]) -> list[float | None]:
        losses: list[float | None] = [None] * len(items)
        known = [(position, item, item.mismatched) for position, item in enumerate(items) if item.mismatched]
        if known:
            wrong = [read_inputs(self.images, other.image_sha256) for _, _, other in known]
            found = self._losses([item for _, item, _ in known], wrong)
            for (position, _, _), loss in zip(known, found, strict=True):
                losses[position] = _finite(loss)
        return losses

    def _losses(self, items: Sequence[EvalItem], images: Sequence[ImageInputs]) -> list[float]:
        rows = [self._row(item, image) for item, image in zip(items, images, strict=True)]
        return per_example_loss(self.loaded, rows, [image.tensors for image in images])

    def _grey_image(self, image: ImageInputs) -> ImageInputs:
        """Return a uniform grey image of the same shape as another, as the model takes it."""
        if image.layout not in self._grey:
            rows, columns = image.layout.grid or (1, 1)
            grey = Image.new("RGB", (_GREY_SIDE * columns, _GREY_SIDE * rows), _GREY)
            # Not letterboxed: borders would be visible.
            self._grey[image.layout] = encode_image(self.loaded, grey, "squash")
        return self._grey[image.layout]


def _model_result(loss: float, answer: Answer, reference: str) -> ModelResult:
    return ModelResult(
        loss=_finite(loss),
        answer=answer.text,
        answer_tokens=answer.tokens,
        stopped=answer.stopped,
        chrf=round(chrf(answer.text, reference), _SCORE_DIGITS),
        rouge_l=round(rouge_l(answer.text, reference), _SCORE_DIGITS),
    )


def _finite(loss: float) -> float | None:
    """Return the rounded loss, or None if it is not finite, which JSON cannot hold."""
    return round(loss, _LOSS_DIGITS) if math.isfinite(loss) else None
