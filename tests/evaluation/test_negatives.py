"""Hard negatives: of the same paper, kind and length where there are such, and never right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from figtune.dataset.records import CUSTOM_TASK, Example, Task
from figtune.evaluation.eval_items import NegativePool
from figtune.metrics.records import NEGATIVE_RULES


def example(
    number: int,
    text: str | None = None,
    *,
    group: str = "paper",
    kind: str = "plot",
    task: Task | Literal["given"] = "caption",
    image: int | None = None,
    prompt: str = "Describe.",
) -> Example:
    return Example(
        example_id=f"{number}",
        task=task,
        image="image.png",
        image_sha256=f"{number if image is None else image}",
        prompt=prompt,
        completion=f"Text number{number} of five words." if text is None else text,
        group=group,
        source="",
        kind=kind,
    )


def chosen(examples: Sequence[Example], of: Example) -> list[tuple[str, str]]:
    return [(each.example.example_id, each.rule) for each in NegativePool(examples).negatives(of)]


def test_the_nearest_ones_come_first_and_each_says_why_it_was_taken() -> None:
    own = example(0)
    others = [
        example(1, group="other", kind="table", text="a b c d e f g h i j k l m n o p q r s t"),
        example(2, group="other", kind="table"),
        example(3, group="other"),
        example(4, kind="table"),
        example(5),
        example(6, task="explain"),
    ]
    assert chosen([own, *others[1:]], own) == [("5", "group and kind"), ("4", "group"), ("3", "kind"), ("2", "length")]
    without_the_third = [own, *(each for each in others if each.example_id != "3")]
    assert chosen(without_the_third, own)[-1] == ("1", "any")


def test_a_right_text_is_no_negative() -> None:
    own = example(0, "The encoder, in blue.")
    others = [
        example(1, "the encoder in blue"),
        example(2, "The encoder, in blue. Arrows show the flow."),
        example(3, "The encoder"),
        example(4, "Another view.", image=0),
        *(example(number) for number in range(5, 8)),
        example(8, example(7).completion.upper()),
    ]
    assert chosen([own, *others], own) == []
    ids = {name for name, _ in chosen([own, *others, example(9)], own)}
    assert ids in ({"5", "6", "7", "9"}, {"5", "6", "8", "9"})


def test_questions_have_none_and_prompts_of_a_data_set_stay_apart() -> None:
    questions = [example(number, task="question") for number in range(9)]
    assert chosen(questions, questions[0]) == []
    asked = [example(number, task=CUSTOM_TASK, prompt=f"{number % 2}") for number in range(10)]
    assert {int(name) % 2 for name, _ in chosen(asked, asked[0])} == {0}


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(("plot", "table")), st.integers(1, 40)), min_size=6, max_size=30
    ),
    st.integers(0, 9),
)
def test_the_choice_depends_on_the_examples_alone(drawn: list[tuple[int, str, int]], seed: int) -> None:
    examples = [
        example(number, f"n{number} " * words, group=f"{group}", kind=kind)
        for number, (group, kind, words) in enumerate(drawn)
    ]
    shuffled = random.Random(seed).sample(examples, len(examples))
    for each in examples:
        negatives = NegativePool(examples).negatives(each)
        assert negatives == NegativePool([*shuffled, *examples]).negatives(each)
        assert len({other.example.completion for other in negatives} | {each.completion}) == 5
        places = [NEGATIVE_RULES.index(other.rule) for other in negatives]
        assert all(one <= other for one, other in pairwise(places))
