"""Photographs told from drawings saved as pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from figtune.figures.figure_kind import photo_likelihood
from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from tests.figures.pixels import diagram_image, photograph, plot_image, rendering
from tests.rows import each_row

_BOX = Box(20, 30, 240, 144)


def _page(image: Image.Image, box: Box = _BOX) -> GreyImage:
    """A white page with `image` in `box`, at one pixel a point."""
    page: GreyImage = np.full((200, 300), 255, dtype=np.uint8)
    small = image.convert("L").resize((round(box.width), round(box.height)), Image.Resampling.BOX)
    page[round(box.top) : round(box.bottom), round(box.x0) : round(box.x1)] = np.asarray(small)
    return page


@each_row("seed", range(5))
def test_photographs_and_renderings_are_toned_and_drawings_are_not(seed: int) -> None:
    def tone(image: Image.Image) -> float:
        return photo_likelihood(_page(image), [_BOX])[0]

    assert tone(photograph(seed)) == 1.0
    assert tone(rendering(seed)) > 0.5
    assert tone(plot_image(seed)) < 0.1
    assert tone(diagram_image()) < 0.1


def test_what_is_flat_is_a_photograph_where_it_is_dark() -> None:
    for grey, tone in ((0, 1.0), (100, 1.0), (200, 0.0), (255, 0.0)):
        assert photo_likelihood(_page(Image.new("L", (10, 10), grey)), [_BOX]) == (tone,)


def test_each_image_has_its_own_tone() -> None:
    page, other = _page(photograph(1)), Box(20, 150, 240, 190)
    assert photo_likelihood(page, [other, _BOX, _BOX]) == (0.0, 1.0, 1.0)


def test_images_may_stick_out_of_the_page_or_be_empty() -> None:
    page = _page(photograph(1))
    assert photo_likelihood(page, ()) == ()
    assert photo_likelihood(page, [Box(-50, -50, 400, 400)])[0] > 0.0
    assert photo_likelihood(page, [Box(500, 500, 600, 600), Box(50, 50, 50, 50), Box(-9, -9, -3, -3)]) == (
        0.0,
        0.0,
        0.0,
    )
