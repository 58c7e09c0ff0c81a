"""The dtype of the frozen weights on every kind of device. There is no card here: what one says of itself is set."""

from __future__ import annotations

import pytest
import torch

from figtune.core.errors import UsageError
from figtune.models import loading
from figtune.models.precision import precision_of
from figtune.models.records import AdapterMode, AdapterRecord, Dtype, ModelRecord
from tests.rows import each_row

CUDA = torch.device("cuda")
CPU = torch.device("cpu")


def record(
    *, mode: AdapterMode = "lora", dtype: Dtype = "auto", family: str = "gemma3", tiny: bool = False
) -> ModelRecord:
    return ModelRecord(
        name="a model",
        base="a/model",
        commit=None,
        family=family,
        tiny=tiny,
        dtype=dtype,
        image_fit="squash",
        max_length=64,
        adapter=AdapterRecord(mode=mode, rank=4, alpha=8, dropout=0.0, targets=("decoder",)),
    )


def card(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    """A card that computes bfloat16 by itself, or only says so because it is emulated."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16 or including_emulation
    )


def cpu(monkeypatch: pytest.MonkeyPatch, *, avx512_bf16: bool = False, amx: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


@each_row("family", ["gemma3", "paligemma"])
@each_row("mode", ["lora", "qlora", "projector", "full"])
def test_cards_with_bfloat16_use_it(monkeypatch: pytest.MonkeyPatch, mode: AdapterMode, family: str) -> None:
    card(monkeypatch, bfloat16=True)
    found = precision_of(record(mode=mode, family=family), CUDA)
    assert (found.dtype, found.four_bit, found.note) == (torch.bfloat16, mode == "qlora", None)


@each_row("family", ["gemma3", "paligemma"])
@each_row("mode", ["lora", "qlora", "projector"])
def test_older_cards_compute_in_float32_on_four_bit_weights_and_say_what_it_costs(
    monkeypatch: pytest.MonkeyPatch, mode: AdapterMode, family: str
) -> None:
    card(monkeypatch, bfloat16=False)
    found = precision_of(record(mode=mode, family=family), CUDA)
    assert (found.dtype, found.four_bit) == (torch.float32, True)
    assert found.note is not None
    assert "no bfloat16" in found.note
    assert "slower" in found.note
    assert ("costs some accuracy" in found.note) is (mode != "qlora")


def test_every_weight_cannot_be_trained_in_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, bfloat16=False)
    found = precision_of(record(mode="full"), CUDA)
    assert (found.dtype, found.four_bit) == (torch.float32, False)


def test_what_is_asked_for_is_done_without_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, bfloat16=False)
    found = precision_of(record(dtype="float32"), CUDA)
    assert (found.dtype, found.four_bit, found.note) == (torch.float32, False, None)


def test_a_cpu_uses_bfloat16_only_where_it_multiplies_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch)
    assert precision_of(record(), CPU).dtype == torch.float32
    cpu(monkeypatch, avx512_bf16=True)
    assert precision_of(record(), CPU).dtype == torch.bfloat16
    cpu(monkeypatch, amx=True)
    found = precision_of(record(), CPU)
    assert (found.dtype, found.four_bit) == (torch.bfloat16, False)
    assert "faster than float32" in str(found.note)


@each_row("device", [CPU, CUDA])
def test_tiny_models_are_float32_everywhere(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    cpu(monkeypatch, amx=True)
    card(monkeypatch, bfloat16=True)
    found = precision_of(record(tiny=True), device)
    assert (found.dtype, found.note) == (torch.float32, None)


def test_float16_is_refused_where_the_family_overflows_in_it() -> None:
    with pytest.raises(UsageError, match="Gemma 3 overflows in float16"):
        precision_of(record(dtype="float16"), CUDA)
    assert precision_of(record(dtype="float16", family="paligemma"), CUDA).dtype == torch.float16


def test_a_remark_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        loading._log_once("a remark that is made once")
    assert capsys.readouterr().err.count("a remark that is made once") == 1


@each_row(("limit", "threads"), [("1", 1), ("3", 2), ("", 2), ("none", 2)])
def test_torch_uses_no_more_threads_than_openmp_allows(
    monkeypatch: pytest.MonkeyPatch, limit: str, threads: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_THREAD_LIMIT", limit)
    try:
        torch.set_num_threads(2)
        loading.respect_thread_limit()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_the_cpu_is_taken_on_a_mac_and_apples_gpu_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert loading.resolve_device("cpu") == CPU
    assert "MPS" not in capsys.readouterr().err
    assert loading.resolve_device("auto") == CPU
    assert "Apple's GPU (MPS) is not supported" in capsys.readouterr().err
