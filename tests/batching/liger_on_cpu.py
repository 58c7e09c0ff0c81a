"""Liger's kernel against PyTorch's own operations, run by Triton's interpreter: a card is not needed.

TRITON_INTERPRET=1 python -m tests.batching.liger_on_cpu FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import triton
from liger_kernel.ops import cross_entropy as kernels
from torch import Tensor
from torch.nn import functional as F
from triton import language as tl

from figtune.batching import liger
from figtune.core.log import configure_logging
from figtune.models.family import ImageInputs
from figtune.models.loading import LoadedModel
from tests.models.tuned import batch_of, features_of, moved_model, rows_of, summed_loss

TOKENS, WIDTH, WORDS = 37, 48, 700


class Cap(float):
    """As a compiled kernel gets its numbers; the interpreter hands them over as Python has them."""

    def to(self, _: object) -> float:
        return float(self)


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    """In place of libdevice's, which is machine code of a card."""
    return 2 / (1 + tl.exp(-2 * x)) - 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """Return a loss and its gradient."""

    loss: float
    gradient: Tensor


def both(dtype: torch.dtype, cap: float | None) -> tuple[Found, Found]:
    """By the kernel and by PyTorch."""
    generator = torch.Generator().manual_seed(1)
    states, weight = (torch.randn(rows, WIDTH, generator=generator).to(dtype) for rows in (TOKENS, WORDS))
    targets = torch.randint(WORDS, (TOKENS,), generator=generator)
    fused = liger.fused_loss(states.device)
    assert fused is not None
    ours, theirs = (states.clone().requires_grad_() for _ in range(2))
    loss = fused(ours, weight, targets, None if cap is None else Cap(cap))
    loss.backward()  # type: ignore[no-untyped-call]
    logits = F.linear(theirs, weight)
    wanted = F.cross_entropy(
        (logits if cap is None else cap * torch.tanh(logits / cap)).float(), targets, reduction="sum"
    )
    wanted.backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    return Found(loss=loss.item(), gradient=ours.grad), Found(loss=wanted.item(), gradient=theirs.grad)


def check_kernel() -> None:
    """float32 to its last digits, bfloat16 to its own, which the interpreter cuts off rather than rounds.

    PyTorch rounds capped logits of bfloat16 as well, the kernel does not.
    """
    for dtype, cap, tolerance in (
        (torch.float32, None, 1e-6),
        (torch.float32, 30.0, 1e-6),
        (torch.bfloat16, None, 4e-3),
        (torch.bfloat16, 30.0, 2e-2),
    ):
        found, wanted = both(dtype, cap)
        assert found.gradient.dtype == dtype
        difference = (found.gradient.float() - wanted.gradient.float()).norm() / wanted.gradient.float().norm()
        assert abs(found.loss / wanted.loss - 1) < tolerance, (dtype, cap, found.loss, wanted.loss)
        assert difference < tolerance, (dtype, cap, difference)


def step(loaded: LoadedModel, features: list[ImageInputs]) -> dict[str, Tensor]:
    """The loss of a model, and the gradients of what is trained in it."""
    loaded.peft_model.zero_grad()
    loss = summed_loss(loaded, batch_of(loaded, rows_of(loaded)), features)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = loaded.peft_model.named_parameters()
    return {"loss": loss.detach(), **{name: each.grad for name, each in weights if each.grad is not None}}


def check_model(loaded: LoadedModel) -> None:
    """Through the model to its LoRA matrices and its projector."""
    features = features_of(loaded)
    text = loaded.model.config.get_text_config()
    if cap := getattr(text, "final_logit_softcapping", None):
        text.final_logit_softcapping = Cap(cap)
    found = step(loaded, features)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(liger, "DEVICES", frozenset())
        wanted = step(loaded, features)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


def main(folder: Path) -> None:
    """All of it, in a process that ends afterwards."""
    configure_logging()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kernels, "tanh", tanh)
        patched.setattr(liger, "DEVICES", frozenset({"cpu"}))
        check_kernel()
        for name in ("tiny-gemma3", "tiny-paligemma", "tiny-paligemma2"):
            check_model(moved_model(folder / name, name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
