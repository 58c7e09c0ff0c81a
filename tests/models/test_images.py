"""Image files of every kind as RGB on white, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from figtune.models import images
from figtune.models.images import fitted, read_image
from figtune.pipeline.errors import InputError

WHITE = (255, 255, 255)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_transparency_goes_onto_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    picture.putpixel((1, 1), (0, 0, 255, 255))
    read = read_image(saved(tmp_path / "a.png", picture))
    assert (read.mode, read.getpixel((0, 0)), read.getpixel((1, 1))) == ("RGB", WHITE, (0, 0, 255))


def test_a_transparent_palette_entry_goes_onto_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.putpixel((2, 2), 1)
    read = read_image(saved(tmp_path / "a.png", picture, transparency=0))
    assert (read.getpixel((0, 0)), read.getpixel((2, 2))) == (WHITE, (200, 0, 0))


def test_transparent_grey_goes_onto_white(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path / "a.png", Image.new("LA", (4, 4), (0, 128))))
    assert read.getpixel((0, 0)) == (127, 127, 127)


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.linspace(0, 65_535, 16, dtype=np.uint16).reshape(4, 4))
    read = np.asarray(read_image(saved(tmp_path / "a.png", ramp)))[..., 0].ravel()
    assert read.tolist() == list(range(0, 256, 17))


def test_floating_point_greys_are_spread(tmp_path: Path) -> None:
    values = np.array([[-1.0, 0.0], [1.0, 3.0]], dtype=np.float32)
    read = np.asarray(read_image(saved(tmp_path / "a.tiff", Image.fromarray(values))))[..., 0]
    assert read.tolist() == [[0, 64], [128, 255]]


def test_print_colors_become_screen_colors(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path / "a.tiff", Image.new("CMYK", (4, 4), (0, 255, 255, 0))))
    assert (read.mode, read.getpixel((0, 0))) == ("RGB", (255, 0, 0))


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    read = read_image(saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:]))
    assert read.getpixel((0, 0)) == (255, 0, 0)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 4), "white")
    exif = picture.getexif()
    exif[0x0112] = 6
    assert read_image(saved(tmp_path / "a.jpg", picture, exif=exif)).size == (4, 8)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a\x00", b"%PDF-1.7"])
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png is no image, or a broken one"):
        read_image(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tiff", "webp", "bmp"])
def test_a_truncated_image_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    data = saved(tmp_path / f"whole.{kind}", picture).read_bytes()
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 25)):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(data[:length])
        try:
            assert read_image(path).size == picture.size
        except InputError:
            refused += 1
    assert refused > 20


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no image"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(InputError, match="is no image"):
        read_image(tmp_path)


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("1", (10_000, 9_500)))
    assert read_image(path).size == (10_000, 9_500)  # above Pillow's own limit, which only warns
    monkeypatch.setattr(images, "MAX_PIXELS", 90_000_000)
    with pytest.raises(InputError, match="more than 90 million pixels; make it smaller"):
        read_image(path)


def test_letterboxing_keeps_proportions_and_fills_up_with_white() -> None:
    square = fitted(Image.new("RGB", (200, 50), "red"), "letterbox", 100)
    assert square.size == (100, 100)
    reds = [row for row in range(100) if square.getpixel((50, row)) == (255, 0, 0)]
    assert reds == list(range(reds[0], reds[0] + 25))
    assert abs(reds[0] + reds[-1] - 99) <= 1
    assert square.getpixel((50, 10)) == WHITE


def test_squashing_leaves_the_image_to_the_processor() -> None:
    picture = Image.new("RGB", (200, 50), "red")
    assert fitted(picture, "squash", 100) is picture
