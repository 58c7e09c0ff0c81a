"""Gemma 3 with vision, pretrained (pt) and instruction-tuned (it).

Layout, as `transformers.models.gemma3.processing_gemma3` builds it:
`<bos> \\n\\n <start_of_image> <image_soft_token>*T <end_of_image> \\n\\n prompt \\n completion <eos>`. The it models
wrap it in turns and end on `<end_of_turn>`, as their chat template does.

With --model.tiles a wide or tall image is read whole and again in tiles, pan and scan as the library has it. Each view
has markers and T soft tokens of its own, an I here:

    Here is the original image \\n\\n I \\n\\n and here are some crops to help you see better
    \\n\\n I \\n\\n \\n\\n I \\n\\n prompt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from figtune.models.family import Family, ImageLayout, Processor, PromptTokens, fit_to_size, text_ids
from figtune.models.records import ImageFit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedModel

_BEFORE_WHOLE = "Here is the original image "
_BEFORE_TILES = "\n\n and here are some crops to help you see better \n\n"
_BETWEEN_TILES = "\n\n \n\n"


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
    tile_settings = MappingProxyType(
        {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 256, "pan_and_scan_min_ratio_to_activate": 1.2}
    )
    tiles_setting = "pan_and_scan_max_num_crops"
    converts_to_gguf = True
    # The processor itself sets the image's markers and soft tokens between empty lines.
    chat_template = (
        "{{ bos_token }}{% for message in messages %}{% if message['content'] is string %}"
        "{{ message['content'] | trim }}"
        "{% else %}{% for part in message['content'] if part['type'] == 'image' %}<start_of_image>{% endfor %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    )

    def tokens_depend_on_size(self, processor: Processor) -> bool:
        """Return True where images are cut into tiles."""
        return bool(processor.image_processor.do_pan_and_scan)

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
        """Return 256 tokens (of the real models) for the image, and as many for each tile."""
        import numpy as np

        # Its shape is all that is read of it.
        tiles = len(_tiles(processor, np.broadcast_to(np.uint8(0), (3, size[1], size[0]))))
        return ImageLayout(tokens=(1 + tiles) * processor.image_seq_length)  # type: ignore[attr-defined]

    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return `pixel_values: float32[N, 3, H, W]`: the whole image, then its tiles, each fitted to the square."""
        import numpy as np
        import torch
        from PIL import Image as PillowImage

        tiles = (
            _tiles(processor, np.moveaxis(np.asarray(image), -1, 0)) if self.tokens_depend_on_size(processor) else ()
        )
        views = [image, *(PillowImage.fromarray(np.ascontiguousarray(np.moveaxis(tile, 0, -1))) for tile in tiles)]
        side = processor.image_processor.size["height"]
        squares = [fit_to_size(view, fit, (side, side)) for view in views]
        prepared = processor.image_processor([squares], do_pan_and_scan=False, return_tensors="pt")
        return {"pixel_values": torch.as_tensor(prepared["pixel_values"], dtype=torch.float32)}

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt. The image does not attend to the prompt, so examples about it share it."""
        tokenizer = processor.tokenizer
        soft_token: int = tokenizer.image_token_id
        each = processor.image_seq_length  # type: ignore[attr-defined]
        block = (tokenizer.boi_token_id, *(soft_token,) * each, tokenizer.eoi_token_id)
        views = image.tokens // each
        opening = (tokenizer.bos_token_id, *_opening(processor, _BEFORE_WHOLE if views > 1 else ""))
        shared = (*opening, *block)
        for tile in range(views - 1):
            shared += (*text_ids(processor, _BETWEEN_TILES if tile else _BEFORE_TILES), *block)
        ids = (*shared, *text_ids(processor, f"\n\n{prompt.strip()}"), *_closing(processor))
        return PromptTokens(
            input_ids=ids,
            bidirectional=tuple(token == soft_token for token in ids),
            image_tokens=len(shared) - len((tokenizer.bos_token_id, *_opening(processor))),
            shared_prefix_length=len(shared),
        )

    def largest_image(self, processor: Processor) -> tuple[int, int]:
        """Return width and height of an image that is cut into as many tiles as can be."""
        if not self.tokens_depend_on_size(processor):
            return super().largest_image(processor)
        images = processor.image_processor
        side: int = images.pan_and_scan_min_crop_size
        return images.pan_and_scan_max_num_crops * side, side

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

    def projector_matrix(self, model: PreTrainedModel) -> Tensor:
        """Return it as it is."""
        matrix: Tensor = model.model.multi_modal_projector.mm_input_projection_weight
        return matrix

    def projector_inputs(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return features after the norm."""
        normed: Tensor = model.model.multi_modal_projector.mm_soft_emb_norm(super().projector_inputs(model, features))
        return normed

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


def _tiles(processor: Processor, pixels: NDArray[np.uint8]) -> Sequence[NDArray[np.uint8]]:
    """Return the tiles of an image, uint8[3, H, W], as the library cuts them; none where none are to be cut."""
    images = processor.image_processor
    if not images.do_pan_and_scan:
        return ()
    tiles: list[NDArray[np.uint8]] = images.pan_and_scan(
        pixels,
        pan_and_scan_min_crop_size=images.pan_and_scan_min_crop_size,
        pan_and_scan_max_num_crops=images.pan_and_scan_max_num_crops,
        pan_and_scan_min_ratio_to_activate=images.pan_and_scan_min_ratio_to_activate,
    )
    return tiles


def _opening(processor: Processor, lead: str = "") -> tuple[int, ...]:
    """Return the tokens between `<bos>` and the image. Newlines in a row are one token, so they go together."""
    if not _takes_turns(processor):
        return text_ids(processor, f"{lead}\n\n")
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (start, *text_ids(processor, f"user\n{lead}\n\n"))


def _closing(processor: Processor) -> tuple[int, ...]:
    """Return the tokens between the prompt and the completion."""
    newline = text_ids(processor, "\n")
    if not _takes_turns(processor):
        return newline
    start = processor.tokenizer.convert_tokens_to_ids("<start_of_turn>")
    return (_turn_ends(processor.tokenizer), *newline, start, *text_ids(processor, "model\n"))
