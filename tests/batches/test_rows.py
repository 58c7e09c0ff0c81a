"""Examples as token rows: against what the families' own processors make of the same text, and by their rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import ProcessorMixin

from figtune.batches.bundles import apart
from figtune.batches.collation import generation_batch, training_batch
from figtune.batches.rows import prompt_row, training_row
from figtune.core.errors import InputError
from figtune.models.families import FAMILIES
from figtune.models.family import IGNORED, Family
from figtune.models.loading import load_processor

PICTURE = Image.new("RGB", (120, 80), "white")
PROMPT = "Write the caption of this figure."
CAPTION = "The encoder reads the image (left). The decoder predicts a mask! Results follow below."
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<start_of_image>"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""What Gemma 3's own template does to one user turn."""


@pytest.fixture(params=FAMILIES, ids=lambda family: family.support.model_type)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture
def processor(family: Family, processors: dict[str, ProcessorMixin]) -> ProcessorMixin:
    return processors[family.support.model_type]


@pytest.fixture(scope="module")
def chatting(tiny_folders: dict[str, Path]) -> ProcessorMixin:
    """The processor of an instruction-tuned Gemma 3."""
    processor = load_processor(tiny_folders["gemma3"])
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    processor.chat_template = CHAT_TEMPLATE
    return processor


def test_a_gemma3_prompt_is_what_its_processor_makes(processors: dict[str, ProcessorMixin]) -> None:
    family, processor = FAMILIES[0], processors["gemma3"]
    theirs = processor(text=f"<start_of_image>{PROMPT}\n", images=[[PICTURE]], return_tensors="pt")
    row = prompt_row(family, processor, PROMPT)
    assert list(row.input_ids) == theirs["input_ids"][0].tolist()
    assert list(row.token_type_ids) == theirs["token_type_ids"][0].tolist()


def test_an_instruction_tuned_gemma3_is_asked_in_its_own_turns(chatting: ProcessorMixin) -> None:
    messages: Any = [
        {"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": PROMPT}]}
    ]
    theirs: Any = chatting.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=True)
    row = prompt_row(FAMILIES[0], chatting, PROMPT)
    assert list(row.input_ids) == list(theirs["input_ids"][0])
    learned = training_row(FAMILIES[0], chatting, PROMPT, CAPTION, 200)
    assert chatting.tokenizer.decode(learned.input_ids[-1]) == "<end_of_turn>"


def test_a_paligemma_row_is_what_its_processor_makes(processors: dict[str, ProcessorMixin]) -> None:
    family, processor = FAMILIES[1], processors["paligemma"]
    theirs = processor(text=f"<image>{PROMPT}", images=[PICTURE], suffix=[CAPTION])
    row = training_row(family, processor, PROMPT, CAPTION, 200)
    assert list(row.input_ids) == list(theirs["input_ids"][0])
    assert list(row.token_type_ids) == list(theirs["token_type_ids"][0])
    assert list(row.labels) == list(theirs["labels"][0])


def test_only_the_completion_and_its_stop_token_are_learned(family: Family, processor: ProcessorMixin) -> None:
    row = training_row(family, processor, PROMPT, CAPTION, 200)
    learned = [label for label in row.labels if label != IGNORED]
    assert processor.tokenizer.decode(learned) == f"{CAPTION}<eos>"
    assert len(row.labels) == len(row.input_ids) == len(row.token_type_ids)
    assert set(row.labels[: row.prompt_length]) == {IGNORED}


def test_training_and_generation_read_the_same_prompt(family: Family, processor: ProcessorMixin) -> None:
    asked = prompt_row(family, processor, PROMPT)
    learned = training_row(family, processor, PROMPT, "\nA completion that starts on a new line", 200)
    assert learned.input_ids[: learned.prompt_length] == asked.input_ids
    assert learned.token_type_ids[: learned.prompt_length] == asked.token_type_ids


def test_control_tokens_written_in_a_text_stay_text(family: Family, processor: ProcessorMixin) -> None:
    text = "It ends with <eos>, <bos>, <pad>, <image>, <image_soft_token> and <start_of_image>."
    row = training_row(family, processor, text, text, 500)
    tokenizer = processor.tokenizer
    control = set(tokenizer.all_special_ids)
    learned = row.input_ids[row.prompt_length :]
    assert control.isdisjoint(learned[:-1])
    assert tokenizer.decode(learned[:-1]) == text
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
    assert row.input_ids.count(tokenizer.eos_token_id) == 1
    plain = training_row(family, processor, "It ends.", "So.", 500)
    assert sum(token in control for token in row.input_ids) == sum(token in control for token in plain.input_ids)


def test_a_long_completion_ends_at_a_sentence_and_still_stops(family: Family, processor: ProcessorMixin) -> None:
    whole = training_row(family, processor, PROMPT, CAPTION, 200)
    text_tokens = len(whole.input_ids) - len(prompt_row(family, processor, "").input_ids)
    row = training_row(family, processor, PROMPT, CAPTION, text_tokens)
    assert row.truncated
    assert not whole.truncated
    assert processor.tokenizer.decode(row.input_ids[row.prompt_length :]) == (
        "The encoder reads the image (left). The decoder predicts a mask!<eos>"
    )


def test_a_long_sentence_is_cut_between_words(family: Family, processor: ProcessorMixin) -> None:
    sentence = "The encoder reads extraordinarily many unfathomable images of unforgettable transformations"
    for spared in range(1, 15):
        whole = training_row(family, processor, PROMPT, sentence, 200)
        limit = len(whole.input_ids) - family.prefix(processor, PROMPT).image_tokens - spared
        row = training_row(family, processor, PROMPT, sentence, limit)
        said = processor.tokenizer.decode(row.input_ids[row.prompt_length : -1])
        assert row.truncated
        assert sentence.startswith(f"{said} ")


@settings(deadline=None, max_examples=30)
@given(text=st.text(min_size=1, max_size=80), limit=st.integers(20, 60))
def test_no_text_exceeds_the_limit_or_loses_its_stop_token(
    processors: dict[str, ProcessorMixin], text: str, limit: int
) -> None:
    family, processor = FAMILIES[0], processors["gemma3"]
    row = training_row(family, processor, "Caption.", text, limit)
    assert len(row.input_ids) - family.prefix(processor, "Caption.").image_tokens <= limit
    assert row.input_ids[-1] == processor.tokenizer.eos_token_id
    assert row.truncated or processor.tokenizer.decode(row.input_ids[row.prompt_length : -1]) == text.strip()


def test_a_prompt_without_room_for_a_completion_is_refused(family: Family, processor: ProcessorMixin) -> None:
    with pytest.raises(InputError, match=r"leaves no room for a completion in 16; raise --model\.max_length"):
        training_row(family, processor, "word " * 40, CAPTION, 16)


def test_batches_are_padded_on_the_right_to_learn_and_on_the_left_to_answer(
    family: Family, processor: ProcessorMixin
) -> None:
    short = training_row(family, processor, PROMPT, "A mask.", 200)
    long = training_row(family, processor, PROMPT, CAPTION, 200)
    pad = processor.tokenizer.pad_token_id
    missing = len(long.input_ids) - len(short.input_ids)
    right, left = training_batch(apart([short, long]), family, pad), generation_batch([short, long], pad)
    assert right.input_ids[0].tolist() == [*short.input_ids, *[pad] * missing]
    assert left.input_ids[0].tolist() == [*[pad] * missing, *short.input_ids]
    assert (right.bundle[0] == 0).sum() == left.attention_mask[0].sum() == len(short.input_ids)
    assert right.position_ids[1].tolist() == [family.first_position + at for at in range(len(long.input_ids))]
    assert right.labels[0].tolist() == [*short.labels, *[IGNORED] * missing]
    assert right.input_ids[1].tolist() == left.input_ids[1].tolist() == list(long.input_ids)
