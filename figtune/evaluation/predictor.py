"""Predictions of base and tuned model: losses given the right, a mismatched and a grey image, and answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from figtune.batches.losses import completion_losses
from figtune.batches.rows import training_row
from figtune.dataset.records import Example
from figtune.evaluation.eval_items import EvalItem
from figtune.inference.generate import Answer, generate_answers
from figtune.inference.settings import Decoding
from figtune.metrics.records import BaselineAnswer, ModelResult, Prediction
from figtune.metrics.text_metrics import chrf, rouge_l
from figtune.models.family import TokenisedRow
from figtune.models.features import FeatureStore, PixelStore, picture_features
from figtune.models.loading import LoadedModel

_GREY = (128, 128, 128)
_GREY_SIDE = 64
_LOSS_DIGITS = 4
_SCORE_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Base and tuned model with everything needed to predict batches of examples."""

    loaded: LoadedModel
    features: FeatureStore | PixelStore
    """Features of every image, by sha256."""
    grey: Tensor
    """Features float[T, V], or pixels float32[3, H, W], of a uniform grey image."""
    decoding: Decoding
    baseline_answers: Callable[[Example], tuple[BaselineAnswer, ...]]
    """Baseline answers to an example."""

    def predict(self, items: Sequence[EvalItem]) -> list[Prediction]:
        """Predict a batch: one forward pass per kind of loss, one generation per model."""
        rows = [self._row(item) for item in items]
        right = self._features([item.example.image_sha256 for item in items])
        base = self._model_results(items, rows, right, tuned=False)
        tuned = self._model_results(items, rows, right, tuned=True)
        grey = completion_losses(self.loaded, rows, self.grey[None].expand(len(rows), *self.grey.shape))
        wrong = self._wrong_image_losses(items, rows)
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
                tokens=row.learned_tokens,
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

    def _row(self, item: EvalItem) -> TokenisedRow:
        loaded = self.loaded
        return training_row(
            loaded.family, loaded.processor, item.example.prompt, item.example.completion, loaded.record.max_length
        )

    def _model_results(
        self, items: Sequence[EvalItem], rows: Sequence[TokenisedRow], features: Tensor, *, tuned: bool
    ) -> list[ModelResult]:
        with nullcontext() if tuned else self.loaded.tuned.disable_adapter():
            losses = completion_losses(self.loaded, rows, features)
            prompts = [item.example.prompt for item in items]
            answers = generate_answers(self.loaded, prompts, features, self.decoding)
        return [
            _model_result(loss, answer, item.example.completion)
            for loss, answer, item in zip(losses, answers, items, strict=True)
        ]

    def _wrong_image_losses(self, items: Sequence[EvalItem], rows: Sequence[TokenisedRow]) -> list[float | None]:
        others = [item.mismatched for item in items]
        known = [position for position, other in enumerate(others) if other is not None]
        losses: list[float | None] = [None] * len(items)
        if known:
            wrong = self._features([other.image_sha256 for other in others if other is not None])
            found = completion_losses(self.loaded, [rows[position] for position in known], wrong)
            for position, loss in zip(known, found, strict=True):
                losses[position] = _finite(loss)
        return losses

    def _features(self, digests: Sequence[str]) -> Tensor:
        return torch.stack([self.features[digest] for digest in digests])


def grey_features(loaded: LoadedModel) -> Tensor:
    """Return features float[T, V] of a uniform grey image, or pixels float32[3, H, W] if the encoder is trained."""
    return picture_features(loaded, Image.new("RGB", (_GREY_SIDE, _GREY_SIDE), _GREY))


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
