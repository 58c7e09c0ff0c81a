"""What differs between model families, as one small interface, and an example as a model reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from figtune.models.support import Support

IGNORED = -100
"""Label of a token that takes no part in the loss."""

PROJECTOR = "multi_modal_projector"
"""The module between vision encoder and text decoder, named alike in all families here."""


@dataclass(frozen=True, kw_only=True)
class TokenisedRow:
    """One example as the model reads it, without its pixels: image block and prompt, then completion and stop token.

    `input_ids: int[L]`, `token_type_ids: int[L]`. The first `prompt_length` tokens are read, the others are learned.
    """

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    prompt_length: int
    shared_length: int
    """So many of the first tokens see nothing of those after them: other examples about the picture can share them."""
    truncated: bool = False
    """The completion was longer than there was room for."""

    @property
    def labels(self) -> tuple[int, ...]:
        """`int[L]`: the completion and its stop token; everything before is IGNORED."""
        return (IGNORED,) * self.prompt_length + self.input_ids[self.prompt_length :]

    @property
    def learned_tokens(self) -> int:
        """Tokens that the loss is taken over."""
        return len(self.input_ids) - self.prompt_length


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What comes before a completion: `input_ids: int[L]`, `token_type_ids: int[L]`."""

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    image_tokens: int
    """How many of them stand for the image, its markers included, rather than for text."""
    shared_length: int
    """How many of the first ones see nothing of the others."""


class Family(Protocol):
    """A kind of model: how it wants its tokens, and where its parts are."""

    support: Support
    """What is known of it without its weights."""
    title: str
    """For people."""
    completion_type: int
    """Token type of the completion."""
    mutual_type: int
    """Token type of what sees all of itself; other tokens see what is before them."""
    first_position: int
    """Position id of a row's first token."""
    chat_template: str
    """Jinja: a conversation of one picture and one prompt, laid out as `prefix` does, for servers that ask in those."""

    def prefix(self, processor: ProcessorMixin, prompt: str) -> Prefix:
        """Image block and prompt, tokenised apart from any completion."""
        ...

    def stop_ids(self, processor: ProcessorMixin) -> tuple[int, ...]:
        """Tokens that end an answer; the first is the one that training appends."""
        ...

    def pixel_values(self, processor: ProcessorMixin, images: Sequence[Image.Image]) -> Tensor:
        """RGB images as the vision encoder takes them: float32[B, 3, H, W]."""
        ...

    def vision_features(self, model: PreTrainedModel, pixel_values: Tensor) -> Tensor:
        """What the vision encoder sees, just before the projector: float[B, T, V], T tokens of V numbers an image."""
        ...

    def image_embeddings(self, model: PreTrainedModel, seen: Tensor) -> Tensor:
        """Pictures in the decoder's space: float[B, T, D].

        Args:
            seen: `vision_features`, float[B, T, V]; or pixels, float32[B, 3, H, W], where the vision encoder is trained
                and what it saw once is not what it sees now.
        """
        ...


def are_pixels(seen: Tensor) -> bool:
    """Whether pictures are given as float32[B, 3, H, W], rather than as features, float[B, T, V]."""
    return seen.ndim == 4


def text_ids(processor: ProcessorMixin, text: str) -> tuple[int, ...]:
    """Tokens of plain text: no markers added, and text that reads like a control token stays text."""
    tokenizer = processor.tokenizer
    return tuple(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
