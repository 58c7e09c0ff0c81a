"""Gemma 4 with vision, pretrained (pt) and instruction-tuned (it): E2B, E4B and 31B.

An image keeps its proportions: it is resized to the largest grid of squares that has at most as many as were chosen,
and each square is a token. Layout, as `transformers.models.gemma4.processing_gemma4` and the model's chat template
build it:

    it    <bos> <|turn> user \\n <|image> <|image|>*T <image|> prompt <turn|> \\n <|turn> model \\n completion <turn|>
    pt    <bos> <|image> <|image|>*T <image|> \\n prompt \\n completion <eos>

E2B and E4B are causal throughout, let later layers reuse keys and values of earlier ones, and give each layer an
embedding of each token beside its state. In the larger models image tokens attend to each other in both directions
within the window of the sliding layers. Of 26B's mixture of experts LoRA reaches the dense half of each layer alone,
since experts are no linear layers, and 4 bits leave them as they are.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figtune.core.errors import ResourceError
from figtune.models.family import (
    REMEDY,
    SLIDING,
    Family,
    ImageLayout,
    Processor,
    PromptTokens,
    text_ids,
)
from figtune.models.model_files import ImageTextProcessor
from figtune.models.model_parts import DECODER_LAYERS, LoraLayers, ModelParts
from figtune.models.records import ImageFit

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPooling

_TURN_END = "<turn|>"
_PROMPT = "PROMPT"
"""Stands for the prompt where a chat template is taken apart."""


class Gemma4(Family):
    """See `figtune.models.family.Family`."""

    model_type = "gemma4"
    display_name = "Gemma 4"
    examples = (
        "google/gemma-4-E2B",
        "google/gemma-4-E4B",
        "google/gemma-4-E2B-it",
        "google/gemma-4-E4B-it",
    )
    unsupported_dtypes = ("float16",)
    parts = ModelParts(
        vision_encoder="model.vision_tower",
        projector="model.embed_vision",
        text_decoder="model.language_model",
        # Each of these clips what goes into and comes out of the linear layer inside it.
        vision_layers=LoraLayers(
            path="vision_tower.encoder.layers", names=tuple(f"{name}.linear" for name in DECODER_LAYERS)
        ),
        decoder_layers=LoraLayers(path="language_model.layers", names=DECODER_LAYERS),
        unused=("audio_tower", "embed_audio"),
        outside_layers=("model.language_model.per_layer_model_projection",),
    )
    processor_packages = ("torchvision",)
    tokens_vary = True
    image_token_choices = (70, 140, 280, 560, 1120)
    image_tokens_setting = "max_soft_tokens"
    chat_template = (
        "{{ bos_token }}{% for message in messages %}{% if message['content'] is string %}"
        "{{ message['content'] | trim }}"
        "{% else %}{% for part in message['content'] if part['type'] == 'image' %}{{ '<|image|>\n' }}{% endfor %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    )

    def read_processor(self, folder: Path) -> Processor:
        """Read both without transformers' own Gemma4Processor, which needs torchvision."""
        from transformers import AutoTokenizer, Gemma4ImageProcessorPil

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return ImageTextProcessor(
            tokenizer=tokenizer,
            image_processor=Gemma4ImageProcessorPil.from_pretrained(folder),
            chat_template=tokenizer.chat_template,
            folder=folder,
        )

    def image_layout(self, processor: Processor, size: tuple[int, int]) -> ImageLayout:
        """Return rows times columns of the squares that the image is resized to."""
        rows, columns = _grid(processor, size)
        return ImageLayout(tokens=rows * columns, grid=(rows, columns))

    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return P patches, `pixel_values: float32[1, P, N]`, and their columns and rows, `int64[1, P, 2]`.

        P is that of the largest grid; padding is in column and row -1. "squash" stretches the image to whole squares,
        by less than one of them in each direction, as the models were trained; "letterbox" adds white borders.
        """
        import torch

        fitted = self.fitted_image(processor, image, fit)
        prepared = processor.image_processor([fitted], do_resize=fit == "squash", return_tensors="pt")
        return {
            "pixel_values": torch.as_tensor(prepared["pixel_values"], dtype=torch.float32),
            "image_position_ids": torch.as_tensor(prepared["image_position_ids"], dtype=torch.int64),
        }

    def grid_side(self, processor: Processor) -> int:
        """Return the side of the square that a token stands for.

        A server may read the letterboxed image in a row or column more: the default, "squash", is served as trained.
        """
        return _square_side(processor)

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt. The image does not attend to the prompt, so examples about it share it."""
        tokenizer = processor.tokenizer
        template = processor.chat_template
        texts = _template_parts(tokenizer, template if isinstance(template, str) else self.chat_template)
        # Control tokens are meant in them.
        opening, between, closing = (tokenizer.encode(text, add_special_tokens=False) for text in texts)
        soft_token: int = tokenizer.image_token_id
        block = (tokenizer.boi_token_id, *(soft_token,) * image.tokens, tokenizer.eoi_token_id)
        shared = (*opening, *block)
        ids = (*shared, *between, *text_ids(processor, prompt.strip()), *closing)
        return PromptTokens(
            input_ids=ids,
            bidirectional=tuple(token == soft_token for token in ids),
            image_tokens=len(block),
            shared_prefix_length=len(shared),
        )

    def stop_ids(self, processor: Processor) -> tuple[int, ...]:
        """Return `<eos>`, after `<turn|>` for a model that takes turns."""
        tokenizer = processor.tokenizer
        end = tokenizer.convert_tokens_to_ids("<eos>")
        takes_turns = _TURN_END in str(processor.chat_template)
        return (tokenizer.convert_tokens_to_ids(_TURN_END), end) if takes_turns else (end,)

    def features(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return patches pooled to one feature a square, without padding."""
        found: Tensor = model.model.vision_tower(
            pixel_values=inputs["pixel_values"], pixel_position_ids=inputs["image_position_ids"]
        ).last_hidden_state
        return found

    def projector_matrix(self, model: PreTrainedModel) -> Tensor:
        """Return the weights of the linear layer, transposed."""
        matrix: Tensor = model.model.embed_vision.embedding_projection.weight.T
        return matrix

    def projector_inputs(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return features after the norm."""
        norm = model.model.embed_vision.embedding_pre_projection_norm
        normed: Tensor = norm(super().projector_inputs(model, features))
        return normed

    def bidirectional_layers(self, decoder: PreTrainedConfig) -> frozenset[str]:
        """Return the sliding layers for the larger models, and none for E2B and E4B."""
        return frozenset((SLIDING,)) if decoder.use_bidirectional_attention == "vision" else frozenset()

    def decoder_inputs(self, model: PreTrainedModel, input_ids: Tensor, embeddings: Tensor) -> dict[str, Tensor]:
        """Return the per-layer embeddings too, in models that have them: at image tokens, those of padding."""
        inputs = super().decoder_inputs(model, input_ids, embeddings)
        decoder = model.model.language_model
        if not decoder.config.hidden_size_per_layer_input:
            return inputs
        text_ids = input_ids.masked_fill(input_ids == model.config.image_token_id, decoder.config.pad_token_id)
        return {**inputs, "per_layer_inputs": decoder.get_per_layer_inputs(text_ids)}

    def encoder_outputs(self, embeddings: Tensor) -> BaseModelOutputWithPooling:
        """Return embeddings as a list, which the library concatenates."""
        return super().encoder_outputs([embeddings])  # type: ignore[arg-type]

    def token_inputs(self, bidirectional: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Return token types: 1 on image tokens, which only the larger models read."""
        return {"mm_token_type_ids": bidirectional * attention_mask}

    def largest_image(self, processor: Processor) -> tuple[int, int]:
        """Return width and height of an image that takes as many tokens as were chosen, neither more nor fewer."""
        tokens, side = processor.image_processor.max_soft_tokens, _square_side(processor)
        rows = max(rows for rows in range(1, int(tokens**0.5) + 1) if tokens % rows == 0)
        return tokens // rows * side, rows * side

    def without_unused_parts(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """Return the configuration without audio."""
        changed = deepcopy(config)
        changed.audio_config = None
        return changed

    def layer_kinds(self, decoder: PreTrainedConfig) -> Sequence[Hashable]:
        """Return sliding or full attention, whose heads differ in size, and whether keys and values are reused."""
        reused = (mode == "reuse" for mode in decoder.kv_sharing_modes)
        return tuple(zip(decoder.layer_types, reused, strict=True))

    def with_layers(self, config: PreTrainedConfig, layers: Sequence[int]) -> PreTrainedConfig:
        """Return the configuration with some layers; those that reuse keys and values need one that stores them."""
        changed = deepcopy(config)
        decoder = changed.get_text_config()
        kinds = self.layer_kinds(decoder)
        settings: dict[str, Any] = decoder.to_dict()
        exceptions = {int(layer): exception for layer, exception in settings["per_layer_config"].items()}
        settings |= {
            "num_hidden_layers": len(layers),
            "num_kv_shared_layers": sum(kinds[layer][1] for layer in layers),  # type: ignore[index]
            "layer_types": [decoder.layer_types[layer] for layer in layers],
            "per_layer_config": {index: exceptions[layer] for index, layer in enumerate(layers) if layer in exceptions},
        }
        changed.text_config = type(decoder)(**settings)
        return changed


@lru_cache(maxsize=8)
def _template_parts(tokenizer: Any, template: str) -> tuple[str, str, str]:
    """Return the texts before the image, between image and prompt, and after the prompt."""
    content = [{"type": "image"}, {"type": "text", "text": _PROMPT}]
    rendered: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=template, add_generation_prompt=True, tokenize=False
    )
    before, image, rest = rendered.partition(tokenizer.image_token)
    between, prompt, after = rest.partition(_PROMPT)
    if not image or not prompt:
        raise ResourceError("the chat template of the model has no place for an image", REMEDY)
    return before, between, after


def _square_side(processor: Processor) -> int:
    """Return the side of the square that a token stands for, in pixels."""
    images = processor.image_processor
    return int(images.patch_size * images.pooling_kernel_size)


def _grid(processor: Processor, size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the squares that an image is resized to."""
    from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

    images, side = processor.image_processor, _square_side(processor)
    height, width = get_aspect_ratio_preserving_size(
        height=size[1],
        width=size[0],
        patch_size=images.patch_size,
        max_patches=images.max_soft_tokens * images.pooling_kernel_size**2,
        pooling_kernel_size=images.pooling_kernel_size,
    )
    return height // side, width // side
