"""The image formats that are read. Free of Pillow, so that naming them costs no import."""

from __future__ import annotations

from collections.abc import Mapping

IMAGE_FORMATS: Mapping[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
"""File suffixes by Pillow's name of the format. Only formats without external programs: EPS would start Ghostscript."""

IMAGE_SUFFIXES: tuple[str, ...] = tuple(sorted(suffix for suffixes in IMAGE_FORMATS.values() for suffix in suffixes))
