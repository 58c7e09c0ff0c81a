"""Python code that asks a trained model in plain transformers and peft, as the model card prints it."""

from __future__ import annotations

from collections.abc import Mapping

from figtune.models.families import family_of
from figtune.models.loading import not_in_four_bits
from figtune.models.model_parts import ModelParts
from figtune.models.records import ImageFit, ModelRecord

_IMAGE: dict[ImageFit, tuple[str, ...]] = {
    "letterbox": (
        "side = model.config.vision_config.image_size",
        'image = Image.open("figure.png").convert("RGB")',
        'image = ImageOps.pad(image, (side, side), method=Image.Resampling.LANCZOS, color="white")',
    ),
    "squash": ('image = Image.open("figure.png").convert("RGB")',),
}
_MERGED = ('model = AutoModelForImageTextToText.from_pretrained(".", dtype="bfloat16").eval()',)
_ASK = """\
content = [{"type": "image", "image": image}, {"type": "text", "text": "Write the caption of this figure."}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
).to(model.device)
answer = model.generate(**inputs, max_new_tokens=256, do_sample=False)[0, inputs["input_ids"].shape[1] :]
print(processor.decode(answer, skip_special_tokens=True))"""


def usage_code(record: ModelRecord, *, merged: bool = False) -> str:
    """Return code that loads the model in OUTPUT and asks it about `figure.png`.

    The image is fitted and the prompt laid out as in training; the answer is that of greedy decoding.
    """
    whole, four_bit = record.adapter.mode == "full" and not merged, record.adapter.mode == "qlora" and not merged
    family = family_of(record.family, record.name)
    # Families whose images have any number of tokens cut them into tiles or patches; their processor does that here.
    fit: ImageFit = "squash" if family.tokens_vary or record.tiles else record.image_fit
    pillow = "Image, ImageOps" if fit == "letterbox" else "Image"
    names = f"AutoModelForImageTextToText, AutoProcessor{', BitsAndBytesConfig' if four_bit else ''}"
    lines = (
        *(() if whole or merged else ("from peft import PeftModel",)),
        f"from PIL import {pillow}",
        *(("from safetensors.torch import load_file",) if whole else ()),
        f"from transformers import {names}",
        "",
        *(_quantization(family.parts) if four_bit else ()),
        *(_MERGED if merged else _model(record, whole=whole, four_bit=four_bit)),
        f'processor = AutoProcessor.from_pretrained("{"." if merged else "processor"}")',
        "",
        *_IMAGE[fit],
        _ask(family.image_settings(0, record.tiles)),
    )
    return "\n".join(lines)


def _ask(tile_settings: Mapping[str, object]) -> str:
    """Return the code that asks; a processor of transformers takes settings of tiles from calls, and from no file."""
    end = '    return_tensors="pt",\n'
    return _ASK.replace(end, end + "".join(f"    {name}={value},\n" for name, value in tile_settings.items()))


def _model(record: ModelRecord, *, whole: bool, four_bit: bool) -> tuple[str, ...]:
    revision = f', revision="{record.commit}"' if record.commit else ""
    quantization = ", quantization_config=quantization" if four_bit else ""
    base = f'AutoModelForImageTextToText.from_pretrained("{record.base}"{revision}, dtype="auto"{quantization})'
    if not whole:
        return (f"base = {base}", 'model = PeftModel.from_pretrained(base, "adapter").eval()')
    return (
        f"model = {base}",
        'trained = model.load_state_dict(load_file("adapter/adapter_model.safetensors"), strict=False)',
        "assert not trained.unexpected_keys, trained.unexpected_keys",
        "model.eval()",
    )


def _quantization(parts: ModelParts) -> tuple[str, ...]:
    skipped = ", ".join(f'"{name}"' for name in not_in_four_bits(parts))
    return (
        "quantization = BitsAndBytesConfig(",
        "    load_in_4bit=True,",
        '    bnb_4bit_quant_type="nf4",',
        "    bnb_4bit_use_double_quant=True,",
        '    bnb_4bit_compute_dtype="bfloat16",',
        f"    llm_int8_skip_modules=[{skipped}],",
        ")",
    )
