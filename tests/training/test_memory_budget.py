"""Memory sizes, the table, and the suggested settings: the cheapest change that suffices, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config import TRAIN
from figtune.core.errors import UsageError
from figtune.models.records import AdapterMode, AdapterRecord
from figtune.training.memory_budget import (
    BatchShape,
    MemoryUse,
    StepConfig,
    memory_lines,
    parse_size,
    shortfall_message,
    suggest_settings,
)
from tests.rows import each_row

GB = 10**9


def settings(mode: AdapterMode = "lora", *, checkpointing: bool = True, batch_size: int = 4) -> StepConfig:
    adapter = AdapterRecord(mode=mode, rank=16, alpha=32, dropout=0.0, targets=("decoder",))
    return StepConfig(
        adapter=adapter,
        max_length=512,
        train=replace(
            TRAIN,
            batch_size=batch_size,
            max_batch_tokens=4096,
            gradient_accumulation_steps=4,
            activation_checkpointing=checkpointing,
        ),
    )


def use(chosen: StepConfig) -> MemoryUse:
    """8 GB of weights, 3 in 4 bits; 2 MB a text token, 10 times that without checkpointing; nothing else of note."""
    tokens = chosen.train.batch_size * chosen.max_length
    activations = tokens * 2_000_000 * (1 if chosen.train.activation_checkpointing else 10)
    return MemoryUse(
        batch=BatchShape(
            examples=chosen.train.batch_size, text_tokens=chosen.max_length, target_tokens=chosen.max_length
        ),
        vision_weights=0,
        projector_weights=0,
        text_weights=(3 if chosen.adapter.mode == "qlora" else 8) * GB,
        gradients=0,
        optimizer=0,
        activations=activations,
        logits=0,
        encoding=2 * GB,
    )


@each_row(
    ("text", "size"),
    [
        ("16GB", 16 * GB),
        ("16 GiB", 16 * 2**30),
        ("24000MB", 24 * GB),
        ("15.5gb", 15_500_000_000),
        ("16G", 16 * GB),
        (" 1 TB ", 1000 * GB),
        ("80000000000B", 80 * GB),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@each_row(
    "text", ["", "GB", "sixteen", "16 XB", "-16GB", "0GB", "16GBs", "16,5GB", "16", " 16 ", "16.5", "80000000000"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give --memory such as 16GB"):
        parse_size(text)


@each_row(
    ("chosen", "available", "expected"),
    [
        (settings(checkpointing=False), 14, "give --train.activation_checkpointing"),
        (settings(), 11, "give --train.batch_size 2 --train.gradient_accumulation_steps 8"),
        (settings(), 9.9, "give --train.batch_size 1 --train.gradient_accumulation_steps 16"),
        (settings(), 8.2, "give --adapter.mode qlora"),
        (
            settings(),
            5,
            "give --train.batch_size 1 --train.gradient_accumulation_steps 16 --adapter.mode qlora",
        ),
        (
            settings(),
            4.1,
            "give --train.batch_size 1 --train.gradient_accumulation_steps 16 --adapter.mode qlora "
            "--model.max_length 256",
        ),
        (settings("qlora", batch_size=1), 4.1, "give --model.max_length 256"),
    ],
)
def test_the_advice_is_the_cheapest_change_that_is_enough(chosen: StepConfig, available: float, expected: str) -> None:
    assert use(chosen).peak > available * GB
    assert suggest_settings(chosen, round(available * GB), use) == expected


def test_where_nothing_helps_a_smaller_model_is_advised() -> None:
    least = use(replace(settings("qlora", batch_size=1), max_length=128))
    expected = f"choose a smaller model with --model.name: this one takes {least.peak / GB:.1f} GB however it is set"
    assert suggest_settings(settings(), GB, use) == expected


def test_a_shortfall_says_both_sizes() -> None:
    found = use(settings())
    assert shortfall_message(found, found.peak, "a card") == ""
    assert shortfall_message(found, 10 * GB, "free on a card") == (
        "training takes up to 12.8 GB, more than 10.0 GB (free on a card)"
    )


def test_encoding_figures_can_be_the_fullest_moment() -> None:
    found = replace(use(settings()), encoding=20 * GB)
    assert found.peak == 20 * GB


def test_the_table_adds_up() -> None:
    lines = memory_lines(use(settings()))
    sizes = {line[:28].strip(): float(line[28:36]) for line in lines[1:]}
    together = sizes.pop("together")
    assert sizes.pop("before, encoding figures") == 2.0
    assert sum(sizes.values()) == pytest.approx(together, abs=0.02)
    assert "4 examples of 512 text tokens" in lines[0]
