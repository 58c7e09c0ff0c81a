"""PaliGemma and PaliGemma 2.

Layout, as `transformers.models.paligemma.processing_paligemma` builds it:
`<image>*T <bos> prompt \\n completion <eos>`. Image and prompt attend to each other in both directions; the completion
is causal. The library learns which is which from the token types: without them the prompt would attend to the
completion, and the loss would measure copying.

    query \\ key   image  prompt  completion
    image           1      1        0
    prompt          1      1        0
    completion      1      1      causal
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from figtune.models.family import Family, ImageLayout, Processor, PromptTokens, fit_to_size, text_ids
from figtune.models.records import ImageFit

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor
    from transformers import PreTrainedModel


class PaliGemma(Family):
    """See `figtune.models.family.Family`."""

    model_type = "paligemma"
    display_name = "PaliGemma"
    examples = ("google/paligemma-3b-pt-224", "google/paligemma2-3b-pt-448")
    first_position = 1
    window_bounds_blocks = False
    # The processor itself repeats the image's token, and sets `<bos>` after it and a new line at the end.
    chat_template = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] | trim }}"
        "{% else %}{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}{% endif %}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )

    def image_layout(self, processor: Processor, size: tuple[int, int]) -> ImageLayout:
        """Return a token a patch, the same for any image."""
        del size
        return ImageLayout(tokens=processor.image_seq_length)  # type: ignore[attr-defined]

    def image_inputs(self, processor: Processor, image: Image.Image, fit: ImageFit) -> dict[str, Tensor]:
        """Return `pixel_values: float32[1, 3, H, W]`."""
        import torch

        side = processor.image_processor.size["height"]
        square = fit_to_size(image, fit, (side, side))
        prepared = processor.image_processor([square], return_tensors="pt")
        return {"pixel_values": torch.as_tensor(prepared["pixel_values"], dtype=torch.float32)}

    def tokenize(self, processor: Processor, prompt: str, image: ImageLayout) -> PromptTokens:
        """Return image block and prompt. The image attends to the prompt, so nothing can be shared between prompts."""
        block = (processor.image_token_id,) * image.tokens  # type: ignore[attr-defined]
        ids = (*block, processor.tokenizer.bos_token_id, *text_ids(processor, f"{prompt.strip()}\n"))
        return PromptTokens(
            input_ids=ids, bidirectional=(True,) * len(ids), image_tokens=len(block), shared_prefix_length=0
        )

    def stop_ids(self, processor: Processor) -> tuple[int, ...]:
        """Return `<eos>`."""
        return (processor.tokenizer.eos_token_id,)

    def features(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the encoder's last states, a row a patch."""
        tower = model.model.vision_tower
        states: Tensor = tower(pixel_values=inputs["pixel_values"].to(tower.dtype)).last_hidden_state
        return states.flatten(0, 1)

    def embeddings(self, model: PreTrainedModel, features: Tensor) -> Tensor:
        """Return a linear projection."""
        embedded: Tensor = model.model.multi_modal_projector(self.projector_inputs(model, features))
        return embedded

    def projector_matrix(self, model: PreTrainedModel) -> Tensor:
        """Return the weights of the linear layer, transposed."""
        matrix: Tensor = model.model.multi_modal_projector.linear.weight.T
        return matrix

    def token_inputs(self, bidirectional: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Return token types: 0 on image and prompt, 1 on the completion."""
        return {"token_type_ids": ~bidirectional * attention_mask}
