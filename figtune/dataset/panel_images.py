"""Pictures of single panels, cut out of their figure's crop at its full resolution.

Where a cut would go through something that reaches into the neighbour (a label, an arrow, a legend of several panels)
the whole figure is shown.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from figtune.core.errors import InputError
from figtune.core.image_decoding import decode_image, read_image_bytes
from figtune.dataset.filters import RejectReason, check_image
from figtune.dataset.image_store import pixel_facts, store_file
from figtune.dataset.settings import PrepareSettings
from figtune.extraction.records import BoxTuple

PANEL_MARGIN = 2.0  # points: strokes and labels reach a little over a panel's box
_MARGINS = (PANEL_MARGIN, 1.0, 0.0)  # points: the first of which the edge goes through nothing
_VISIBLE = 24  # of 255 greys from the ground


class PanelImages:
    """Stores the panels of one figure as files; the figure's crop is decoded once, and only if needed."""

    def __init__(self, dataset_dir: Path, crop: Path, region: BoxTuple, settings: PrepareSettings) -> None:
        self._dataset_dir = dataset_dir
        self._crop = crop
        self._region = region
        self._settings = settings
        self._picture: Image.Image | None = None

    def store(self, box: BoxTuple, *, accepted: bool = False) -> tuple[str, str] | RejectReason | None:
        """Store the panel in a box; return its path and sha256, or the rule against its picture; None where it cannot
        be cut out.

        Args:
            accepted: a person has accepted the example, see `check_image`.
        """
        picture = self._cut(box)
        if picture is None or isinstance(picture, RejectReason):
            return picture
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        facts = pixel_facts(file.getvalue(), picture)
        if reason := check_image(facts, self._settings, accepted=accepted):
            return reason
        return store_file(self._dataset_dir, file.getvalue(), f"{facts.sha256}.png"), facts.sha256

    def _cut(self, box: BoxTuple) -> Image.Image | RejectReason | None:
        try:
            if self._picture is None:
                self._picture = decode_image(read_image_bytes(self._crop), str(self._crop)).rgb
        except InputError as error:
            return RejectReason("unreadable_crop", error.problem)
        for margin in _MARGINS:
            pixels = panel_pixels(box, self._region, self._picture.size, margin)
            if pixels is None:
                return RejectReason("panel_outside", "its box lies outside the figure's region")
            if not cuts_something(self._picture, pixels):
                return self._picture.crop(pixels)
        return None


def cuts_something(picture: Image.Image, pixels: tuple[int, int, int, int]) -> bool:
    """Return True if something that stands out from the ground goes on beyond an edge of `pixels`; what ends at an edge
    of the picture does not."""
    left, top, right, bottom = pixels
    width, height = picture.size
    edges = [(x - 1, top, x + 1, bottom) for x in (left, right) if 0 < x < width]
    edges += [(left, y - 1, right, y + 1) for y in (top, bottom) if 0 < y < height]
    for edge in edges:
        lines = np.asarray(picture.crop(edge).convert("L"), dtype=np.int16)
        lines = lines if edge[3] - edge[1] == 2 else lines.T
        if np.any(np.all(np.abs(lines - np.median(lines)) > _VISIBLE, axis=0)):
            return True
    return False


def panel_pixels(
    box: BoxTuple, region: BoxTuple, size: tuple[int, int], margin: float = PANEL_MARGIN
) -> tuple[int, int, int, int] | None:
    """Return a panel's box in pixels of the figure's crop, with a margin; None where nothing of it lies in the region.

    Args:
        size: width and height of the crop.
        margin: in points.
    """
    left, top, right, bottom = region
    across, down = size[0] / (right - left), size[1] / (bottom - top)
    pixels = (
        max(0, round((box[0] - margin - left) * across)),
        max(0, round((box[1] - margin - top) * down)),
        min(size[0], round((box[2] + margin - left) * across)),
        min(size[1], round((box[3] + margin - top) * down)),
    )
    return pixels if pixels[0] < pixels[2] and pixels[1] < pixels[3] else None
