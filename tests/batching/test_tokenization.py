"""Examples as token rows: against what the families' own processors make of the same text, and by their rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE, get_image_prompt_string

from figtune.batching import tokenization
from figtune.batching.collator import prompt_batch, training_batch
from figtune.batching.packing import one_per_row
from figtune.core.errors import InputError
from figtune.models.families import FAMILIES, family_of
from figtune.models.family import IGNORE_INDEX, Family, Processor, TokenizedExample
from figtune.models.records import ImageFit
from tests.rows import each_row

PICTURE = Image.new("RGB", (120, 80), "white")
PROMPT = "Write the caption of this figure."
CAPTION = "The encoder reads the image (left). The decoder predicts a mask! Results follow below."
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<start_of_image>"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""Template of Gemma 3 for one user turn."""


def tokenize_prompt(family: Family, processor: Processor, prompt: str) -> TokenizedExample:
    """About PICTURE."""
    return tokenization.tokenize_prompt(family, processor, prompt, family.image_layout(processor, PICTURE.size))


def tokenize_example(family: Family, processor: Processor, prompt: str, text: str, limit: int) -> TokenizedExample:
    """About PICTURE."""
    layout = family.image_layout(processor, PICTURE.size)
    return tokenization.tokenize_example(family, processor, prompt, text, layout, limit)


def image_tokens(family: Family, processor: Processor, prompt: str) -> int:
    """Tokens of PICTURE, its markers included."""
    return family.tokenize(processor, prompt, family.image_layout(processor, PICTURE.size)).image_tokens


def stop_token(family: Family, processor: Processor) -> str:
    """As a text."""
    return str(processor.tokenizer.decode(family.stop_ids(processor)[0]))


def token_types(family: Family, example: TokenizedExample) -> list[int]:
    """As the library takes them."""
    bidirectional = torch.tensor([example.bidirectional])
    types = family.token_inputs(bidirectional, torch.ones_like(bidirectional, dtype=torch.int64))["token_type_ids"]
    return [int(each) for each in types[0]]


@pytest.fixture(scope="module")
def chatting(tiny_folders: dict[str, Path]) -> Processor:
    """The processor of an instruction-tuned Gemma 3."""
    processor = FAMILIES[0].load_processor(tiny_folders["gemma3"])
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    processor.chat_template = CHAT_TEMPLATE
    return processor


@pytest.mark.slow
def test_a_gemma3_prompt_is_what_its_processor_makes(processors: dict[str, Any]) -> None:
    family, processor = FAMILIES[0], processors["gemma3"]
    theirs = processor(text=f"<start_of_image>{PROMPT}\n", images=[[PICTURE]], return_tensors="pt")
    row = tokenize_prompt(family, processor, PROMPT)
    assert list(row.input_ids) == theirs["input_ids"][0].tolist()
    assert token_types(family, row) == theirs["token_type_ids"][0].tolist()


def test_an_instruction_tuned_gemma3_is_asked_in_its_own_turns(chatting: Any) -> None:
    messages: Any = [
        {"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": PROMPT}]}
    ]
    theirs: Any = chatting.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=True)
    row = tokenize_prompt(FAMILIES[0], chatting, PROMPT)
    assert list(row.input_ids) == list(theirs["input_ids"][0])
    learned = tokenize_example(FAMILIES[0], chatting, PROMPT, CAPTION, 200)
    assert chatting.tokenizer.decode(learned.input_ids[-1]) == "<end_of_turn>"


def test_a_paligemma_row_is_what_its_processor_makes(processors: dict[str, Any]) -> None:
    family, processor = FAMILIES[1], processors["paligemma"]
    theirs = processor(text=f"<image>{PROMPT}", images=[PICTURE], suffix=[CAPTION])
    row = tokenize_example(family, processor, PROMPT, CAPTION, 200)
    assert list(row.input_ids) == list(theirs["input_ids"][0])
    assert token_types(family, row) == list(theirs["token_type_ids"][0])
    assert list(row.labels) == list(theirs["labels"][0])


@each_row("size", [(120, 60), (60, 120), (100, 100), (1, 1)])
def test_a_smolvlm2_prompt_is_what_its_template_and_its_processor_make(
    processors: dict[str, Any], size: tuple[int, int]
) -> None:
    family, processor = family_of("smolvlm", ""), processors["smolvlm"]
    layout = family.image_layout(processor, size)
    content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    rows, columns = layout.grid if layout.grid != (1, 1) else (0, 0)
    block = get_image_prompt_string(  # type: ignore[no-untyped-call]
        rows, columns, 4, "<fake_token_around_image>", "<image>", "<global-img>"
    )
    for template in (DEFAULT_CHAT_TEMPLATE, family.chat_template):
        text = processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            add_generation_prompt=True,
            tokenize=False,
        )
        ids = processor.tokenizer.encode(text.replace("<image>", block), add_special_tokens=False)
        row = tokenization.tokenize_prompt(family, processor, PROMPT, layout)
        assert list(row.input_ids) == ids
        answered = text + f" {CAPTION}<end_of_utterance>"
        wanted = processor.tokenizer.encode(answered.replace("<image>", block), add_special_tokens=False)
        example = tokenization.tokenize_example(family, processor, PROMPT, CAPTION, layout, 200)
        assert list(example.input_ids) == wanted


@settings(max_examples=60)
@given(width=st.integers(1, 400), height=st.integers(1, 400))
def test_the_tiles_of_an_image_are_known_from_its_size(processors: dict[str, Any], width: int, height: int) -> None:
    family, processor = family_of("smolvlm", ""), processors["smolvlm"]
    layout = family.image_layout(processor, (width, height))
    fits: tuple[ImageFit, ImageFit] = ("squash", "letterbox")
    for fit in fits:
        pixels = family.image_inputs(processor, Image.new("RGB", (width, height)), fit)["pixel_values"]
        assert layout.tokens == 4 * len(pixels)


@each_row("family", FAMILIES)
def test_only_the_completion_and_its_stop_token_are_learned(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    row = tokenize_example(family, processor, PROMPT, CAPTION, 200)
    learned = [label for label in row.labels if label != IGNORE_INDEX]
    assert processor.tokenizer.decode(learned).strip() == f"{CAPTION}{stop_token(family, processor)}"
    assert len(row.labels) == len(row.input_ids) == len(row.bidirectional)
    assert set(row.labels[: row.prompt_length]) == {IGNORE_INDEX}


@each_row("family", FAMILIES)
def test_training_and_generation_read_the_same_prompt(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    asked = tokenize_prompt(family, processor, PROMPT)
    learned = tokenize_example(family, processor, PROMPT, "\nA completion that starts on a new line", 200)
    assert learned.input_ids[: learned.prompt_length] == asked.input_ids
    assert learned.bidirectional[: learned.prompt_length] == asked.bidirectional


@each_row("family", FAMILIES)
def test_control_tokens_written_in_a_text_stay_text(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    text = "It ends with <eos>, <bos>, <pad>, <image>, <image_soft_token> and <start_of_image>."
    row = tokenize_example(family, processor, text, text, 500)
    tokenizer = processor.tokenizer
    control = set(tokenizer.all_special_ids)
    learned = row.input_ids[row.prompt_length :]
    assert control.isdisjoint(learned[:-1])
    assert tokenizer.decode(learned[:-1]).strip() == text
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
    assert learned.count(family.stop_ids(processor)[0]) == 1
    plain = tokenize_example(family, processor, "It ends.", "So.", 500)
    assert sum(token in control for token in row.input_ids) == sum(token in control for token in plain.input_ids)


@each_row("family", FAMILIES)
def test_a_long_completion_ends_at_a_sentence_and_still_stops(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    whole = tokenize_example(family, processor, PROMPT, CAPTION, 200)
    text_tokens = len(whole.input_ids) - image_tokens(family, processor, PROMPT)
    row = tokenize_example(family, processor, PROMPT, CAPTION, text_tokens - 1)
    assert row.truncated
    assert not whole.truncated
    assert processor.tokenizer.decode(row.input_ids[row.prompt_length :]).strip() == (
        f"The encoder reads the image (left). The decoder predicts a mask!{stop_token(family, processor)}"
    )


@each_row("family", FAMILIES)
def test_a_long_sentence_is_cut_between_words(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    sentence = "The encoder reads extraordinarily many unfathomable images of unforgettable transformations"
    for spared in range(1, 15):
        whole = tokenize_example(family, processor, PROMPT, sentence, 200)
        limit = len(whole.input_ids) - image_tokens(family, processor, PROMPT) - spared
        row = tokenize_example(family, processor, PROMPT, sentence, limit)
        said = processor.tokenizer.decode(row.input_ids[row.prompt_length : -1]).strip()
        assert row.truncated
        assert sentence.startswith(f"{said} ")


@pytest.mark.slow
@settings(max_examples=30)
@given(text=st.text(min_size=1, max_size=80), limit=st.integers(20, 60))
def test_no_text_exceeds_the_limit_or_loses_its_stop_token(
    processors: dict[str, Processor], text: str, limit: int
) -> None:
    family, processor = FAMILIES[0], processors["gemma3"]
    row = tokenize_example(family, processor, "Caption.", text, limit)
    assert len(row.input_ids) - image_tokens(family, processor, "Caption.") <= limit
    assert row.input_ids[-1] == processor.tokenizer.eos_token_id
    assert row.truncated or processor.tokenizer.decode(row.input_ids[row.prompt_length : -1]) == text.strip()


@each_row("family", FAMILIES)
def test_a_prompt_without_room_for_a_completion_is_refused(family: Family, processors: dict[str, Processor]) -> None:
    processor = processors[family.model_type]
    with pytest.raises(InputError, match=r"leaves no room for a completion in 16; raise --model\.max_length"):
        tokenize_example(family, processor, "word " * 40, CAPTION, 16)


@each_row("family", FAMILIES)
def test_batches_are_padded_on_the_right_to_learn_and_on_the_left_to_answer(
    family: Family, processors: dict[str, Processor]
) -> None:
    processor = processors[family.model_type]
    short = tokenize_example(family, processor, PROMPT, "A mask.", 200)
    long = tokenize_example(family, processor, PROMPT, CAPTION, 200)
    pad = processor.tokenizer.pad_token_id
    missing = len(long.input_ids) - len(short.input_ids)
    right, left = training_batch(one_per_row([short, long]), family, pad), prompt_batch([short, long], pad)
    assert right.input_ids[0].tolist() == [*short.input_ids, *[pad] * missing]
    assert left.input_ids[0].tolist() == [*[pad] * missing, *short.input_ids]
    assert (right.group_ids[0] == 0).sum() == left.attention_mask[0].sum() == len(short.input_ids)
    assert right.position_ids[1].tolist() == [family.first_position + at for at in range(len(long.input_ids))]
    assert right.labels[0].tolist() == [*short.labels, *[IGNORE_INDEX] * missing]
    assert right.input_ids[1].tolist() == left.input_ids[1].tolist() == list(long.input_ids)
