"""The loss in pieces against PyTorch's own over everything at once, in float32."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from figtune.batching import loss as loss_module
from figtune.batching.loss import summed_cross_entropy
from figtune.models.loading import LoadedModel
from tests.models.tuned import moved_model
from tests.rows import each_row

TOKENS = 20


@pytest.fixture(scope="module", params=["tiny-gemma3", "tiny-paligemma2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return moved_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(autouse=True)
def small_pieces(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loss_module, "CHUNK", 7)
    yield
    loaded.model.lm_head.weight.requires_grad_(False)
    loaded.model.lm_head.weight.grad = None


def states_and_targets(loaded: LoadedModel) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    words, width = loaded.model.lm_head.weight.shape
    states = 3 * torch.randn(TOKENS, width, generator=generator)
    return states.requires_grad_(), torch.randint(words, (TOKENS,), generator=generator)


def plain(loaded: LoadedModel, states: Tensor, targets: Tensor) -> Tensor:
    logits = loaded.model.lm_head(states)
    if cap := getattr(loaded.model.config.get_text_config(), "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return F.cross_entropy(logits, targets, reduction="sum")


@each_row("trained", [False, True])
def test_loss_and_gradients_are_those_of_everything_at_once(loaded: LoadedModel, trained: bool) -> None:
    weight = loaded.model.lm_head.weight.requires_grad_(trained)
    found, given = {}, states_and_targets(loaded)
    for name, loss in (("pieces", summed_cross_entropy(loaded.model, *given)), ("plain", plain(loaded, *given))):
        given[0].grad = weight.grad = None
        # As it is when a loss is shared out among the tokens of a step.
        (loss / TOKENS).backward()  # type: ignore[no-untyped-call]
        found[name] = (loss.detach(), given[0].grad, weight.grad)
    assert (weight.grad is not None) is trained
    torch.testing.assert_close(found["pieces"], found["plain"], rtol=1e-5, atol=1e-6)


@each_row("trained", [False, True])
def test_weighted_loss_and_gradients_are_those_of_everything_at_once(loaded: LoadedModel, trained: bool) -> None:
    weight = loaded.model.lm_head.weight.requires_grad_(trained)
    states, targets = states_and_targets(loaded)
    weights = torch.linspace(0.0, 2.0, TOKENS)
    each = torch.stack([plain(loaded, states[[place]], targets[[place]]) for place in range(TOKENS)])
    found = {}
    ways = {"pieces": summed_cross_entropy(loaded.model, states, targets, weights), "plain": (each * weights).sum()}
    for name, loss in ways.items():
        states.grad = weight.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        found[name] = (loss.detach(), states.grad, weight.grad)
    torch.testing.assert_close(found["pieces"], found["plain"], rtol=1e-4, atol=1e-5)
    ones = summed_cross_entropy(loaded.model, states, targets, torch.ones(TOKENS))
    torch.testing.assert_close(ones, summed_cross_entropy(loaded.model, states, targets))


def test_without_gradients_the_loss_is_the_same(loaded: LoadedModel) -> None:
    given = states_and_targets(loaded)
    with torch.no_grad():
        alone = summed_cross_entropy(loaded.model, *given)
    assert not alone.requires_grad
    assert torch.equal(alone, summed_cross_entropy(loaded.model, *given).detach())
