"""Gemma 3 with vision, pretrained (pt) and instruction-tuned (it).

Layout, as `transformers.models.gemma3.processing_gemma3` builds it:
`<bos> \\n\\n <start_of_image> <image_soft_token>*T <end_of_image> \\n\\n prompt \\n completion <eos>`. The it models
wrap it in turns and end on `<end_of_turn>`, as their chat template does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from figtune.models.family import Family, ImageLayout, Processor, PromptTokens, fit_to_square, text_ids
from figtune.models.records import ImageFit

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedModel


class Gemma3(Family):
    """See `figtune.models.family.Family`."""

    model_type = "gemma3"
    display_name = "Gemma 3"
    examples: tuple[str, ...] = (
        "google/gemma-3-4b-pt",
        "google/gemma-3-12b-pt",
        "google/gemma-3-27b-pt",
        "google/gemma-3-4b-it",
    )
    unsupported_dtypes = ("float16",)
    converts_to_gguf = True
    # The processor itself sets the image's markers and soft tokens between empty lines.
    chat_template = (
        "{{ bos_token }}{% for message in messages %}{% if message['content'] is string %}"
        "{{ message['content'] | trim }}"
        "{% else %}{% for part in message['content'] if part['type'] == 'image' %}<start_of_image>{% endfor %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    )

    def gguf_template(self, processor: Processor) -> str:
        """Return the layout of training: empty lines around the image, and turns for a model that takes turns."""
        before, after, end = _turn(processor)
        return (
            "{{ bos_token }}{% for message in messages %}{% set text = message['content'] %}"
            f"{{% if message['role'] == 'assistant' %}}{{{{ text | trim }}}}{end}{{% else %}}{before}"
            "{% if '<__media' in text %}"
            "{% set rest = text.split('<__media', 1) %}{% set parts = rest[1].split('__>', 1) %}"
            "{{ '\n\n<__media' + parts[0] + '__>\n\n' }}{% set text = rest[0] + parts[1] %}"
            f"{{% endif %}}{{{{ text | trim }}}}{after}{{% endif %}}{{% endfor %}}"
        )

    def ollama_template(self, processor: Processor) -> str:
        """Return the same for Ollama, which sets "[img-0]" before the prompt.

        Its own protocol sets it there without a break; of the OpenAI protocol it joins image and text by an empty line.
        """
        before, after, end = _turn(processor)
        end = end.replace("{{ eos_token }}", "<eos>")
        return (
            f'{{{{ range .Messages }}}}{{{{ if eq .Role "assistant" }}}}{{{{ .Content }}}}{end}{{{{ else }}}}{before}'
            '{{ if and (gt (len .Content) 9) (eq (slice .Content 0 7) "[img-0]") }}\n\n[img-0]'
            '{{ if ne (slice .Content 7 9) "\\n\\n" }}\n\n{{ end }}{{ slice .Content 7 }}'
            f"{{{{ else }}}}{{{{ .Content }}}}{{{{ end }}}}{after}{{{{ end }}}}{{{{ end }}}}"
        )

    def image_layout(self, processor: Processor, size: tuple[int, int]) -> ImageLayout:
        """Return 256 tokens for any image (of the real models)."""
        del size
        return ImageLayout(tokens=processor.image_seq_length)  # type: ignore[attr-defined]

    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return `pixel_values: float32[1, 3, H, W]`, one view: pan-and-scan would add crops and their tokens."""
        import torch

        square = fit_to_square(image, fit, processor.image_processor.size["height"])
        prepared = processor.image_processor([[square]], do_pan_and_scan=False, return_tensors="pt")
        return {"pixel_values": torch.as_tensor(prepared["pixel_values"], dtype=torch.float32)}

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt. The image does not attend to the prompt, so examples about it share it."""
        tokenizer = processor.tokenizer
        soft_token: int = tokenizer.image_token_id
        block = (tokenizer.boi_token_id, *(soft_token,) * image.tokens, tokenizer.eoi_token_id)
        shared = (tokenizer.bos_token_id, *_opening(processor), *block)
        ids = (*shared, *text_ids(processor, f"\n\n{prompt.strip()}"), *_closing(processor))
        return PromptTokens(
            input_ids=ids,
            bidirectional=tuple(token == soft_token for token in ids),
            image_tokens=len(block),
            shared_prefix_length=len(shared),
        )

    def stop_ids(self, processor: Processor) -> tuple[int, ...]:
        """Return `<eos>`, after `<end_of_turn>` for a model that takes turns."""
        tokenizer = processor.tokenizer
        end = tokenizer.convert_tokens_to_ids("<eos>")
        return (_turn_ends(tokenizer), end) if _takes_turns(processor) else (end,)

    def features(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return patches pooled as the projector does first: a sixteenth of the numbers to keep, for the real model."""
        tower = model.model.vision_tower
        patches = tower(pixel_values=inputs["pixel_values"].to(tower.dtype)).last_hidden_state
        projector = model.model.multi_modal_projector
        side = projector.patches_per_image
        squares = patches.transpose(1, 2).reshape(len(patches), -1, side, side).contiguous()
        pooled: Tensor = projector.avg_pool(squares).flatten(2).transpose(1, 2).flatten(0, 1)
        return pooled

    def embeddings(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return norm and projection."""
        projector = model.model.multi_modal_projector
        weight: Tensor = projector.mm_input_projection_weight
        embedded: Tensor = projector.mm_soft_emb_norm(features.to(weight.dtype)) @ weight
        return embedded

    def token_inputs(self, bidirectional: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Return token types: 1 on soft tokens, each run of which is one bidirectional block."""
        return {"token_type_ids": bidirectional * attention_mask}


def _takes_turns(processor: Processor) -> bool:
    return "<start_of_turn>" in (processor.chat_template or "")


def _turn(processor: Processor) -> tuple[str, str, str]:
    """Return the text before a request, after it, and after an answer, in templates."""
    if _takes_turns(processor):
        return "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n"
    return "", "\n", "{{ eos_token }}"


def _turn_ends(tokenizer: object) -> int:
    return int(tokenizer.convert_tokens_to_ids("<end_of_turn>"))  # type: ignore[attr-defined]


def _opening(processor: Processor) -> tuple[int, ...]:
    """Return the tokens between `<bos>` and the image. Newlines in a row are one token, so they go together."""
    if not _takes_turns(processor):
        return text_ids(processor, "\n\n")
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (start, *text_ids(processor, "user\n\n\n"))


def _closing(processor: Processor) -> tuple[int, ...]:
    """Return the tokens between the prompt and the completion."""
    newline = text_ids(processor, "\n")
    if not _takes_turns(processor):
        return newline
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (_turn_ends(processor.tokenizer), *newline, start, *text_ids(processor, "model\n"))
