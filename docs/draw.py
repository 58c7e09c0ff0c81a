"""Draw the pictures of explained.md: `python -m docs.draw`. They are the same to the byte every time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import torch
from transformers import get_scheduler

from config import LEARNING_RATE, TRAIN
from figtune.training.schedule import training_schedule

FOLDER = Path(__file__).parent
STYLE = """<style>
text { font: 15px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 13px; fill: #59636e }
.title { font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
.box { fill: #f6f8fa; stroke: #8c959f } .kept { fill: #fff8c5; stroke: #9a6700 } .line { stroke: #59636e; fill: none }
.arrow { fill: #59636e } .a { stroke: #0969da } .b { stroke: #bc4c00 } .c { stroke: #1a7f37 } .curve { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .box { fill: #212830; stroke: #656c76 } .arrow { fill: #9198a1 }
.kept { fill: #3d2e00; stroke: #d29922 } .line { stroke: #9198a1 } .a { stroke: #4493f8 } .b { stroke: #f0883e }
.c { stroke: #3fb950 } }
</style>"""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Sizes of a model, as its `config.json` gives them."""

    title: str
    side: int
    """Side of the image, in pixels."""
    patch: int
    """Side of a patch, in pixels."""
    image_tokens: int
    vision_width: int
    width: int
    layers: int
    vocabulary: int

    @property
    def patches(self) -> int:
        """Squares that the encoder cuts the picture into."""
        return (self.side // self.patch) ** 2


GEMMA = Shapes(
    title="Gemma 3 4B",
    side=896,
    patch=14,
    image_tokens=256,
    vision_width=1152,
    width=2560,
    layers=34,
    vocabulary=262_208,
)
PALIGEMMA = Shapes(
    title="PaliGemma 3B",
    side=224,
    patch=14,
    image_tokens=256,
    vision_width=1152,
    width=2048,
    layers=18,
    vocabulary=257_216,
)


def main() -> int:
    (FOLDER / "model.svg").write_text(model_picture(), encoding="utf-8")
    (FOLDER / "schedule.svg").write_text(schedule_picture(), encoding="utf-8")
    return 0


def model_picture() -> str:
    """From pixels to the next word, with what flows between the parts."""
    stages: tuple[tuple[str, str, str, Callable[[Shapes], str]], ...] = (
        ("figure", "box", "a picture, resized to a square", lambda m: f"{m.side} × {m.side} pixels × 3 colours"),
        ("image encoder", "box", "SigLIP, 27 layers, 0.4 billion numbers", _patches),
        ("kept on disk", "kept", "once per figure, while the encoder is frozen", _pooled),
        ("projector", "box", "one matrix, 2 to 3 million numbers", lambda m: f"{m.image_tokens} × {m.width}"),
        ("text decoder", "box", "Gemma, 2.5 to 3.9 billion numbers", _decoded),
        ("next word", "box", "a number for each word part; the likeliest is next", _logits),
    )
    parts = [_text(560, 28, GEMMA.title, "title middle"), _text(790, 28, PALIGEMMA.title, "title middle")]
    for index, (name, look, what, shape) in enumerate(stages):
        top = 44 + 104 * index
        parts += _box(top, name, what, look)
        parts += [_text(x, top + 32, shape(model), "small middle") for x, model in ((560, GEMMA), (790, PALIGEMMA))]
        if index + 1 < len(stages):
            parts += _arrow(230, top + 58, top + 104)
    # The words of the prompt come in beside the picture, just before the decoder.
    join = 44 + 104 * 4 - 23
    parts.append(_text(252, join + 4, "+ the prompt's n word parts, each a row of the same width", "small"))
    return _svg(930, 44 + 104 * len(stages) - 36, parts)


def _patches(model: Shapes) -> str:
    return f"{model.patches:,} patches × {model.vision_width}"


def _pooled(model: Shapes) -> str:
    if model.patches == model.image_tokens:
        return f"{model.image_tokens} × {model.vision_width}"
    square = round((model.patches / model.image_tokens) ** 0.5)
    return f"{square} × {square} patches averaged: {model.image_tokens} × {model.vision_width}"


def _decoded(model: Shapes) -> str:
    return f"{model.layers} layers, ({model.image_tokens} + n) × {model.width}"


def _logits(model: Shapes) -> str:
    return f"{model.vocabulary:,} numbers a word part"


def schedule_picture(steps: int = 300) -> str:
    """The learning rate over a run, of each scheduler, from the code that training uses."""
    plan = training_schedule(steps, steps, replace(TRAIN, epochs=1))
    parts = [
        '<path class="line" d="M70 30V250H690"/>',
        _text(64, 46, f"{LEARNING_RATE:g}", "small end"),
        _text(64, 254, "0", "small end"),
        _text(70, 272, "first step", "small"),
        _text(690, 272, f"step {steps}", "small end"),
    ]
    names = (("cosine", "cosine", "a"), ("linear", "linear", "b"), ("constant", "constant_with_warmup", "c"))
    for index, (name, theirs, look) in enumerate(names):
        rates = learning_rates(theirs, plan.warmup_steps, steps)
        points = " ".join(f"{70 + 620 * step / steps:.1f},{250 - 208 * rate:.1f}" for step, rate in enumerate(rates))
        parts.append(f'<polyline class="curve {look}" stroke-width="2.5" points="{points}"/>')
        parts.append(f'<path class="{look}" stroke-width="2.5" d="M706 {60 + 26 * index}h24"/>')
        parts.append(_text(738, 65 + 26 * index, name))
    return _svg(840, 286, parts)


def learning_rates(scheduler: str, warmup: int, steps: int) -> list[float]:
    """Shares of the peak, one a step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_scheduler(scheduler, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def _box(top: int, name: str, what: str, look: str) -> list[str]:
    return [
        f'<rect class="{look}" x="30" y="{top}" width="400" height="58" rx="8"/>',
        _text(230, top + 25, name, "title middle"),
        _text(230, top + 45, what, "small middle"),
    ]


def _arrow(x: int, start: int, end: int) -> list[str]:
    return [
        f'<path class="line" stroke-width="1.5" d="M{x} {start}V{end - 8}"/>',
        f'<path class="arrow" d="M{x} {end}l-5 -9h10z"/>',
    ]


def _text(x: int, y: int, text: str, look: str = "") -> str:
    return f'<text class="{look}" x="{x}" y="{y}">{escape(text)}</text>'


def _svg(width: int, height: int, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join((head, STYLE, *parts, "</svg>", ""))


if __name__ == "__main__":
    sys.exit(main())
