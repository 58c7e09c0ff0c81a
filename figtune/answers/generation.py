"""Answers, in batches padded on the left, each the same as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.answers.decoding import Decoding, drawing
from figtune.batching.collator import prompt_batch
from figtune.batching.tokenization import tokenize_prompt
from figtune.models.family import ImageInputs
from figtune.models.feature_cache import concatenate
from figtune.models.loading import LoadedModel


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    tokens: int
    """Its stop token included."""
    stopped: bool
    """Whether it ended by itself, rather than at the longest length allowed."""


@torch.inference_mode()
def generate_answers(
    loaded: LoadedModel,
    prompts: Sequence[str],
    images: Sequence[ImageInputs],
    decoding: Decoding,
    streamer: BaseStreamer | None = None,
) -> list[Answer]:
    """Answer each prompt about its image.

    With the tuned model, or with the base model inside `loaded.tuned.disable_adapter()`.

    Args:
        prompts: B of them.
        images: each prompt's.
        streamer: gets the prompts' tokens first, then int64[B] every time that each answer has one token more.
    """
    family, processor = loaded.family, loaded.processor
    stop_ids = family.stop_ids(processor)
    pad_id = processor.tokenizer.pad_token_id
    tokenized = [
        tokenize_prompt(family, processor, prompt, image.layout) for prompt, image in zip(prompts, images, strict=True)
    ]
    batch = prompt_batch(tokenized, pad_id).to(loaded.device)
    tensors = concatenate([image.tensors for image in images])
    embeddings = family.image_embeddings(
        loaded.model, {name: tensor.to(loaded.device) for name, tensor in tensors.items()}
    )
    # The model's own settings ask for sampling, and would be mixed into those of a single call.
    loaded.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=decoding.max_new_tokens, eos_token_id=list(stop_ids), pad_token_id=pad_id
    )
    generated = loaded.model.generate(  # type: ignore[operator]
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        **family.token_inputs(batch.bidirectional, batch.attention_mask),
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
        logits_processor=drawing(decoding, prompts, images),
        streamer=streamer,
    )
    answers = generated[:, batch.input_ids.shape[1] :].tolist()
    return [_answer(loaded, ids, stop_ids) for ids in answers]


def _answer(loaded: LoadedModel, ids: Sequence[int], stop_ids: Sequence[int]) -> Answer:
    """Cut at the first stop token; what comes after it is padding."""
    end = next((position for position, token in enumerate(ids) if token in stop_ids), None)
    said = ids if end is None else ids[:end]
    text = loaded.processor.tokenizer.decode(said, skip_special_tokens=True)
    return Answer(text=text.strip(), tokens=len(said) + (end is not None), stopped=end is not None)
