"""Image files of every kind as RGB on white, and what is refused."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from figtune.core import image_decoding
from figtune.core.errors import InputError
from figtune.core.image_decoding import decode_file, read_image
from tests.conftest import ROOT
from tests.rows import each_row

WHITE = (255, 255, 255)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def greys(path: Path) -> NDArray[np.uint8]:
    return np.asarray(read_image(path))[..., 0]


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


def test_a_transparent_color_goes_onto_white(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), (9, 9, 9))
    picture.putpixel((2, 2), (200, 0, 0))
    read = read_image(saved(tmp_path / "a.png", picture, transparency=(9, 9, 9)))
    assert (read.getpixel((0, 0)), read.getpixel((2, 2))) == (WHITE, (200, 0, 0))


def test_transparent_grey_goes_onto_white(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path / "a.png", Image.new("LA", (4, 4), (0, 128))))
    assert read.getpixel((0, 0)) == (127, 127, 127)


RAMP = np.linspace(0, 65_535, 16, dtype=np.uint16).reshape(4, 4)
EVENLY = list(range(0, 256, 17))


@each_row(
    "values",
    [
        RAMP,
        RAMP // 16,
        RAMP // 4096,
        (RAMP.astype(np.int32) - 30_000),
        RAMP.astype(np.int32) * 30_000,
        (RAMP / 65_535).astype(np.float32),
        (RAMP / 65_535 - 7).astype(np.float32),
        RAMP.astype(np.float32) * 1e30,
    ],
)
def test_deep_greys_are_spread_over_their_range(tmp_path: Path, values: NDArray[Any]) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    decoded = decode_file(path)
    assert np.asarray(decoded.rgb)[..., 1].ravel().tolist() == pytest.approx(EVENLY, abs=1)
    assert decoded.remarks == ("grey_window",)
    assert not decoded.is_plain


def _tiff(values: NDArray[Any], sample_format: int, photometric: int = 1, order: Literal["<", ">"] = "<") -> bytes:
    """A TIFF file of one strip, since Pillow does not write all kinds."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: values.dtype.itemsize * 8, 259: 1, 262: photometric, 273: 8, 277: 1}
    tags |= {278: height, 279: len(data), 339: sample_format}
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)


@each_row("order", "<>")
@each_row("sample_format", [1, 2])
def test_either_byte_order_and_signed_values(tmp_path: Path, order: Literal["<", ">"], sample_format: int) -> None:
    values = RAMP if sample_format == 1 else (RAMP.astype(np.int32) - 32_768).astype(np.int16)
    (tmp_path / "a.tif").write_bytes(_tiff(values, sample_format, order=order))
    assert greys(tmp_path / "a.tif").ravel().tolist() == EVENLY


def test_deep_greys_whose_zero_is_white_are_inverted(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(RAMP, 1, photometric=0))
    assert greys(tmp_path / "a.tif").ravel().tolist() == EVENLY[::-1]


def test_numbers_that_are_none_do_not_count(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, 4], [np.nan, np.inf, -np.inf, 3]], dtype=np.float32)
    read = greys(saved(tmp_path / "a.tif", Image.fromarray(values)))
    assert read.tolist() == [[0, 64, 128, 255], [0, 255, 0, 191]]
    nothing = np.full((2, 2), np.nan, dtype=np.float32)
    assert not greys(saved(tmp_path / "b.tif", Image.fromarray(nothing))).any()


def test_a_dead_pixel_does_not_take_the_contrast_of_the_others(tmp_path: Path) -> None:
    values = np.tile(np.linspace(0, 4000, 100, dtype=np.uint16), (100, 1))
    expected = greys(saved(tmp_path / "a.png", Image.fromarray(values)))
    values[50, 50] = 65_535
    read = greys(saved(tmp_path / "b.png", Image.fromarray(values))).copy()
    assert read[50, 50] == 255
    read[50, 50] = expected[50, 50]
    assert np.abs(read.astype(int) - expected).max() <= 1


def test_few_bright_pixels_on_nothing_else_stay(tmp_path: Path) -> None:
    values = np.zeros((100, 100), dtype=np.uint16)
    values[50, 50] = 9000
    read = greys(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert (read[50, 50], int(read.sum())) == (255, 255)


def test_noise_on_an_even_grey_is_not_made_a_picture(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(30_000, 30_010, (50, 50)).astype(np.uint16)
    assert np.ptp(greys(saved(tmp_path / "a.png", Image.fromarray(noise)))) < 24


def test_strips_meet_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((37, 53), dtype=np.float32)
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    whole = greys(path)
    monkeypatch.setattr(image_decoding, "_STRIP_PIXELS", 100)
    assert np.array_equal(greys(path), whole)


def test_print_colors_become_screen_colors(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path / "a.tiff", Image.new("CMYK", (4, 4), (0, 255, 255, 0))))
    assert (read.mode, read.getpixel((0, 0))) == ("RGB", (255, 0, 0))


def test_lab_colors_become_screen_colors(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (4, 4), (200, 30, 60))
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    picture = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    assert picture is not None
    read = np.asarray(read_image(saved(tmp_path / "a.tif", picture)))
    assert np.abs(read.astype(int) - (200, 30, 60)).max() <= 3


def test_black_and_white_stays(tmp_path: Path) -> None:
    picture = Image.new("1", (4, 4), 1)
    picture.putpixel((1, 0), 0)
    assert greys(saved(tmp_path / "a.png", picture))[0].tolist() == [255, 0, 255, 255]


@each_row("kind", ["gif", "tif", "webp", "png"])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "webp" else {}
    path = saved(tmp_path / f"a.{kind}", frames[0], save_all=True, append_images=frames[1:], **options)
    decoded = decode_file(path)
    assert decoded.rgb.getpixel((0, 0)) == (255, 0, 0)
    assert decoded.remarks == ("first_frame",)


def test_a_dark_picture_is_said_to_be_one(tmp_path: Path) -> None:
    values = np.full((8, 8, 3), 15, dtype=np.uint8)
    assert decode_file(saved(tmp_path / "a.png", Image.fromarray(values))).remarks == ("dark",)


@each_row(("kind", "mode"), [("jpg", "RGB"), ("png", "RGB"), ("webp", "RGB"), ("tif", "L")])
def test_a_photograph_is_turned_upright(tmp_path: Path, kind: str, mode: str) -> None:
    picture = Image.new(mode, (32, 16), "black")
    picture.paste("white", (0, 0, 16, 8))  # top left
    for orientation, white in enumerate((0, 1, 2, 3, 0, 1, 2, 3), start=1):
        exif = picture.getexif()
        exif[0x0112] = orientation
        path = saved(tmp_path / f"{orientation}.{kind}", picture, exif=exif)
        decoded = decode_file(path)
        assert decoded.rgb.size == ((32, 16) if orientation < 5 else (16, 32))
        assert decoded.is_plain == (orientation == 1)
        width, height = decoded.rgb.size
        corners = [(2, 2), (width - 3, 2), (width - 3, height - 3), (2, height - 3)]
        levels = greys(path)
        assert [corner for corner in corners if levels[corner[1], corner[0]] > 128] == [corners[white]], orientation


@each_row("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a\x00", b"%PDF-1.7", b"%!PS-Adobe-3.0"])
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png is no image, or a broken one"):
        read_image(path)


def test_formats_that_need_other_programs_are_refused(tmp_path: Path) -> None:
    for kind in ("eps", "dds", "blp", "ico"):
        mode = "P" if kind == "blp" else "RGB"
        path = saved(tmp_path / f"a.{kind}", Image.new(mode, (32, 32)))
        with pytest.raises(InputError, match="none of PNG, JPEG"):
            read_image(path)


def test_damaged_descriptions_of_a_photograph_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.webp", Image.new("RGB", (8, 8)), exif=b"Exif\0\0garbage-garbage")
    with pytest.raises(InputError, match="is no image, or a broken one: "):
        read_image(path)


@each_row(
    "fault",
    [
        MemoryError(),
        OverflowError("too large"),
        RuntimeError(),
        RecursionError("deep"),
    ],
)
def test_whatever_a_decoder_raises_is_told_as_a_broken_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (8, 8)))

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(Image.Image, "crop", fail)
    with pytest.raises(InputError, match=f"a.png is no image, or a broken one: {str(fault) or type(fault).__name__}"):
        read_image(path)


@each_row("kind", ["png", "jpg", "gif", "tiff", "webp", "bmp", "avif", "jp2", "ppm"])
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


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.png"))
        for path in (tmp_path, tmp_path / "pipe.png", tmp_path / "socket.png", Path("/dev/zero")):
            with pytest.raises(InputError, match="not a regular file"):
                read_image(path)
    with pytest.raises(InputError, match="there is no image"):
        read_image(tmp_path / "missing.png")
    for name in ("a\0b.png", "x" * 5000):
        with pytest.raises(InputError, match="cannot be read"):
            read_image(tmp_path / name)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (8, 8)))
    monkeypatch.setattr(image_decoding, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match="has more than 0 MB"):
        read_image(path)


@each_row("size", [(8000, 5001), (10_000, 9500), (20_000, 20_000)])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = saved(tmp_path / "a.png", Image.new("1", size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="more than 40 million pixels; make it smaller"):
            read_image(path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "F", "I;16"])
def test_the_largest_images_stay_within_500_megabytes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    options = {"compression": "tiff_lzw"} if mode == "F" else {"compress_level": 1}
    Image.new(mode, (8000, 5000)).save(path, **options)
    code = (
        "import sys, pathlib; from figtune.core.image_decoding import read_image;"
        "read_image(pathlib.Path(sys.argv[1]));"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000


def test_nothing_but_pixels_of_a_file_is_kept(tmp_path: Path) -> None:
    given = Image.frombytes("RGB", (40, 30), bytes(range(256)) * 14 + bytes(16))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb = read_image(saved(tmp_path / "a.png", given, icc_profile=profile, dpi=(300, 300)))
    assert rgb.tobytes() == given.tobytes()
    assert rgb.info == {}


def test_a_dark_corner_alone_makes_no_dark_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30))
    assert decode_file(saved(tmp_path / "a.png", image)).remarks == ("dark",)
    image.putpixel((39, 29), (0, 64, 0))
    assert decode_file(saved(tmp_path / "b.png", image)).remarks == ()
