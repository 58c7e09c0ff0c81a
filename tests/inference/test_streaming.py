"""Both models' answers as they grow: in the end the same as `generate_answers` gives each."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.core.errors import InputError
from figtune.inference.generate import Question, generate_answers
from figtune.inference.streaming import stream_answers
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from tests.inference.trained_model import greedy

QUESTION = Question(image=Image.new("RGB", (60, 40), "teal"), prompt="Describe this figure.")


@pytest.fixture(scope="module")
def loaded(output: Path) -> LoadedModel:
    """With a head of its own, so that it wanders."""
    model = load_tuned_model(output, torch.device("cpu"), "train")
    head = torch.randn(model.model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    model.model.lm_head.weight = torch.nn.Parameter(head, requires_grad=False)
    return model


def alone(loaded: LoadedModel) -> str:
    features = [encode_image(loaded, QUESTION.image)]
    return generate_answers(loaded, [QUESTION.prompt], features, greedy(12))[0].text


def test_both_answers_grow_into_what_each_model_says(loaded: LoadedModel) -> None:
    pairs = list(stream_answers(loaded, QUESTION, greedy(12)))
    tuned = alone(loaded)
    with loaded.peft_model.disable_adapter():
        base = alone(loaded)
    assert (pairs[-1].tuned, pairs[-1].base) == (tuned, base)
    assert tuned != base
    assert [pair.finished for pair in pairs] == [False] * (len(pairs) - 1) + [True]
    assert len({pair.tuned for pair in pairs}) > 5
    assert len({pair.base for pair in pairs}) > 5


def test_an_answer_given_up_leaves_nothing_behind(loaded: LoadedModel) -> None:
    before = threading.active_count()
    answers = stream_answers(loaded, QUESTION, greedy(200))
    next(answers)
    answers.close()
    assert threading.active_count() == before
    assert list(stream_answers(loaded, QUESTION, greedy(12)))[-1].tuned == alone(loaded)


@pytest.mark.slow
def test_two_at_once_do_not_mix_up_the_models(loaded: LoadedModel) -> None:
    first, second = (stream_answers(loaded, QUESTION, greedy(12)) for _ in range(2))
    assert [*zip(first, second, strict=True)][-1][0] == [*stream_answers(loaded, QUESTION, greedy(12))][-1]


def test_a_prompt_that_is_too_long_is_refused(loaded: LoadedModel) -> None:
    question = Question(image=QUESTION.image, prompt="many words " * 100)
    with pytest.raises(InputError, match="text tokens"):
        next(stream_answers(loaded, question, greedy(12)))
