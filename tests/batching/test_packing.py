"""Examples that share a picture's tokens, and lines that hold several pictures, against each example on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from figtune.batching import loss as loss_module
from figtune.batching.collator import PADDING, training_batch
from figtune.batching.dataset import SplitExample, TokenizedSplit, compact
from figtune.batching.loss import CompletionLoss, attention_masks, per_example_loss
from figtune.batching.packing import SharedPrefixGroup, first_fit_decreasing, one_per_row, pack
from figtune.batching.tokenization import tokenize_example
from figtune.models.family import FULL, SLIDING, ImageInputs, TokenizedExample
from figtune.models.feature_cache import concatenate
from figtune.models.loading import LoadedModel
from figtune.models.records import LossPer
from tests.models.tuned import (
    TINY_NAMES,
    batch_of_rows,
    features_of,
    loss_sum,
    moved_model,
    of_families,
    pictures,
    pixels_of,
    plain_fields,
    plain_pixels,
    target_logits,
)
from tests.rows import each_row

TASKS = (
    ("Caption this figure.", "The encoder reads the image."),
    ("Explain this figure. The paper says that the loss falls.", "The blue curve falls, the red one does not."),
    ("What kind is it?", "A plot"),
)
WINDOW = 12
"""Shorter than an image: families differ in what it bounds."""


@pytest.fixture(scope="module", params=TINY_NAMES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    model = moved_model(tmp_path_factory.mktemp("model"), request.param)
    decoder = model.model.config.get_text_config()
    if hasattr(decoder, "sliding_window"):
        decoder.sliding_window = WINDOW
    return model


@pytest.fixture(autouse=True)
def untouched(loaded: LoadedModel) -> Iterator[None]:
    loaded.peft_model.eval()
    yield
    loaded.peft_model.zero_grad()


@pytest.fixture(scope="module")
def features(loaded: LoadedModel) -> list[ImageInputs]:
    return features_of(loaded)


def rows_of(loaded: LoadedModel, picture: int = 0) -> list[TokenizedExample]:
    """The tasks about one picture."""
    layout = loaded.family.image_layout(loaded.processor, pictures()[picture].size)
    return [tokenize_example(loaded.family, loaded.processor, prompt, text, layout, 128) for prompt, text in TASKS]


def bundles_of(loaded: LoadedModel) -> list[SharedPrefixGroup]:
    """Three pictures with three, two and one of the tasks; one task a bundle where nothing can be shared."""
    chosen = {"0": rows_of(loaded, 0), "1": rows_of(loaded, 1)[1:], "2": rows_of(loaded, 2)[:1]}
    if chosen["0"][0].shared_prefix_length:
        return [SharedPrefixGroup(image_sha256=picture, examples=tuple(some)) for picture, some in chosen.items()]
    return [
        SharedPrefixGroup(image_sha256=picture, examples=(row,)) for picture, some in chosen.items() for row in some
    ]


def pictures_of(lines: Sequence[Sequence[SharedPrefixGroup]], features: list[ImageInputs]) -> list[ImageInputs]:
    return [features[int(bundle.image_sha256)] for line in lines for bundle in line]


def result(
    loaded: LoadedModel, lines: Sequence[Sequence[SharedPrefixGroup]], features: list[ImageInputs]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Summed loss and gradients."""
    loaded.peft_model.zero_grad()
    batch = batch_of_rows(loaded, lines)
    loss = loss_sum(loaded, batch, pictures_of(lines, features))
    loss.backward()  # type: ignore[no-untyped-call]
    named = loaded.peft_model.named_parameters()
    return loss.detach(), {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def apart_with_pictures(bundles: Sequence[SharedPrefixGroup]) -> list[list[SharedPrefixGroup]]:
    return [[replace(bundle, examples=(row,))] for bundle in bundles for row in bundle.examples]


def test_only_a_family_whose_image_is_blind_to_the_prompt_shares_it(loaded: LoadedModel) -> None:
    rows = rows_of(loaded)
    shared = {row.input_ids[: row.shared_prefix_length] for row in rows}
    image = {loaded.model.config.image_token_id}
    assert len(shared) == 1
    assert image.issubset(shared.pop()) == (loaded.model.config.model_type != "paligemma")


@each_row("arranged", ["shared", "pack", "one line"])
def test_shared_and_packed_are_the_examples_alone(
    loaded: LoadedModel, features: list[ImageInputs], arranged: str
) -> None:
    bundles = bundles_of(loaded)
    arrangements = {"shared": [[bundle] for bundle in bundles], "pack": pack(bundles), "one line": [bundles]}
    loss, gradients = result(loaded, arrangements[arranged], features)
    alone = [result(loaded, [line], features) for line in apart_with_pictures(bundles)]
    torch.testing.assert_close(loss, torch.stack([each for each, _ in alone]).sum(), rtol=1e-5, atol=1e-5)
    assert any("lora" in name for name in gradients)
    assert any(loaded.family.parts.part_of(name) == "projector" for name in gradients)
    for name, gradient in gradients.items():
        expected = torch.stack([each[name] for _, each in alone]).sum(0)
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), msg=name)


@each_row(("loss_per", "power"), [("square_root", 0.5), ("example", 0)])
def test_a_loss_per_example_is_the_weighted_mean_of_each_alone(
    loaded: LoadedModel, features: list[ImageInputs], loss_per: LossPer, power: float
) -> None:
    groups, pad_id = bundles_of(loaded), loaded.processor.tokenizer.pad_token_id
    images = [features[int(group.image_sha256)].tensors for group in groups]
    pairs = [(row, image) for group, image in zip(groups, images, strict=True) for row in group.examples]
    alone = per_example_loss(loaded, [row for row, _ in pairs], [image for _, image in pairs])
    weights = [row.num_target_tokens**power for row, _ in pairs]
    loss = CompletionLoss(loaded.peft_model, loaded.family, weighted=True)
    for packed in (pack(groups), [[group] for group in groups]):
        batch = training_batch(packed, loaded.family, pad_id, loss_per)
        placed = [features[int(group.image_sha256)].tensors for row in packed for group in row]
        with torch.no_grad():
            found = loss.loss_sum(batch, concatenate(placed))
        weighted = sum(weight * each for weight, each in zip(weights, alone, strict=True))
        assert float(found) == pytest.approx(weighted, rel=1e-5)
        assert float(batch.loss_count) == pytest.approx(sum(weights))


def test_checkpointed_is_not_checkpointed_when_shared(loaded: LoadedModel, features: list[ImageInputs]) -> None:
    lines = pack(bundles_of(loaded))
    loss, gradients = result(loaded, lines, features)
    loaded.peft_model.train()
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    try:
        again, checkpointed = result(loaded, lines, features)
    finally:
        loaded.model.activation_checkpointing_disable()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(again, loss)
    for name, gradient in checkpointed.items():
        torch.testing.assert_close(gradient, gradients[name], msg=name)


def test_a_target_moves_nothing_before_it_and_nothing_of_another_example(
    loaded: LoadedModel, features: list[ImageInputs]
) -> None:
    line = [bundles_of(loaded)]
    batch = batch_of_rows(loaded, line)
    pictures = pictures_of(line, features)
    before, targets = target_logits(loaded, batch, pictures)
    learned = (batch.labels[0] != -100).nonzero().flatten()
    examples = torch.stack([batch.group_ids[0, learned], batch.example_ids[0, learned]], 1)
    for changed in range(0, len(targets), 5):
        ids = batch.input_ids.clone()
        ids[0, learned[changed]] += 1
        after, _ = target_logits(loaded, replace(batch, input_ids=ids), pictures)
        moved = (after != before).any(1)
        later = torch.arange(len(targets)) > changed
        same_example = (examples == examples[changed]).all(1)
        assert not moved[~(later & same_example)].any()
        assert moved[later & same_example].all()


def test_masks_of_rows_alone_are_the_librarys(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(loaded)
    decoder = loaded.model.get_submodule(loaded.family.parts.text_decoder)
    seen: list[dict[str, Tensor] | Tensor] = []
    # Decoders of one kind of layer make their mask themselves.
    makes_masks = getattr(decoder.config, "layer_types", None) is None
    shows: Any = decoder.layers[0] if makes_masks else decoder  # type: ignore[index]
    hook = shows.register_forward_pre_hook(
        lambda _module, _arguments, given: seen.append(given["attention_mask"]), with_kwargs=True
    )
    try:
        loaded.peft_model(**plain_fields(loaded, rows), **plain_pixels(loaded, pixels_of(loaded)[:1] * len(rows)))
    finally:
        hook.remove()
    batch = batch_of_rows(loaded, one_per_row(rows))
    (given,) = seen
    theirs = given if isinstance(given, dict) else {FULL: given}
    ours = attention_masks(batch, loaded.model.config.get_text_config(), loaded.family)
    assert ours.keys() == theirs.keys()
    tokens = (batch.group_ids == 0)[:, None, :, None]
    for kind, mask in theirs.items():
        seen_by_theirs = mask if mask.dtype == torch.bool else mask == 0
        assert torch.equal(ours[kind] & tokens, seen_by_theirs & tokens), kind
    if SLIDING in theirs:
        assert not torch.equal(ours[FULL] & tokens, ours[SLIDING] & tokens)


def test_every_token_sees_something(loaded: LoadedModel) -> None:
    """A token that sees nothing makes attention divide by nothing."""
    batch = batch_of_rows(loaded, pack(bundles_of(loaded)))
    assert (batch.group_ids == PADDING).any()
    for mask in attention_masks(batch, loaded.model.config.get_text_config(), loaded.family).values():
        assert mask.any(-1).all()


@of_families("tiny-gemma3")
def test_lines_hold_every_sequence_once_and_are_no_longer_than_the_longest() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in range(1, 20):
        lengths = torch.randint(1, 100, (count,), generator=generator).tolist()
        lines = first_fit_decreasing(lengths)
        assert sorted(position for line in lines for position in line) == list(range(count))
        assert max(sum(lengths[position] for position in line) for line in lines) == max(lengths)
    assert first_fit_decreasing([400, 900, 450]) == [[1], [2, 0]]


@of_families("tiny-gemma3", "tiny-paligemma")
def test_a_batch_of_nothing_is_read_and_moves_no_weight(loaded: LoadedModel, features: list[ImageInputs]) -> None:
    examples = [SplitExample(example=compact(row), image_sha256="0") for row in rows_of(loaded)]
    items = TokenizedSplit(examples=examples, truncated=0, left_out=0)
    loss, gradients = result(loaded, [items.groups(())], features)
    assert loss == 0
    assert gradients, "a wrapper waits for every weight's gradient"
    assert not any(gradient.any() for gradient in gradients.values())


@of_families("tiny-gemma3", "tiny-gemma4")
def test_logits_a_few_at_a_time_give_the_same_loss_and_gradients(
    loaded: LoadedModel, features: list[ImageInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = pack(bundles_of(loaded))
    loss, gradients = result(loaded, lines, features)
    monkeypatch.setattr(loss_module, "CHUNK", 7)
    again, chunked = result(loaded, lines, features)
    torch.testing.assert_close(again, loss)
    assert chunked.keys() == gradients.keys()
    for name, gradient in chunked.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-5, msg=name)
