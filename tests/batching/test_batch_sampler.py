"""The order of examples: each once an epoch, within limits, by picture, the same again for the same seed and epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from figtune.batching.batch_sampler import BatchLimits, ExampleLength, IndexBatch, LengthGroupedSampler, eval_batches
from figtune.batching.dataset import SplitExample, TokenizedSplit, log_question_share
from figtune.batching.packing import first_fit_decreasing
from figtune.core.log import configure_logging
from figtune.models.family import ImageLayout, TokenizedExample
from tests.rows import each_row

EXTENTS = st.lists(
    st.builds(ExampleLength, prefix=st.integers(0, 12), shared=st.just(50), own=st.integers(1, 200)),
    min_size=1,
    max_size=40,
)
LIMITS = st.builds(BatchLimits, examples=st.integers(1, 9), tokens=st.integers(1, 1500))
PLENTY = 10**9


def order_of(
    extents: Sequence[ExampleLength],
    limits: BatchLimits,
    per_step: int = 1,
    seed: int = 0,
    processes: int = 1,
    share: float = 0.0,
) -> LengthGroupedSampler:
    return LengthGroupedSampler(
        extents,
        limits,
        seed=seed,
        epochs=3,
        processes=processes,
        batches_per_step=per_step,
        question_share=share,
    )


def figures(tasks: int, count: int) -> list[ExampleLength]:
    """Figures with as many tasks each, and texts of all lengths."""
    return [
        ExampleLength(prefix=figure, shared=60, own=20 + (37 * figure + 11 * task) % 200)
        for figure in range(count)
        for task in range(tasks)
    ]


def check(extents: Sequence[ExampleLength], limits: BatchLimits, batches: Sequence[IndexBatch]) -> None:
    indices = [index for batch in batches for bundle in batch for index in bundle]
    assert sorted(indices) == list(range(len(extents)))
    for batch in batches:
        examples = sum(map(len, batch))
        assert examples <= limits.examples
        lengths = [extents[bundle[0]].shared + sum(extents[index].own for index in bundle) for bundle in batch]
        assert examples == 1 or max(lengths) * len(first_fit_decreasing(lengths)) <= limits.tokens
        for bundle in batch:
            assert len({extents[index].prefix for index in bundle}) == 1


@given(extents=EXTENTS, limits=LIMITS, per_step=st.integers(1, 6))
def test_every_example_comes_once_an_epoch_within_limits(
    extents: list[ExampleLength], limits: BatchLimits, per_step: int
) -> None:
    order = order_of(extents, limits, per_step)
    for epoch in range(3):
        batches = order.batches(epoch)
        check(extents, limits, batches)
        assert len(batches) == len(order), "all epochs have as many batches"
    assert len(order) == min(len(extents), per_step * order.steps), "and all steps"
    check(extents, limits, eval_batches(extents, limits))


def test_epochs_differ_and_repeat() -> None:
    extents = figures(tasks=3, count=30)
    limits = BatchLimits(examples=6, tokens=PLENTY)
    epochs = [order_of(extents, limits, seed=3).batches(epoch) for epoch in range(3)]
    assert order_of(extents, limits, seed=3).batches(2) == epochs[2]
    assert epochs[0] != epochs[1] != epochs[2]
    assert {frozenset(batch) for batch in epochs[0]} != {frozenset(batch) for batch in epochs[1]}
    assert order_of(extents, limits, seed=4).batches(0) != epochs[0]


def test_examples_about_a_picture_stay_together_where_they_can() -> None:
    batches = order_of(figures(tasks=3, count=40), BatchLimits(examples=12, tokens=PLENTY)).batches(0)
    assert all(len(bundle) == 3 for batch in batches for bundle in batch)
    assert len(batches) == 10


def test_remainders_of_pictures_with_too_many_examples_fill_batches() -> None:
    batches = order_of(figures(tasks=5, count=8), BatchLimits(examples=4, tokens=PLENTY)).batches(0)
    assert len(batches) == 10


def test_batches_have_little_padding() -> None:
    extents = figures(tasks=1, count=200)
    padding = total = 0
    for batch in order_of(extents, BatchLimits(examples=8, tokens=PLENTY)).batches(0):
        lengths = [extents[bundle[0]].shared + extents[bundle[0]].own for bundle in batch]
        padding += max(lengths) * len(first_fit_decreasing(lengths)) - sum(lengths)
        total += sum(lengths)
    assert padding < 0.1 * total


def test_short_examples_make_larger_batches_in_the_same_budget() -> None:
    extents = [ExampleLength(prefix=index, shared=0, own=100 if index < 50 else 1000) for index in range(60)]
    batches = order_of(extents, BatchLimits(examples=64, tokens=4000)).batches(0)
    assert len(batches) == 4, "15,000 tokens in all"
    assert max(map(len, batches)) >= 30


@given(extents=EXTENTS, processes=st.integers(1, 4), accumulated=st.integers(1, 3))
def test_processes_get_as_many_batches_and_take_the_same_steps(
    extents: list[ExampleLength], processes: int, accumulated: int
) -> None:
    limits, per_step = BatchLimits(examples=1, tokens=PLENTY), processes * accumulated
    alone = order_of(extents, limits, per_step)
    together = order_of(extents, limits, per_step, processes=processes)
    assert len(together) % processes == 0
    assert together.steps == alone.steps
    batches = together.batches(1)
    assert batches[: len(alone)] == alone.batches(1)
    assert all(batch == () for batch in batches[len(alone) :])
    steps = [batches[start : start + per_step] for start in range(0, len(batches), per_step)]
    assert all(any(step) for step in steps), "no step is of nothing"


def mixed(texts: int, questions: int) -> list[ExampleLength]:
    """Figures with a text each, and as many with a question."""
    return [
        ExampleLength(prefix=index % 7, shared=60, own=20 + 11 * index % 50, is_question=index >= texts)
        for index in range(texts + questions)
    ]


def drawn(batches: Sequence[IndexBatch]) -> list[int]:
    return sorted(index for batch in batches for group in batch for index in group)


@given(
    texts=st.integers(1, 30),
    questions=st.integers(1, 30),
    share=st.sampled_from([0.1, 0.4, 0.75]),
    per_step=st.integers(1, 6),
    limits=LIMITS,
)
def test_questions_come_at_their_share_and_the_rest_once(
    texts: int, questions: int, share: float, per_step: int, limits: BatchLimits
) -> None:
    extents = mixed(texts, questions)
    order = order_of(extents, limits, per_step, share=share)
    asked: Counter[int] = Counter()
    for epoch in range(3):
        batches = order.batches(epoch)
        assert len(batches) == len(order) <= per_step * order.steps
        indices = drawn(batches)
        assert indices[:texts] == list(range(texts))
        assert len(indices) == order.examples
        assert abs((len(indices) - texts) - texts * share / (1 - share)) <= 0.5
        asked.update(indices[texts:])
    counts = [asked[index] for index in range(texts, texts + questions)]
    assert max(counts) - min(counts) <= 1, "none comes again before all others"


def test_the_mix_repeats_by_seed_and_differs_by_epoch_and_seed() -> None:
    extents, limits = mixed(20, 60), BatchLimits(examples=4, tokens=PLENTY)
    order = order_of(extents, limits, share=0.4)
    assert order_of(extents, limits, share=0.4).batches(1) == order.batches(1)
    assert drawn(order.batches(0)) != drawn(order.batches(1))
    assert drawn(order_of(extents, limits, seed=1, share=0.4).batches(0)) != drawn(order.batches(0))


def test_without_a_share_or_without_questions_or_texts_the_order_is_the_plain_one() -> None:
    limits = BatchLimits(examples=4, tokens=PLENTY)
    plain = order_of(figures(tasks=3, count=20), limits).batches(1)
    assert order_of(figures(tasks=3, count=20), limits, share=0.4).batches(1) == plain
    questions = [replace(each, is_question=True) for each in figures(tasks=3, count=20)]
    for share in (0.0, 0.4):
        assert order_of(questions, limits, share=share).batches(1) == plain
    assert drawn(order_of(mixed(5, 9), limits).batches(0)) == list(range(14))


def test_epochs_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    compose = LengthGroupedSampler._compose

    def counted(self: LengthGroupedSampler, epoch: int) -> tuple[list[IndexBatch], torch.Generator]:
        composed.append(epoch)
        return compose(self, epoch)

    monkeypatch.setattr(LengthGroupedSampler, "_compose", counted)
    order = order_of(figures(tasks=3, count=20), BatchLimits(examples=4, tokens=PLENTY))
    asked = [order.batches(epoch) for epoch in (0, 0, 1, 2)]
    assert composed == [0, 1, 2]
    # An epoch that is asked for again later is the same.
    assert order.batches(0) == asked[0] == asked[1]
    assert composed == [0, 1, 2, 0]


@each_row(
    ("questions", "others", "share", "said"),
    [
        (0, 3, 0.5, "none is a question or has words to read"),
        (3, 0, 0.5, "all are questions or words to read"),
        (1, 2, 0.5, ""),
        (0, 3, 0.0, ""),
    ],
)
def test_a_share_of_questions_that_changes_nothing_is_said(
    questions: int, others: int, share: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    capsys.readouterr()
    example = TokenizedExample(
        input_ids=(1, 2), bidirectional=(0, 0), prompt_length=1, shared_prefix_length=0, image=ImageLayout(tokens=0)
    )
    split = [
        SplitExample(example=example, image_sha256="", is_question=number < questions)
        for number in range(questions + others)
    ]
    log_question_share(TokenizedSplit(examples=split, truncated=0, left_out=0), share)
    printed = capsys.readouterr().err
    assert printed.endswith(f"{said}\n") if said else not printed
