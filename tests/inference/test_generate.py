"""Answers in batches against answers alone, and against a plain loop over the most likely token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from PIL import Image
from transformers import GenerationConfig

from figtune.batching.collator import prompt_batch
from figtune.batching.tokenization import tokenize_prompt
from figtune.inference.generate import Answer, generate_answers, sampling_processors
from figtune.inference.settings import Decoding
from figtune.models.family import ImageInputs, ImageLayout
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from tests.inference.trained_model import greedy, write_trained_model
from tests.models.tuned import TINY_NAMES, of_families, pixels_of, plain_pixels
from tests.rows import each_row

LENGTH = 8
PICTURES = [Image.new("RGB", (30 + 40 * number, 60), (50 * number, 90, 255 - 50 * number)) for number in range(4)]
PROMPTS = ["Describe this figure.", "What?", "Explain this figure. The paper says: " + "we train it. " * 4, "a b c"]


@pytest.fixture(scope="module", params=[name for name in TINY_NAMES if name != "tiny-paligemma2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("trained")
    write_trained_model(folder, name=request.param)
    loaded = load_tuned_model(folder, torch.device("cpu"), "train")
    # A random model whose head is its embedding says one token for ever; with a head of its own it wanders.
    head = torch.randn(loaded.model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    # Not so sure of them, however large the states before it, that no temperature changes its mind.
    norm = loaded.model.get_parameter(f"{loaded.family.parts.text_decoder}.norm.weight")
    head *= min(1.0, 8.0 / float(norm.mean()))
    loaded.model.lm_head.weight = torch.nn.Parameter(head, requires_grad=False)
    return loaded


@pytest.fixture
def loaded(model: LoadedModel) -> Iterator[LoadedModel]:
    before = model.model.generation_config
    yield model
    model.model.generation_config = before


def features_of(loaded: LoadedModel) -> list[ImageInputs]:
    return [encode_image(loaded, picture) for picture in PICTURES]


def greedy_ids(loaded: LoadedModel, prompt: str, picture: Image.Image) -> list[int]:
    """Without cache, padding and `generate`: the whole row again for every token."""
    family = loaded.family
    row = tokenize_prompt(family, loaded.processor, prompt, family.image_layout(loaded.processor, picture.size))
    pixels = plain_pixels(loaded, pixels_of(loaded, [picture]))
    said: list[int] = []
    with torch.no_grad():
        for _ in range(LENGTH):
            longer = replace(
                row, input_ids=(*row.input_ids, *said), bidirectional=(*row.bidirectional, *(False for _ in said))
            )
            batch = prompt_batch([longer], 0)
            output = loaded.peft_model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                **family.token_inputs(batch.bidirectional, batch.attention_mask),
                **pixels,
            )
            said.append(int(output.logits[0, -1].argmax()))
    return said


@pytest.mark.slow
@each_row("tuned", [True, False])
def test_a_batch_of_answers_is_the_answers_one_by_one(loaded: LoadedModel, tuned: bool) -> None:
    features = features_of(loaded)
    with nullcontext() if tuned else loaded.peft_model.disable_adapter():
        together = generate_answers(loaded, PROMPTS, features, greedy(LENGTH))
        alone = [
            generate_answers(loaded, [prompt], features[number : number + 1], greedy(LENGTH))[0]
            for number, prompt in enumerate(PROMPTS)
        ]
    assert together == alone
    assert len({answer.text for answer in together}) > 1


def test_an_answer_is_the_most_likely_token_again_and_again(loaded: LoadedModel) -> None:
    answers = generate_answers(loaded, PROMPTS, features_of(loaded), greedy(LENGTH))
    for answer, prompt, picture in zip(answers, PROMPTS, PICTURES, strict=True):
        ids = greedy_ids(loaded, prompt, picture)
        assert answer.text == loaded.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert answer.tokens == LENGTH
        assert not answer.ended_with_eos


@of_families("tiny-gemma3", fixture="model")
@pytest.mark.slow
def test_an_answer_ends_at_its_stop_token_while_others_go_on(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [greedy_ids(loaded, prompt, picture) for prompt, picture in zip(PROMPTS, PICTURES, strict=True)]
    stop = next(token for token in whole[0] if all(token not in ids for ids in whole[1:]))
    kept = whole[0][: whole[0].index(stop)]
    monkeypatch.setattr(type(loaded.family), "stop_ids", lambda family, processor: (stop,))
    answers = generate_answers(loaded, PROMPTS, features_of(loaded), greedy(LENGTH))
    text = loaded.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
    assert answers[0] == Answer(text=text, tokens=len(kept) + 1, ended_with_eos=True)
    assert [answer.tokens for answer in answers[1:]] == [LENGTH] * 3
    assert not any(answer.ended_with_eos for answer in answers[1:])


@of_families("tiny-gemma3", fixture="model")
def test_the_models_own_wish_to_sample_is_not_heard(loaded: LoadedModel, capfd: pytest.CaptureFixture[str]) -> None:
    expected = generate_answers(loaded, PROMPTS, features_of(loaded), greedy(LENGTH))
    loaded.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True, top_k=64, top_p=0.95, temperature=5.0, max_new_tokens=3
    )
    assert generate_answers(loaded, PROMPTS, features_of(loaded), greedy(LENGTH)) == expected
    assert capfd.readouterr().err == ""


def drawn(seed: int, temperature: float = 1.5) -> Decoding:
    return Decoding(max_new_tokens=LENGTH, temperature=temperature, top_p=0.9, seed=seed)


@of_families("tiny-gemma3", fixture="model")
@pytest.mark.slow
def test_a_batch_of_drawn_answers_is_the_answers_one_by_one(loaded: LoadedModel) -> None:
    features = features_of(loaded)
    together = generate_answers(loaded, PROMPTS, features, drawn(seed=1))
    alone = [
        generate_answers(loaded, [prompt], features[number : number + 1], drawn(seed=1))[0]
        for number, prompt in enumerate(PROMPTS)
    ]
    assert together == alone
    assert together != generate_answers(loaded, PROMPTS, features, drawn(seed=2))
    assert together != generate_answers(loaded, PROMPTS, features, greedy(LENGTH))


@of_families("tiny-gemma3", fixture="model")
def test_hardly_any_temperature_is_hardly_any_lot(loaded: LoadedModel) -> None:
    cold = generate_answers(loaded, PROMPTS, features_of(loaded), drawn(seed=1, temperature=1e-4))
    assert cold == generate_answers(loaded, PROMPTS, features_of(loaded), greedy(LENGTH))


def of_value(value: float) -> ImageInputs:
    """An image of one feature."""
    return ImageInputs(layout=ImageLayout(tokens=1), tensors={"features": torch.full((1, 1), value)})


def test_tokens_are_drawn_as_often_as_the_model_finds_them_likely() -> None:
    """The last of four tokens is outside the likeliest 90 %; the others share its part."""
    rows = 4000
    logits = torch.tensor([0.5, 0.25, 0.2, 0.05]).log().expand(rows, -1)
    prompts, features = [str(number) for number in range(rows)], [of_value(0)] * rows
    decoding = Decoding(max_new_tokens=1, temperature=1.0, top_p=0.9, seed=0)
    scores = sampling_processors(decoding, prompts, features, torch.device("cpu"))(torch.LongTensor([[0]]), logits)
    shares = torch.bincount(scores.argmax(dim=1), minlength=4) / rows
    expected = torch.tensor([0.5, 0.25, 0.2, 0.0]) / 0.95
    # Five standard errors: sqrt(.25 / 4000) is 0.008.
    assert torch.allclose(shares, expected, atol=0.04)
    assert shares[3] == 0


def test_another_picture_is_another_lot() -> None:
    decoding = Decoding(max_new_tokens=1, temperature=1.0, top_p=1.0, seed=0)
    features = [of_value(0), of_value(1)]
    first, second = sampling_processors(decoding, ["What?", "What?"], features, torch.device("cpu"))(
        torch.LongTensor([[0]]), torch.zeros(2, 50)
    )
    assert not torch.equal(first, second)
