"""The forward pass against the library's own, and against what attention must and must not reach. All in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from figtune.models.family import IGNORE_INDEX, ImageInputs, TokenizedExample
from figtune.models.loading import LoadedModel
from tests.models.tuned import (
    TINY_NAMES,
    batch_of,
    features_of,
    joined,
    loss_sum,
    moved_model,
    of_families,
    pixels_of,
    plain_fields,
    plain_pixels,
    rows_of,
)

close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module", params=TINY_NAMES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return moved_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def features(loaded: LoadedModel) -> list[ImageInputs]:
    return features_of(loaded)


@pytest.fixture(autouse=True)
def evaluation_mode(loaded: LoadedModel) -> Iterator[None]:
    loaded.peft_model.eval()
    yield
    loaded.peft_model.zero_grad()


def library_logits(loaded: LoadedModel, rows: list[TokenizedExample], embeddings: Tensor) -> Tensor:
    """Logits of whole rows, with the library's own masks and positions: float32[B, L, vocabulary]."""
    seen = {"image": loaded.family.encoder_outputs(embeddings)}
    fields = plain_fields(loaded, rows)
    del fields["labels"]
    logits: Tensor = loaded.peft_model(**fields, mm_encoder_outputs=seen).logits
    return logits


def bidirectional(loaded: LoadedModel) -> bool:
    return bool(loaded.family.bidirectional_layers(loaded.model.config.get_text_config()))


def gradients(loaded: LoadedModel) -> dict[str, Tensor]:
    named = loaded.peft_model.named_parameters()
    return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def test_features_and_projection_are_the_models_own_image_features(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    pixels = plain_pixels(loaded, pixels_of(loaded))
    theirs = loaded.model.get_image_features(**pixels).pooler_output  # type: ignore[operator]
    flat = torch.cat([each.reshape(-1, each.shape[-1]) for each in theirs])
    torch.testing.assert_close(loaded.family.image_embeddings(loaded.model, joined(features)), flat)


def test_loss_from_kept_features_is_the_models_own_loss_from_pixels(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    batch = batch_of(loaded, rows_of(loaded))
    theirs = loaded.peft_model(**plain_fields(loaded, rows_of(loaded)), **plain_pixels(loaded, pixels_of(loaded))).loss
    close(loss_sum(loaded, batch, features) / batch.num_target_tokens, theirs)


@of_families("tiny-gemma3")
def test_pixels_in_place_of_features_give_the_same_loss(loaded: LoadedModel, features: list[ImageInputs]) -> None:
    batch = batch_of(loaded, rows_of(loaded))
    from_pixels = loss_sum(loaded, batch, pixels_of(loaded))
    close(from_pixels, loss_sum(loaded, batch, features))


def test_logits_only_where_labels_are_give_the_same_loss_and_gradients(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    batch = batch_of(loaded, rows_of(loaded))
    ours = loss_sum(loaded, batch, features)
    ours.backward()  # type: ignore[no-untyped-call]
    our_gradients = gradients(loaded)
    loaded.peft_model.zero_grad()
    embeddings = loaded.family.image_embeddings(loaded.model, joined(features))
    logits = library_logits(loaded, rows_of(loaded), embeddings)
    theirs = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
    )
    theirs.backward()  # type: ignore[no-untyped-call]
    close(ours, theirs)
    assert our_gradients.keys() == gradients(loaded).keys()
    for name, gradient in gradients(loaded).items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_image_tokens_attend_to_later_image_tokens_where_the_family_says_so(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    rows = rows_of(loaded)[:1]
    image = (torch.tensor(rows[0].input_ids) == loaded.model.config.image_token_id).nonzero().flatten()
    embeddings = loaded.family.image_embeddings(loaded.model, joined(features[:1])).detach()
    changed = embeddings.clone()
    changed[-1] += 1.0
    before = library_logits(loaded, rows, embeddings)[0]
    after = library_logits(loaded, rows, changed)[0]
    moved = (before - after)[image[0]].abs().max()
    assert moved > 1e-3 if bidirectional(loaded) else moved == 0


def test_without_bidirectional_attention_the_loss_is_another_where_the_family_has_it(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    batch = batch_of(loaded, rows_of(loaded))
    without = replace(batch, bidirectional=torch.zeros_like(batch.bidirectional))
    right = loss_sum(loaded, batch, features)
    wrong = loss_sum(loaded, without, features)
    assert (abs(right - wrong) > 1e-2) == bidirectional(loaded)


@of_families("tiny-gemma3")
def test_a_frozen_vision_encoder_has_no_part_in_the_gradient(loaded: LoadedModel) -> None:
    batch = batch_of(loaded, rows_of(loaded))
    loss_sum(loaded, batch, pixels_of(loaded)).backward()  # type: ignore[no-untyped-call]
    assert all("vision_tower" not in name for name in gradients(loaded))
