"""Both models' answers as they grow: in the end the same as `generate_answers` gives each."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from figtune.answers.answering import Question
from figtune.answers.forecast import Forecast, spelled
from figtune.answers.generation import generate_answers
from figtune.answers.streaming import stream_answers
from figtune.core.errors import InputError
from figtune.models.features import picture_features
from figtune.models.loading import LoadedModel, load_tuned_model
from tests.answers.trained import greedy

QUESTION = Question(picture=Image.new("RGB", (60, 40), "teal"), prompt="Describe this figure.")


@pytest.fixture(scope="module")
def loaded(output: Path) -> LoadedModel:
    """With a head of its own, so that it wanders."""
    model = load_tuned_model(output, torch.device("cpu"), "train")
    head = torch.randn(model.model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    model.model.lm_head.weight = torch.nn.Parameter(head, requires_grad=False)
    return model


def alone(loaded: LoadedModel) -> str:
    features = picture_features(loaded, QUESTION.picture)[None]
    return generate_answers(loaded, [QUESTION.prompt], features, greedy(12))[0].text


def test_both_answers_grow_into_what_each_model_says(loaded: LoadedModel) -> None:
    pairs = list(stream_answers(loaded, QUESTION, greedy(12)))
    tuned = alone(loaded)
    with loaded.tuned.disable_adapter():
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


def test_two_at_once_do_not_mix_up_the_models(loaded: LoadedModel) -> None:
    first, second = (stream_answers(loaded, QUESTION, greedy(12)) for _ in range(2))
    assert [*zip(first, second, strict=True)][-1][0] == [*stream_answers(loaded, QUESTION, greedy(12))][-1]


def test_a_prompt_that_is_too_long_is_refused(loaded: LoadedModel) -> None:
    question = Question(picture=QUESTION.picture, prompt="many words " * 100)
    with pytest.raises(InputError, match="text tokens"):
        next(stream_answers(loaded, question, greedy(12)))


def watched(seconds_a_token: float, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is said while a prompt and ten tokens come."""
    times = iter(30.0 + seconds_a_token * number for number in range(100))
    forecast = Forecast(longest=100, clock=lambda: next(times))
    for _ in range(11):
        forecast.put(torch.tensor([1]))
    forecast.end()
    return capsys.readouterr().err.splitlines()


def test_a_slow_answer_is_forecast_from_its_first_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    """The clock is read at the first token and at the fourth: once for all three between them."""
    (line,) = watched(6.0, capsys)
    assert "2.0 s a token, so up to 3 min 12 s more for 100 tokens" in line


def test_of_a_quick_answer_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert watched(0.1, capsys) == []


@pytest.mark.parametrize(("seconds", "words"), [(9.6, "10 s"), (61, "1 min 1 s"), (7320, "2 h 2 min")])
def test_durations_are_spelled(seconds: float, words: str) -> None:
    assert spelled(seconds) == words
