"""A first guess for a projector with random weights: image tokens that mean what the training targets say.

Ridge regression in closed form. Each token of an image is to become the mean embedding of the words of the targets
about that image, less the mean over all images: what tells images apart. The fit is brought to the size of half a
word, and added to the weights that are there, which keep the tokens of an image apart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from figtune.batching.dataset import TokenizedSplit
from figtune.core.errors import UsageError
from figtune.core.log import progress_bar
from figtune.models.family import FEATURES
from figtune.models.feature_cache import ImageSource
from figtune.models.loading import LoadedModel

logger = logging.getLogger(__name__)

SIZE = 0.5
"""Root mean square of the fitted part of image tokens, in that of words' embeddings. Chosen, not fitted."""


def fit_projector(loaded: LoadedModel, split: TokenizedSplit, images: ImageSource) -> None:
    """Add the fit to the projector's matrix, the same in every process.

    Raises:
        UsageError: the projector is not trained.
    """
    matrix = loaded.family.projector_matrix(loaded.model)
    if not matrix.requires_grad:
        raise UsageError(
            "--train.fit_projector has no projector to fit: it is frozen",
            "add projector to --adapter.targets, or leave the flag out",
        )
    with torch.no_grad():
        words = _word_means(loaded, split)
        moments = _moments(loaded, words, images)
        fitted = moments.solve()
        size = SIZE * words.size / moments.size_of(fitted)
        if not torch.isfinite(size):
            logger.warning("train: --train.fit_projector changes nothing: all images have the same targets")
            return
        matrix.add_((size * fitted).to(matrix))
    logger.info(f"train: the projector starts from a fit of {len(words.of_images):,} images to the words of targets")


@dataclass(frozen=True, kw_only=True)
class _Words:
    """Words of the targets about each image."""

    of_images: Mapping[str, Tensor]
    """Mean embedding of the words, less the mean over images, by the image's sha256: float64[D]."""
    size: Tensor
    """Root mean square of the words' embeddings: float64[]."""


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Sums over the N tokens of all images: of their V inputs to the projector, and of D wanted numbers."""

    images: int
    tokens: int
    squares: Tensor
    """Products of inputs, less those of their means: float64[V, V]."""
    products: Tensor
    """Products of inputs and wanted numbers, less those of their means: float64[V, D]."""

    def solve(self) -> Tensor:
        """Return the weights of a ridge regression, float64[V, D].

        Its penalty makes an image count as one observation, however many tokens it has, and grows with the number of
        inputs: V times their mean square.
        """
        penalty = (self.squares.trace() / self.images).expand(len(self.squares)).diag()
        weights: Tensor = torch.linalg.solve(self.squares + penalty, self.products)
        return weights

    def size_of(self, weights: Tensor) -> Tensor:
        """Return the root mean square of what weights make of the inputs, their means left out: float64[]."""
        squared = (weights * (self.squares @ weights)).sum() / (self.tokens * weights.shape[1])
        return squared.clamp(min=0).sqrt()


def _word_means(loaded: LoadedModel, split: TokenizedSplit) -> _Words:
    """Return the mean over examples of the mean over words: a short answer says as much as a long description."""
    embedding = loaded.model.get_input_embeddings()
    stops = set(loaded.family.stop_ids(loaded.processor))
    of_images: dict[str, list[Tensor]] = {}
    squares = list[Tensor]()
    for each in split.examples:
        targets = each.example.input_ids[each.example.prompt_length :]
        ids = torch.tensor([token for token in targets if token not in stops], device=loaded.device)
        if len(ids):
            embedded = embedding(ids).double().cpu()
            of_images.setdefault(each.image_sha256, []).append(embedded.mean(dim=0))
            squares.append(embedded.square().mean())
    means = {image: torch.stack(of_it).mean(dim=0) for image, of_it in of_images.items()}
    common = torch.stack(list(means.values())).mean(dim=0)
    return _Words(
        of_images={image: mean - common for image, mean in means.items()}, size=torch.stack(squares).mean().sqrt()
    )


def _moments(loaded: LoadedModel, words: _Words, images: ImageSource) -> _Moments:
    tokens, inputs_sum, wanted_sum = 0, torch.zeros(()), torch.zeros(())
    squares, products = torch.zeros(()), torch.zeros(())
    found = words.of_images.items()
    for image, wanted in progress_bar(found, total=len(found), title="fitting the projector", unit="image"):
        inputs = _inputs(loaded, images.tensors(image))
        of_image = inputs.sum(dim=0)
        tokens += len(inputs)
        inputs_sum, wanted_sum = inputs_sum + of_image, wanted_sum + len(inputs) * wanted
        squares, products = squares + inputs.T @ inputs, products + torch.outer(of_image, wanted)
    mean = inputs_sum / tokens
    return _Moments(
        images=len(found),
        tokens=tokens,
        squares=squares - torch.outer(inputs_sum, mean),
        products=products - torch.outer(mean, wanted_sum),
    )


def _inputs(loaded: LoadedModel, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return what the projector makes tokens of, float64[T, V], for one image."""
    on_device = {name: tensor.to(loaded.device) for name, tensor in tensors.items()}
    family, model = loaded.family, loaded.model
    features = on_device[FEATURES] if FEATURES in on_device else family.features(model, on_device)
    return family.projector_inputs(model, features).double().cpu()
