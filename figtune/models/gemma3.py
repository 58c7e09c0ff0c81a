"""Gemma 3 with vision, pretrained (pt) and instruction-tuned (it).

Layout, as `transformers.models.gemma3.processing_gemma3` builds it:
`<bos> \\n\\n <start_of_image> <image_soft_token>*T <end_of_image> \\n\\n prompt \\n completion <eos>`. The it models
wrap it in turns and end on `<end_of_turn>`, as their chat template does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from figtune.models.family import PROJECTOR, Prefix, are_pixels, text_ids
from figtune.models.support import GEMMA3

_IMAGE = 1
"""Token type of the image's soft tokens: a run of them is one block that sees all of itself."""


_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['content'] is string %}{{ message['content'] | trim }}"
    "{% else %}{% for part in message['content'] if part['type'] == 'image' %}<start_of_image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
)
"""The processor itself sets the image's markers and soft tokens between empty lines."""


class Gemma3:
    """See `figtune.models.family.Family`."""

    support = GEMMA3
    title = GEMMA3.title
    completion_type = 0
    mutual_type = _IMAGE
    first_position = 0
    chat_template = _TEMPLATE

    def prefix(self, processor: ProcessorMixin, prompt: str) -> Prefix:
        """Image block and prompt. The image is blind to the prompt: examples about it can share all up to its end."""
        tokenizer = processor.tokenizer
        soft_tokens = (tokenizer.image_token_id,) * processor.image_seq_length  # type: ignore[attr-defined]
        image = (tokenizer.boi_token_id, *soft_tokens, tokenizer.eoi_token_id)
        text = f"\n\n{prompt.strip()}"
        shared = (tokenizer.bos_token_id, *_opening(processor), *image)
        ids = (*shared, *text_ids(processor, text), *_closing(processor))
        types = tuple(_IMAGE if token == tokenizer.image_token_id else 0 for token in ids)
        return Prefix(input_ids=ids, token_type_ids=types, image_tokens=len(image), shared_length=len(shared))

    def stop_ids(self, processor: ProcessorMixin) -> tuple[int, ...]:
        """`<eos>`; `<end_of_turn>` first for a model that takes turns."""
        tokenizer = processor.tokenizer
        end = tokenizer.convert_tokens_to_ids("<eos>")
        return (_turn_ends(tokenizer), end) if _takes_turns(processor) else (end,)

    def pixel_values(self, processor: ProcessorMixin, images: Sequence[Image.Image]) -> Tensor:
        """One view per image: pan-and-scan would add crops and their tokens."""
        nested = [[image] for image in images]
        prepared = processor.image_processor(nested, do_pan_and_scan=False, return_tensors="pt")
        return torch.as_tensor(prepared["pixel_values"], dtype=torch.float32)

    def vision_features(self, model: PreTrainedModel, pixel_values: Tensor) -> Tensor:
        """Patches pooled as the projector does first thing: a sixteenth of the numbers to keep, for the real model."""
        tower = model.model.vision_tower
        patches = tower(pixel_values=pixel_values.to(tower.dtype)).last_hidden_state
        projector = getattr(model.model, PROJECTOR)
        side = projector.patches_per_image
        squares = patches.transpose(1, 2).reshape(len(patches), -1, side, side).contiguous()
        pooled: Tensor = projector.avg_pool(squares).flatten(2).transpose(1, 2)
        return pooled

    def image_embeddings(self, model: PreTrainedModel, seen: Tensor) -> Tensor:
        """Norm and projection, in the projector's own dtype: float32 where it is trained."""
        features = self.vision_features(model, seen) if are_pixels(seen) else seen
        projector = getattr(model.model, PROJECTOR)
        weight: Tensor = projector.mm_input_projection_weight
        return torch.matmul(projector.mm_soft_emb_norm(features.to(weight.dtype)), weight)


def _takes_turns(processor: ProcessorMixin) -> bool:
    return "<start_of_turn>" in (getattr(processor, "chat_template", None) or "")


def _turn_ends(tokenizer: object) -> int:
    return int(tokenizer.convert_tokens_to_ids("<end_of_turn>"))  # type: ignore[attr-defined]


def _opening(processor: ProcessorMixin) -> tuple[int, ...]:
    """What stands between `<bos>` and the image. Newlines in a row are one token: they are encoded together."""
    if not _takes_turns(processor):
        return text_ids(processor, "\n\n")
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (start, *text_ids(processor, "user\n\n\n"))


def _closing(processor: ProcessorMixin) -> tuple[int, ...]:
    """What stands between the prompt and the completion."""
    newline = text_ids(processor, "\n")
    if not _takes_turns(processor):
        return newline
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (_turn_ends(processor.tokenizer), *newline, start, *text_ids(processor, "model\n"))
