"""Logits of the base model with its adapter, and of the merged model, by plain transformers and peft.

Run by the Python of an environment with any version of both: `python export_logits.py BASE OUTPUT FILE`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText, AutoProcessor


def _image() -> Image.Image:
    image = Image.new("RGB", (112, 112), "white")
    ImageDraw.Draw(image).rectangle((10, 10, 60, 60), fill="red")
    return image


@torch.no_grad()
def _logits(model: torch.nn.Module, processor_folder: Path) -> torch.Tensor:
    processor = AutoProcessor.from_pretrained(processor_folder)  # type: ignore[no-untyped-call]
    content = [{"type": "image", "image": _image()}, {"type": "text", "text": "Write the caption."}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    logits: torch.Tensor = model.eval()(**inputs).logits
    return logits.float().contiguous()


def main(base: Path, output: Path, file: Path) -> None:
    """Write the logits of each as float32[1, L, V]."""
    found = {}
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    found["base"] = _logits(model, output / "processor")
    found["adapter"] = _logits(PeftModel.from_pretrained(model, output / "adapter"), output / "processor")
    merged = AutoModelForImageTextToText.from_pretrained(
        output / "merged", dtype=torch.float32, attn_implementation="eager"
    )
    found["merged"] = _logits(merged, output / "merged")
    save_file(found, file)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
