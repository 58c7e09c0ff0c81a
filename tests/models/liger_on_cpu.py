"""Liger's kernels against PyTorch's own operations, run by Triton's interpreter: a card is not needed.

TRITON_INTERPRET=1 python -m tests.models.liger_on_cpu FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import triton
from liger_kernel.ops import cross_entropy, geglu, rms_norm, swiglu
from liger_kernel.transformers import functional
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GemmaConfig, LlamaConfig
from transformers.models.gemma.modeling_gemma import GemmaMLP, GemmaRMSNorm
from transformers.models.gemma4 import image_processing_pil_gemma4
from transformers.models.gemma4.modeling_gemma4 import Gemma4RMSNorm
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm
from triton import language as tl

from figtune.batching.loss import CompletionLoss
from figtune.core.log import configure_logging
from figtune.models import liger, tiny
from figtune.models.family import ImageInputs
from figtune.models.loading import LoadedModel
from tests.models.tuned import batch_of, features_of, loss_sum, moved_model, rows_of

TOKENS, WIDTH, WORDS = 37, 48, 700
FUSED = {
    "tiny-gemma3": {"Gemma3RMSNorm", "Gemma3MLP", "Gemma3Attention"},
    "tiny-paligemma": {"GemmaRMSNorm", "GemmaMLP", "GemmaAttention"},
    "tiny-paligemma2": {"Gemma2RMSNorm", "Gemma2MLP", "Gemma2Attention"},
    "tiny-gemma4": {"Gemma4RMSNorm", "Gemma4TextMLP"},
    "tiny-smolvlm2": {"LlamaRMSNorm", "LlamaMLP", "LlamaAttention"},
}
"""Classes of modules whose kernels run, by model."""


class Number(float):
    """As a compiled kernel gets its numbers; the interpreter hands them over as Python has them."""

    def to(self, _: object) -> float:
        return float(self)


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    """In place of libdevice's, which is machine code of a card."""
    return 2 / (1 + tl.exp(-2 * x)) - 1


@triton.jit
def rsqrt(x):  # type: ignore[no-untyped-def]
    """In place of libdevice's."""
    return 1 / tl.sqrt(x)


def norm(x: Tensor, weight: Tensor | None, eps: float, offset: float, casting: str, *, in_place: bool) -> Tensor:
    """Liger's own, with numbers as a compiled kernel gets them."""
    arguments = (x, weight, Number(eps), Number(offset), casting, in_place)
    normed: Tensor = rms_norm.LigerRMSNormFunction.apply(*arguments)
    return normed


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
    loss = fused(ours, weight, targets, None if cap is None else Number(cap))
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


def check_layers() -> None:
    """Norms and gated activations of each kind in 16 bits, whose own rounding is all that may differ.

    float16 in place of bfloat16, which the interpreter cannot fill a tensor with.
    """
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(3, 7, WIDTH, generator=generator).half()
    gelu = GemmaConfig(hidden_size=WIDTH, intermediate_size=2 * WIDTH, hidden_act="gelu_pytorch_tanh")
    silu = LlamaConfig(hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_attention_heads=1)
    layers = (
        GemmaRMSNorm(WIDTH),
        Gemma4RMSNorm(WIDTH),
        Gemma4RMSNorm(WIDTH, with_scale=False),
        LlamaRMSNorm(WIDTH),
        GemmaMLP(gelu),  # type: ignore[no-untyped-call]
        LlamaMLP(silu),  # type: ignore[no-untyped-call]
    )
    for layer in layers:
        with torch.no_grad():
            for weight in layer.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator) / WIDTH**0.5)
        layer.half()
        wanted = passed_through(layer, states)
        liger.fuse_layers(layer, states.device)
        for found, tensor in zip(passed_through(layer, states), wanted, strict=True):
            assert found.dtype == tensor.dtype
            assert (found.float() - tensor.float()).norm() / tensor.float().norm() < 2e-3, layer


def passed_through(layer: nn.Module, states: Tensor) -> list[Tensor]:
    """Return a layer's output and its gradients to the input and to the weights."""
    layer.zero_grad()
    given = states.clone().requires_grad_()
    output: Tensor = layer(given)
    (output.float() * torch.linspace(-1, 1, output.shape[-1])).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [given.grad, *(weight.grad for weight in layer.parameters())]
    return [output.detach(), *(gradient for gradient in gradients if gradient is not None)]


def step(loaded: LoadedModel, features: list[ImageInputs]) -> dict[str, Tensor]:
    """The loss of a model, and the gradients of what is trained in it."""
    loaded.peft_model.zero_grad()
    loss = loss_sum(loaded, batch_of(loaded, rows_of(loaded, ["Results"])), features[:1])
    loss.backward()  # type: ignore[no-untyped-call]
    weights = loaded.peft_model.named_parameters()
    return {"loss": loss.detach(), **{name: each.grad for name, each in weights if each.grad is not None}}


def fused_kinds(loaded: LoadedModel) -> set[str]:
    """Return the classes of the decoder's modules that run a kernel. LoRA's layers have their own `forward` too."""
    modules = loaded.model.get_submodule(loaded.family.parts.text_decoder).modules()
    return {type(each).__name__ for each in modules if "forward" in vars(each) and not isinstance(each, LoraLayer)}


def check_model(folder: Path, name: str) -> None:
    """Through the model to its LoRA matrices and its projector; once with layers computed again in going back."""
    loaded = moved_model(folder, name)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(liger, "DEVICES", frozenset())
        plain = moved_model(folder, name)
        wanted = step(plain, features_of(plain))
    assert fused_kinds(loaded) == FUSED[name]
    assert not fused_kinds(plain)
    features = features_of(loaded)
    text = loaded.model.config.get_text_config()
    if cap := getattr(text, "final_logit_softcapping", None):
        text.final_logit_softcapping = Number(cap)
    if name == "tiny-gemma3":
        loaded.peft_model.train()
        CompletionLoss(loaded.peft_model, loaded.family).activation_checkpointing_enable({"use_reentrant": False})
    found = step(loaded, features)
    assert found.keys() == wanted.keys()
    for weight, tensor in wanted.items():
        torch.testing.assert_close(found[weight], tensor, rtol=1e-4, atol=1e-4, msg=f"{name} {weight}")


def make_smaller(patched: pytest.MonkeyPatch) -> None:
    """Give the tiny models few image tokens: the interpreter takes milliseconds for each of each layer."""
    patched.setattr(tiny, "_IMAGE_SIDE", 28)
    patched.setattr(tiny, "_IMAGE_TOKENS", 4)
    patched.setattr(tiny, "_GEMMA4_TOKENS", 10)
    patched.setattr(image_processing_pil_gemma4, "_SUPPORTED_SOFT_TOKENS", (10,))
    patched.setitem(tiny._VISION, "image_size", 28)


def main(folder: Path) -> None:
    """All of it, in a process that ends afterwards."""
    configure_logging()
    with pytest.MonkeyPatch.context() as patched:
        make_smaller(patched)
        for module in (cross_entropy, geglu):
            patched.setattr(module, "tanh", tanh)
        patched.setattr(rms_norm, "rsqrt", rsqrt)
        patched.setattr(swiglu, "float", Number, raising=False)
        patched.setattr(functional, "liger_rms_norm", norm)
        patched.setattr(liger, "DEVICES", frozenset({"cpu"}))
        check_kernel()
        check_layers()
        for name in FUSED:
            check_model(folder / name, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
