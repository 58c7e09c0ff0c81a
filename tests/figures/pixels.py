"""Images of every kind, drawn on the spot: what a camera, a plotting library and a drawing program would save."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_SIZE = (880, 456)


def photograph(seed: int) -> Image.Image:
    """Soft shapes under uneven light with a little noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 22), dtype=np.uint8)).resize(_SIZE, Image.Resampling.BICUBIC)
    light = np.linspace(40, 200, _SIZE[0])[None, :]
    greys = 0.4 * np.asarray(coarse) + 0.6 * light + random.normal(0, 4, (_SIZE[1], _SIZE[0]))
    return Image.fromarray(np.clip(greys, 0, 255).astype(np.uint8)).convert("RGB")


def rendering(seed: int) -> Image.Image:
    """A shaded ball, off the middle, on white."""
    x0 = 100 + int(np.random.default_rng(seed).integers(0, 200))
    mask = Image.new("L", _SIZE, 0)
    ImageDraw.Draw(mask).ellipse((x0, 30, x0 + 400, 430), fill=255)
    return Image.composite(photograph(seed), Image.new("RGB", _SIZE, "white"), mask)


def plot_image(seed: int) -> Image.Image:
    """Two curves in a frame with a grid."""
    image, draw = _canvas()
    for number in range(1, 9):
        draw.line((60, 50 * number, 860, 50 * number), fill="#d0d0d0", width=2)
    draw.rectangle((60, 20, 860, 420), outline="black", width=3)
    for color in ("#1f77b4", "#ff7f0e"):
        heights = 400 - np.cumsum(np.random.default_rng(seed).random(17)) * 20
        draw.line([(70 + 48 * step, float(height)) for step, height in enumerate(heights)], fill=color, width=5)
    return _as_saved(image)


def diagram_image() -> Image.Image:
    """Pastel boxes joined by arrows."""
    image, draw = _canvas()
    for number, color in enumerate(("#dae8fc", "#d5e8d4", "#ffe6cc")):
        x0 = 60 + 280 * number
        draw.rounded_rectangle((x0, 120, x0 + 200, 320), radius=24, fill=color, outline="#555555", width=3)
        draw.text((x0 + 60, 200), "Encoder", fill="black", font_size=28)
        draw.line((x0 + 200, 220, x0 + 280, 220), fill="black", width=4)
    return _as_saved(image)


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", _SIZE, "white")
    return image, ImageDraw.Draw(image)


def _as_saved(image: Image.Image) -> Image.Image:
    """With the soft edges that plotting libraries draw."""
    return image.filter(ImageFilter.GaussianBlur(0.7))
