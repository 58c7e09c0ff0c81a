"""The order of examples: each once an epoch, like lengths together, the same again for the same seed and epoch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from figtune.models.order import LengthOrder


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60), batch_size=st.integers(1, 9))
def test_every_example_comes_once_an_epoch(lengths: list[int], batch_size: int) -> None:
    order = LengthOrder(lengths, batch_size, seed=0)
    assert sorted(order) == list(range(len(lengths)))
    assert len(order) == len(lengths)


def test_epochs_differ_and_repeat() -> None:
    lengths = [10 * (index % 7) + 5 for index in range(50)]
    first, second = LengthOrder(lengths, 4, seed=3), LengthOrder(lengths, 4, seed=3)
    epochs = []
    for epoch in range(3):
        first.set_epoch(epoch)
        epochs.append(list(first))
    second.set_epoch(2)
    assert list(second) == epochs[2]
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(LengthOrder(lengths, 4, seed=4)) != epochs[0]


def test_batches_have_little_padding() -> None:
    lengths = [(37 * index) % 400 + 20 for index in range(200)]
    order = list(LengthOrder(lengths, 8, seed=0))
    batches = [[lengths[index] for index in order[start : start + 8]] for start in range(0, 200, 8)]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in batches)
    assert padding < 0.2 * sum(lengths)


def test_the_short_batch_is_the_last() -> None:
    order = list(LengthOrder([500, 1, 2, 3, 4, 5, 6], 3, seed=1))
    assert order[-1] == 0
