"""PaliGemma and PaliGemma 2.

Layout, as `transformers.models.paligemma.processing_paligemma` builds it:
`<image>*T <bos> prompt \\n completion <eos>`. Image and prompt see all of each other; the completion sees what is
before it. Which is which is said by the token types: without them the prompt would see the completion, and the loss
would measure copying.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from figtune.models.family import PROJECTOR, Prefix, are_pixels, text_ids
from figtune.models.support import PALIGEMMA

_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] | trim }}"
    "{% else %}{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
"""The processor itself repeats the image's token, and sets `<bos>` after it and a new line at the end."""


class PaliGemma:
    """See `figtune.models.family.Family`."""

    support = PALIGEMMA
    title = PALIGEMMA.title
    completion_type = 1
    mutual_type = 0
    first_position = 1
    chat_template = _TEMPLATE

    def prefix(self, processor: ProcessorMixin, prompt: str) -> Prefix:
        """Image block and prompt. The image sees the prompt: what it says under one prompt is of no use to another."""
        image = (processor.image_token_id,) * processor.image_seq_length  # type: ignore[attr-defined]
        ids = (*image, processor.tokenizer.bos_token_id, *text_ids(processor, f"{prompt.strip()}\n"))
        return Prefix(input_ids=ids, token_type_ids=(0,) * len(ids), image_tokens=len(image), shared_length=0)

    def stop_ids(self, processor: ProcessorMixin) -> tuple[int, ...]:
        """`<eos>`"""
        return (processor.tokenizer.eos_token_id,)

    def pixel_values(self, processor: ProcessorMixin, images: Sequence[Image.Image]) -> Tensor:
        """One view per image."""
        prepared = processor.image_processor(list(images), return_tensors="pt")
        return torch.as_tensor(prepared["pixel_values"], dtype=torch.float32)

    def vision_features(self, model: PreTrainedModel, pixel_values: Tensor) -> Tensor:
        """One row of numbers per patch."""
        tower = model.model.vision_tower
        features: Tensor = tower(pixel_values=pixel_values.to(tower.dtype)).last_hidden_state
        return features

    def image_embeddings(self, model: PreTrainedModel, seen: Tensor) -> Tensor:
        """A linear layer, in its own dtype: float32 where it is trained."""
        features = self.vision_features(model, seen) if are_pixels(seen) else seen
        projector = getattr(model.model, PROJECTOR)
        embeddings: Tensor = projector(features.to(projector.linear.weight.dtype))
        return embeddings
