"""Answers, in batches padded on the left, each the same as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.batches.collation import generation_batch
from figtune.batches.rows import prompt_row
from figtune.inference.decoding import Decoding, drawing
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
    features: Tensor,
    decoding: Decoding,
    streamer: BaseStreamer | None = None,
) -> list[Answer]:
    """Answer each prompt about its image.

    With the tuned model, or with the base model inside `loaded.tuned.disable_adapter()`.

    Args:
        prompts: B of them.
        features: float[B, T, V], what the vision encoder sees in each prompt's image; or pixels, float32[B, 3, H, W].
        streamer: gets the prompts' tokens first, then int64[B] every time that each answer has one token more.
    """
    stop_ids = loaded.family.stop_ids(loaded.processor)
    pad_id = loaded.processor.tokenizer.pad_token_id
    rows = [prompt_row(loaded.family, loaded.processor, prompt) for prompt in prompts]
    batch = generation_batch(rows, pad_id).to(loaded.device)
    embeddings = loaded.family.image_embeddings(loaded.model, features.to(loaded.device))
    # The model's own settings ask for sampling, and would be mixed into those of a single call.
    loaded.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=decoding.max_new_tokens, eos_token_id=list(stop_ids), pad_token_id=pad_id
    )
    generated = loaded.model.generate(  # type: ignore[operator]
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
        logits_processor=drawing(decoding, prompts, features),
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
