"""Operations of a training step that a card would have to be waited for, counted on a CPU by their names."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from figtune.batching.collator import split_model_inputs
from figtune.batching.loss import CompletionLoss
from tests.models.tuned import TINY_NAMES, batch_of, features_of, joined, moved_model, rows_of
from tests.rows import each_row

WAITING = ("aten::nonzero", "aten::_local_scalar_dense", "aten::masked_select", "aten::is_nonzero", "aten::item")
"""Operations whose result the host reads, or whose size depends on what a tensor holds."""


@pytest.mark.slow
@each_row(("name", "weighted"), product(TINY_NAMES, (False, True)))
def test_a_step_reads_nothing_back_from_the_device(tmp_path: Path, name: str, weighted: bool) -> None:
    loaded = moved_model(tmp_path, name)
    images = {f"image.{key}": tensor for key, tensor in joined(features_of(loaded)).items()}
    tensors = {**images, **vars(batch_of(loaded, rows_of(loaded)))}
    loss = CompletionLoss(loaded.peft_model.train(), loaded.family, weighted=weighted)
    loss.activation_checkpointing_enable({"use_reentrant": False})
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        batch, _ = split_model_inputs(tensors)
        (loss(tensors) / batch.loss_count).backward()
    called = {event.key: event.count for event in recorded.key_averages()}
    assert called["aten::nonzero_static"] == 1
    assert {name: called[name] for name in WAITING if name in called} == {}


@each_row("name", ["tiny-gemma3", "tiny-paligemma"])
def test_targets_are_predicted_where_the_labels_say(tmp_path: Path, name: str) -> None:
    loaded = moved_model(tmp_path, name)
    batch = batch_of(loaded, rows_of(loaded))
    rows, columns = (batch.labels != -100).nonzero(as_tuple=True)
    assert torch.equal(batch.targets, batch.labels[rows, columns])
    assert torch.equal(batch.predicted_at, rows * batch.labels.shape[1] + columns - 1)
