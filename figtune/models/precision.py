"""Precision of the frozen weights, kept and computed with: by the setting, the mode and the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from figtune.models.families import family_of
from figtune.models.records import ModelRecord

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Precision of the frozen weights. What is trained is float32 whatever this is."""

    dtype: torch.dtype
    """dtype of the frozen weights, or of the computation where they are kept in 4 bits."""
    four_bit: bool
    """True if the text decoder's linear layers are kept in 4 bits (NF4)."""
    note: str | None
    """Remark on a precision chosen automatically, with its cost."""

    @property
    def description(self) -> str:
        """Precision as part of a sentence."""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"in 4 bits (NF4), computed in {dtype}" if self.four_bit else f"unquantized, in {dtype}"


def precision_of(record: ModelRecord, device: torch.device, *, unquantized: bool = False) -> Precision:
    """Return how to hold the weights of a model on a device.

    Args:
        unquantized: keep no weights in 4 bits, whatever the adapter was trained over.

    Raises:
        UsageError: the family overflows in the dtype that was asked for.
    """
    family_of(record.family, record.name).check_dtype(record.dtype)
    if unquantized:
        return Precision(dtype=_as_trained(record, device).dtype, four_bit=False, note=None)
    return _as_trained(record, device)


def _as_trained(record: ModelRecord, device: torch.device) -> Precision:
    four_bit = record.adapter.mode == "qlora"
    if record.dtype != "auto":
        return Precision(dtype=_DTYPES[record.dtype], four_bit=four_bit, note=None)
    if record.tiny:
        # Its losses are compared to the sixth digit, and its matrices are too small to be worth anything else.
        return Precision(dtype=torch.float32, four_bit=four_bit, note=None)
    if device.type == "cpu":
        return _on_cpu(four_bit=four_bit)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision(dtype=torch.bfloat16, four_bit=four_bit, note=None)
    return _on_older_card(record, four_bit=four_bit)


def _on_cpu(*, four_bit: bool) -> Precision:
    """Choose bfloat16 only where the CPU multiplies it itself; elsewhere it is emulated, and many times slower."""
    if _cpu_has_bfloat16():
        note = "the CPU computes bfloat16 by itself, which is faster than float32: the frozen weights are kept in it"
        return Precision(dtype=torch.bfloat16, four_bit=four_bit, note=note)
    note = "the CPU has no bfloat16 of its own: the weights are kept in float32, faster here but twice the memory"
    return Precision(dtype=torch.float32, four_bit=four_bit, note=None if four_bit else note)


def _cpu_has_bfloat16() -> bool:
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return True
    # Of ARM. On x86 oneDNN says yes to AVX-512 without bfloat16 too, where it emulates it.
    return not torch.cpu._is_avx2_supported() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _on_older_card(record: ModelRecord, *, four_bit: bool) -> Precision:
    """Choose 4 bits for cards before Ampere, such as T4 and V100: float16 overflows in Gemma 3 and 4 and was not tried
    with the others, and float32 weights are too large for them.
    """
    if record.adapter.mode == "full":
        note = "the card has no bfloat16: all weights and all computing are float32, which is several times slower"
        return Precision(dtype=torch.float32, four_bit=False, note=note)
    weights = "" if four_bit else "the text decoder's weights are kept in 4 bits, which costs some accuracy, and "
    return Precision(
        dtype=torch.float32,
        four_bit=True,
        note=f"the card has no bfloat16: {weights}computing is float32, several times slower than bfloat16 on newer "
        "cards (--model.dtype float32 keeps all weights in float32)",
    )
