"""SmolVLM2: a causal decoder that reads an image as tiles and a small view of the whole.

Layout, as the chat template and `transformers.models.smolvlm.processing_smolvlm` build it, with S tokens a tile:

    <|im_start|>User: image block prompt <end_of_utterance> \\n Assistant: completion <end_of_utterance>
    image block    <fake_token_around_image> <row_1_col_1> <image>*S  ... each tile, a new line after each row ...
                   \\n <fake_token_around_image> <global-img> <image>*S <fake_token_around_image>

An image that fits into one tile has the last line alone, without its new line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from figtune.core.errors import ResourceError
from figtune.models.family import Family, ImageLayout, Processor, PromptTokens, text_ids
from figtune.models.model_files import ImageTextProcessor
from figtune.models.model_parts import DECODER_LAYERS, SIGLIP_LAYERS, LoraLayers, ModelParts
from figtune.models.records import ImageFit

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

_START = "<|im_start|>"
_END = "<end_of_utterance>"
_AROUND_IMAGE = "<fake_token_around_image>"
_GLOBAL_VIEW = "<global-img>"
_IMAGE = "<image>"


@dataclass(kw_only=True)
class TilingProcessor(ImageTextProcessor):
    """Tokenizer and image processor of tiles."""

    image_seq_len: int
    """Image tokens S of a tile."""


class SmolVLM2(Family):
    """See `figtune.models.family.Family`."""

    model_type = "smolvlm"
    display_name = "SmolVLM2"
    examples = (
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
    )
    parts = ModelParts(
        vision_encoder="model.vision_model",
        projector="model.connector",
        text_decoder="model.text_model",
        vision_layers=LoraLayers(path="vision_model.encoder.layers", names=SIGLIP_LAYERS),
        decoder_layers=LoraLayers(path="text_model.layers", names=DECODER_LAYERS),
    )
    processor_packages = ("torchvision", "num2words")
    tokens_vary = True
    completion_lead = " "
    chat_template = (
        "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
        "{% if message['content'] is string %}{{ ' ' + message['content'] | trim }}{% else %}"
        "{% if message['content'][0]['type'] != 'image' %}{{ ' ' }}{% endif %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] | trim }}{% endif %}"
        "{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )

    def read_processor(self, folder: Path) -> Processor:
        """Read both without transformers' own SmolVLMProcessor, which needs torchvision and num2words, for videos."""
        from transformers import AutoTokenizer, SmolVLMImageProcessorPil, SmolVLMProcessor

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        images = SmolVLMImageProcessorPil.from_pretrained(folder)
        settings, _ = SmolVLMProcessor.get_processor_dict(folder)
        if not images.do_image_splitting:
            raise ResourceError(f"the image processor in {folder} does not split images", "give the original model")
        return TilingProcessor(
            tokenizer=tokenizer,
            image_processor=images,
            chat_template=settings.get("chat_template") or tokenizer.chat_template,
            image_seq_len=int(settings["image_seq_len"]),
            folder=folder,
        )

    def image_layout(self, processor: Processor, size: tuple[int, int]) -> ImageLayout:
        """Return S tokens for each tile and for the view of the whole."""
        rows, columns = _grid(processor, size)
        views = rows * columns + (rows * columns > 1)
        return ImageLayout(tokens=views * processor.image_seq_len, grid=(rows, columns))  # type: ignore[attr-defined]

    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return `pixel_values: float32[N, 3, H, W]`, N tiles by row, then the whole, and their mask, bool[N, H, W].

        Tiles keep the proportions of the image up to what fills the last ones: "squash" stretches the image to a whole
        number of them, as the models were trained; "letterbox" adds white borders.
        """
        import torch

        prepared = processor.image_processor([[self.fitted_image(processor, image, fit)]], return_tensors="pt")
        return {
            "pixel_values": torch.as_tensor(prepared["pixel_values"][0], dtype=torch.float32),
            "pixel_attention_mask": torch.as_tensor(prepared["pixel_attention_mask"][0], dtype=torch.bool),
        }

    def grid_side(self, processor: Processor) -> int:
        """Return the side of a tile."""
        return _tile_side(processor)

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt. Attention is causal, so examples about an image share all up to its end."""
        tokenizer = processor.tokenizer
        block = tuple(tokenizer.encode(_image_block(processor, image), add_special_tokens=False))
        start, end = tokenizer.convert_tokens_to_ids([_START, _END])
        shared = (start, *text_ids(processor, "User:"), *block)
        ids = (*shared, *text_ids(processor, prompt.strip()), end, *text_ids(processor, "\nAssistant:"))
        return PromptTokens(
            input_ids=ids,
            bidirectional=(False,) * len(ids),
            image_tokens=len(block),
            shared_prefix_length=len(shared),
        )

    def bidirectional_layers(self, decoder: PreTrainedConfig) -> frozenset[str]:
        """Return none: attention is causal."""
        del decoder
        return frozenset()

    def stop_ids(self, processor: Processor) -> tuple[int, ...]:
        """Return `<end_of_utterance>`."""
        return (processor.tokenizer.convert_tokens_to_ids(_END),)

    def features(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return patches, of which the projector puts several into one token first: no numbers are added by that."""
        tower, projector = model.model.vision_model, model.model.connector
        side, patch = inputs["pixel_values"].shape[-1], model.config.vision_config.patch_size
        within = slice(0, side // patch * patch, patch)
        states = tower(
            pixel_values=inputs["pixel_values"].to(tower.dtype),
            patch_attention_mask=inputs["pixel_attention_mask"][:, within, within].contiguous(),
        ).last_hidden_state
        shuffled: Tensor = projector.pixel_shuffle(states, projector.scale_factor)
        return shuffled.flatten(0, 1)

    def projector_matrix(self, model: PreTrainedModel) -> Tensor:
        """Return the weights of the linear layer, transposed."""
        matrix: Tensor = model.model.connector.modality_projection.proj.weight.T
        return matrix

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `pixel_values: float32[1, N, 3, H, W]` and their mask."""
        return {name: tensor[None] for name, tensor in inputs.items()}


def _image_block(processor: Processor, image: ImageLayout) -> str:
    """Return what stands for the image in the text."""
    tile = _IMAGE * processor.image_seq_len  # type: ignore[attr-defined]
    whole = f"{_AROUND_IMAGE}{_GLOBAL_VIEW}{tile}{_AROUND_IMAGE}"
    rows, columns = image.grid
    if rows * columns == 1:
        return whole
    lines = (
        "".join(f"{_AROUND_IMAGE}<row_{row}_col_{column}>{tile}" for column in range(1, columns + 1)) + "\n"
        for row in range(1, rows + 1)
    )
    return f"{''.join(lines)}\n{whole}"


def _tile_side(processor: Processor) -> int:
    """Return the side of a tile, in pixels."""
    return int(processor.image_processor.max_image_size["longest_edge"])


def _grid(processor: Processor, size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of tiles, by the steps of `SmolVLMImageProcessorPil._preprocess`; (1, 1) for one tile."""
    import numpy as np
    from transformers.models.smolvlm.image_processing_pil_smolvlm import get_resize_output_image_size

    width, height = size
    # Its shape is all that is read of it.
    shape = np.broadcast_to(np.uint8(0), (3, height, width))
    longest = int(processor.image_processor.size["longest_edge"])
    height, width = get_resize_output_image_size(shape, longest)
    side, aspect_ratio = _tile_side(processor), width / height
    if width >= height:
        width = math.ceil(width / side) * side
        height = math.ceil(int(width / aspect_ratio) / side) * side
    else:
        height = math.ceil(height / side) * side
        width = math.ceil(int(height * aspect_ratio) / side) * side
    return max(1, height // side), max(1, width // side)
