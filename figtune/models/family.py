"""The contract of a model family: everything that differs between vision-language models, in one class.

A family is one file beside this one, a subclass of `Family`, and one entry in `families.py`. Nothing outside
`figtune.models` names a module, a layer, a token or an input of a particular model. The file imports torch and
transformers inside its methods only: what can be refused before weights are loaded is checked without them.

What a family states:

- identity: `model_type`, `display_name`, `examples`, `unsupported_dtypes`;
- `parts`: module paths of vision encoder, projector and text decoder, and the linear layers that LoRA names mean in
  each;
- images: `image_layout` (image tokens of an image of a given size), `image_inputs` (the tensors that the vision encoder
  takes; those of several images are concatenated on the first axis, never stacked), `features` (float[T, V], T image
  tokens before the projector, what is cached), `embeddings` (float[T, D], what the decoder reads in place of image
  tokens, by `projector_matrix`), `image_settings` (by which their number is chosen) and `fitted_image` for servers;
- text: `tokenize` (image block and prompt), `completion_lead`, `stop_ids`, `chat_template`; where `converts_to_gguf`,
  `gguf_template` and `ollama_template`;
- attention: `PromptTokens.bidirectional` marks runs of tokens that attend to each other in both directions, a block for
  each run; in the layer types that `bidirectional_layers` returns a token attends to those before it OR to those of its
  block, in all others causally; sliding layers bound what is causal, and where `window_bounds_blocks` the block too;
- positions: `positions`, one axis of rotary positions, or three for M-RoPE;
- the library: `decoder_inputs` of the text decoder; `encoder_outputs`, `token_inputs` and `pixel_inputs`, arguments of
  transformers' own `forward` and `generate`, and `read_processor` where AutoProcessor does not do;
- memory: `layer_kinds` and `with_layers`, by which a decoder is estimated from a few of its layers.

The defaults hold for a SigLIP encoder, a projector and a Gemma-like decoder with layers of one size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from figtune.core.errors import ResourceError, UsageError
from figtune.models.model_parts import SIGLIP_GEMMA_PARTS, ModelParts
from figtune.models.records import Dtype, ImageFit

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPooling

IGNORE_INDEX = -100
"""Label of a token that takes no part in the loss."""
FEATURES = "features"
"""Name of cached features, float[T, V], where an image's tensors are not those of `image_inputs`."""
REMEDY = "download the model again; if it is one that this program made, make it again with --force"
"""Advice for a model's files that cannot be read."""
FULL = "full_attention"
SLIDING = "sliding_attention"
"""Layer types, as `layer_types` of a text decoder's configuration names them."""


class Processor(Protocol):
    """Tokenizer and image processor of a model, as transformers' ProcessorMixin has them."""

    # The attributes that are read of these, such as the ids of image tokens, differ from model to model.
    tokenizer: Any
    image_processor: Any
    chat_template: str | dict[str, str] | None

    def save_pretrained(self, save_directory: str | Path) -> object:
        """Write the files that it was read from into a folder."""
        ...


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """Image tokens of one image."""

    tokens: int
    """Image tokens T, markers not included."""
    grid: tuple[int, ...] = ()
    """Rows and columns of tiles or patches, in families where they vary."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageInputs:
    """One image as a model takes it."""

    layout: ImageLayout
    tensors: dict[str, Tensor]
    """`{"features": float[T, V]}`, or the tensors of `Family.image_inputs`."""


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """Image block and prompt of one example."""

    input_ids: tuple[int, ...]
    """int[L]"""
    bidirectional: tuple[bool, ...]
    """bool[L], true where a token attends to all others of its run of true ones."""
    image_tokens: int
    """Tokens that stand for the image, its markers included, rather than for text."""
    shared_prefix_length: int
    """Length of the causal prefix shared by all examples of one image; 0 where the image attends to the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizedExample:
    """One example as the model reads it, without its pixels: image block and prompt, then completion and stop token."""

    input_ids: Sequence[int]
    """int[L]"""
    bidirectional: Sequence[int]
    """bool[L], true where a token attends to all others of its run of true ones."""
    prompt_length: int
    """Tokens that are read; the others are targets."""
    shared_prefix_length: int
    """Length of the causal prefix shared by all examples of one image."""
    image: ImageLayout
    truncated: bool = False
    """True where the completion was longer than the maximum length."""
    target_weights: Sequence[float] | None = None
    """Weight of each target token in the loss; None for 1."""

    @property
    def labels(self) -> tuple[int, ...]:
        """`int[L]`: the completion and its stop token; IGNORE_INDEX before them."""
        return (*(IGNORE_INDEX,) * self.prompt_length, *self.input_ids[self.prompt_length :])

    @property
    def num_target_tokens(self) -> int:
        """Number of tokens that the loss is taken over."""
        return len(self.input_ids) - self.prompt_length


def fit_to_size(image: Image.Image, fit: ImageFit, size: tuple[int, int]) -> Image.Image:
    """Return an RGB image as an image processor that resizes to `size`, width and height in pixels, should get it:
    for "letterbox" of that size, with white borders and its proportions kept; for "squash" as it is.
    """
    from figtune.core.image_decoding import letterbox

    return image if fit == "squash" else letterbox(image, size)


class Family(ABC):
    """A kind of model; see the contract at the top of this file."""

    model_type: str
    """`model_type` of its `config.json`."""
    display_name: str
    """Name in messages and reports."""
    examples: tuple[str, ...]
    """Hub ids of models of this family."""
    unsupported_dtypes: tuple[Dtype, ...] = ()
    """Dtypes in which the model overflows."""
    parts: ModelParts = SIGLIP_GEMMA_PARTS
    chat_template: str
    """Jinja: a conversation of one image and one prompt, laid out as `tokenize` does, for models without one."""
    first_position: int = 0
    """Position id of a row's first token."""
    vision_depth: str = "num_hidden_layers"
    """Name of the number of layers in `vision_config`."""
    tokens_vary: bool = False
    """True where the number of image tokens always depends on the size of the image."""
    image_token_choices: tuple[int, ...] = ()
    """Values of --model.image_tokens, in families where an image takes as many tokens as are chosen, at most."""
    image_tokens_setting: str = ""
    """Setting of the image processor that holds the choice."""
    tile_settings: Mapping[str, bool | int | float] = MappingProxyType({})
    """Settings of the image processor that cut an image into tiles, in families that do so by choice."""
    tiles_setting: str = ""
    """Setting of the image processor that holds the most tiles."""
    window_bounds_blocks: bool = True
    """True in sliding layers for `window AND (causal OR block)`, False for `(window AND causal) OR block`."""
    completion_lead: str = ""
    """Text between prompt and completion that is tokenized with the completion."""

    converts_to_gguf: bool = False
    """True where llama.cpp reads the merged model, tried with its converter and its server."""
    processor_packages: tuple[str, ...] = ()
    """Packages that transformers' own processor needs and this project does not."""

    def image_settings(self, image_tokens: int, tiles: int, own: Processor | None = None) -> dict[str, float]:
        """Return settings of the trained model's image processor: a number of image tokens and of tiles, none for 0.

        Tiles that the base model's `own` processor cuts unasked are switched off.

        Raises:
            UsageError: the family has no such number, or no tiles.
        """
        if tiles and not self.tiles_setting:
            raise UsageError(
                f"{self.display_name} does not cut images into tiles by choice", "leave --model.tiles at 0"
            )
        settings: dict[str, float] = {**self.tile_settings, self.tiles_setting: tiles} if tiles else {}
        if own is not None and not tiles:
            settings = {name: False for name in self.tile_settings if getattr(own.image_processor, name, None) is True}
        if not image_tokens:
            return settings
        if image_tokens not in self.image_token_choices:
            choices = ", ".join(map(str, self.image_token_choices))
            raise UsageError(
                f"{self.display_name} cannot read an image as {image_tokens} tokens",
                f"choose --model.image_tokens from: 0, {choices}" if choices else "leave --model.image_tokens at 0",
            )
        return {**settings, self.image_tokens_setting: image_tokens}

    def tokens_depend_on_size(self, processor: Processor) -> bool:
        """Return True where the number of image tokens depends on the size of the image."""
        del processor
        return self.tokens_vary

    def grid_side(self, processor: Processor) -> int:
        """Return the side, in pixels, of the squares that `ImageLayout.grid` counts; 0 in families without a grid."""
        del processor
        return 0

    def check_dtype(self, dtype: Dtype) -> None:
        """Refuse a dtype in which the family overflows.

        Raises:
            UsageError: it does.
        """
        if dtype in self.unsupported_dtypes:
            raise UsageError(
                f"{self.display_name} overflows in {dtype}: its losses become NaN and its answers empty",
                "choose --model.dtype bfloat16 or float32",
            )

    def load_processor(self, folder: Path) -> Processor:
        """Load tokenizer and image processor of a model's folder.

        Raises:
            ResourceError: the folder has none that can be read.
        """
        from figtune.models.quiet import damage_explained

        with damage_explained(f"{folder} has no processor that can be read", REMEDY):
            return self.read_processor(folder)

    def read_processor(self, folder: Path) -> Processor:
        """Read tokenizer and image processor; `load_processor` explains whatever this raises."""
        from transformers import AutoProcessor, ProcessorMixin

        # The image processor on torchvision is faster, but torchvision is one more package to match with torch.
        processor = AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)  # type: ignore[no-untyped-call]
        if not isinstance(processor, ProcessorMixin):
            raise ResourceError(
                f"{folder} has no image processor beside its tokenizer", "give a model that sees images"
            )
        return processor

    @abstractmethod
    def image_layout(self, processor: Processor, size: tuple[int, int]) -> ImageLayout:
        """Return the image tokens of an image, without reading its pixels.

        Args:
            size: width and height of the upright image, in pixels.
        """

    @abstractmethod
    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return an RGB image as the vision encoder takes it, each tensor to be concatenated on its first axis.

        Args:
            fit: "letterbox" keeps the proportions with white borders, "squash" fills the encoder's square.
        """

    @abstractmethod
    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt, tokenized apart from any completion."""

    def gguf_template(self, processor: Processor) -> str:
        """Return a chat template for llama.cpp that lays a conversation out as `tokenize` does; if it can be converted.

        llama.cpp sets a marker of its own, `<__media...__>`, into the text where the image was given, and replaces it
        by the image's tokens and their markers, without newlines.
        """
        raise NotImplementedError

    def ollama_template(self, processor: Processor) -> str:
        """Return the same for Ollama, in the language of Go's text/template."""
        raise NotImplementedError

    @abstractmethod
    def stop_ids(self, processor: Processor) -> tuple[int, ...]:
        """Return the tokens that end an answer; the first is the one that training appends."""

    @abstractmethod
    def features(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what the vision encoder makes of images, just before the projector: float[T, V], T over all images."""

    def embeddings(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return what the decoder reads in place of image tokens, float[T, D], of `features`: float[T, V].

        Computed in the projector's own dtype: float32 where it is trained.
        """
        return self.projector_inputs(model, features) @ self.projector_matrix(model)

    @abstractmethod
    def projector_matrix(self, model: PreTrainedModel) -> Tensor:
        """Return the projector's only matrix, float[V, D]: a view of its weights."""

    def projector_inputs(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return what the projector multiplies by its matrix, float[T, V], of `features`: float[T, V]."""
        return features.to(self.projector_matrix(model).dtype)

    def image_embeddings(self, model: PreTrainedModel, images: Mapping[str, Tensor]) -> Tensor:
        """Return the embeddings, float[T, D], of images given by cached features or by the encoder's inputs."""
        features = images[FEATURES] if FEATURES in images else self.features(model, images)
        return self.embeddings(model, features)

    def decoder_inputs(self, model: PreTrainedModel, input_ids: Tensor, embeddings: Tensor) -> dict[str, Tensor]:
        """Return `inputs_embeds: float[B, L, D]` of `input_ids: int64[B, L]` and images' embeddings, float[T, D].

        The library's own forward pass does the same, and waits for the device to compare their numbers.
        """
        from torch import nonzero_static

        is_image = input_ids == model.config.image_token_id
        embedded: Tensor = model.get_input_embeddings()(input_ids.masked_fill(is_image, 0))
        places = nonzero_static(is_image, size=len(embeddings)).unbind(1)
        return {"inputs_embeds": embedded.index_put(places, embeddings.to(embedded.dtype))}

    def bidirectional_layers(self, decoder: PreTrainedConfig) -> frozenset[str]:
        """Return the layer types of a text decoder in which `PromptTokens.bidirectional` counts; others are causal."""
        del decoder
        return frozenset((FULL, SLIDING))

    def fitted_image(self, processor: Processor, image: Image.Image, fit: ImageFit) -> Image.Image:
        """Return an RGB image as a server should get it: the encoder's square, so that no server resizes it its way.

        Where the number of image tokens depends on its size, the image as it is, which the server's processor resizes;
        with white borders up to the grid's whole squares for "letterbox".
        """
        if self.tokens_depend_on_size(processor):
            if not (side := self.grid_side(processor)):
                return image
            rows, columns = self.image_layout(processor, image.size).grid
            return fit_to_size(image, fit, (columns * side, rows * side))
        square = processor.image_processor
        side = int(square.size["height"])
        fitted = fit_to_size(image, fit, (side, side))
        return fitted if fitted.size == (side, side) else fitted.resize((side, side), square.resample)

    def positions(self, example: TokenizedExample) -> tuple[Sequence[int], ...]:
        """Return the rotary positions of an example that stands alone: int[A, L], A = 1, or 3 for M-RoPE."""
        return (range(self.first_position, self.first_position + len(example.input_ids)),)

    def encoder_outputs(self, embeddings: Tensor) -> BaseModelOutputWithPooling:
        """Return embeddings of images, float[T, D], as the library takes them in place of pixels."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(pooler_output=embeddings)

    def token_inputs(self, bidirectional: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Return what the library's own `forward` and `generate` take besides ids and `attention_mask`.

        Both arguments are [B, L]; the mask is int64, 0 on padding.
        """
        del bidirectional, attention_mask
        return {}

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `image_inputs` of one image as the library's own `forward` takes them, for a batch of one row."""
        return dict(inputs)

    def largest_image(self, processor: Processor) -> tuple[int, int]:
        """Return width and height of an image that takes the most image tokens: a square one, in most families."""
        del processor
        return (64, 64)

    def without_vision_layers(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """Return the configuration of the same model with a vision encoder of no layers: of no size when loaded."""
        changed = deepcopy(config)
        setattr(changed.vision_config, self.vision_depth, 0)
        return changed

    def without_unused_parts(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """Return the configuration of the same model without `ModelParts.unused`."""
        return config

    def layer_kinds(self, decoder: PreTrainedConfig) -> Sequence[Hashable]:
        """Return a kind for each layer of a text decoder: layers of one kind take the same memory."""
        layers: int = decoder.num_hidden_layers
        return (None,) * layers

    def with_layers(self, config: PreTrainedConfig, layers: Sequence[int]) -> PreTrainedConfig:
        """Return the configuration of the same model with some of the layers of its text decoder, by index."""
        changed = deepcopy(config)
        decoder = changed.get_text_config()
        decoder.num_hidden_layers = len(layers)
        if types := getattr(decoder, "layer_types", None):
            decoder.layer_types = [types[layer] for layer in layers]
        return changed


def text_ids(processor: Processor, text: str) -> tuple[int, ...]:
    """Return the tokens of plain text: no markers added, and text that reads like a control token stays text."""
    return tuple(processor.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
