"""Scanned pages straightened and whitened, and the rules and pictures found in them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.scan_pixels import graphics_in, lone_marks, skew_of, straightened, whitened
from tests.figures.paper_maker import near
from tests.rows import each_row

DPI = 100
SCALE = 72 / DPI


def lined_page() -> GreyImage:
    """Lines of short strokes, as words are, in two columns."""
    picture = Image.new("L", (800, 1000), 255)
    draw = ImageDraw.Draw(picture)
    rng = np.random.default_rng(0)
    for top in range(80, 900, 16):
        for left in (60, 430):
            x = left
            while x < left + 300:
                width = int(rng.integers(8, 40))
                draw.rectangle((x, top, x + width, top + 7), fill=0)
                x += width + 6
    return np.asarray(picture)


@each_row("degrees", [-2.0, -0.4, 0.3, 1.5])
def test_a_page_lying_askew_is_measured_and_turned_back(degrees: float) -> None:
    page = lined_page()
    turned = np.asarray(Image.fromarray(page).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255))
    assert abs(skew_of(turned) - degrees) <= 0.1
    back = straightened(turned, skew_of(turned))
    middle = (slice(100, 900), slice(100, 700))
    assert np.mean((back[middle] < 128) != (page[middle] < 128)) < 0.06


def test_a_straight_page_and_an_empty_one_are_left_as_they_are() -> None:
    page = lined_page()
    assert skew_of(page) == 0.0
    assert skew_of(np.full((500, 400), 255, np.uint8)) == 0.0
    assert straightened(page, 0.0) is page
    assert whitened(page) is page


def test_the_light_ground_of_a_figure_on_white_paper_stays() -> None:
    page = lined_page().copy()
    page[300:700, 60:760] = 245
    assert np.array_equal(whitened(page), page)


def test_grey_noisy_and_unevenly_lit_paper_becomes_white_and_ink_stays_dark() -> None:
    page = lined_page()
    light = np.linspace(190, 240, page.shape[1])[None, :]
    noise = np.random.default_rng(1).normal(0, 4, page.shape)
    scan = np.clip(page / 255 * light + noise, 0, 255).astype(np.uint8)
    white = whitened(scan)
    assert np.mean(white[page == 255] == 255) > 0.99
    assert np.mean(white[page == 0] < 60) > 0.99


def test_specks_and_unread_page_numbers_are_lone_marks_and_words_and_figures_are_not() -> None:
    page = lined_page().copy()
    page[30:40, 600:606] = 0
    page[960:962, 200:202] = 0
    number, speck = (Box(600, 30, 606, 40), Box(200, 960, 202, 962))
    in_points = [Box(box.x0 * SCALE, box.top * SCALE, box.x1 * SCALE, box.bottom * SCALE) for box in (number, speck)]
    found = lone_marks(page, [], DPI)
    assert all(near(mark, truth, 2) for mark, truth in zip(found, in_points, strict=True))
    assert len(lone_marks(page, [in_points[0]], DPI)) == 1  # read as a word
    page[10:40, 600:640] = 0
    assert len(lone_marks(page, [], DPI)) == 1  # part of a figure now


def test_rules_become_drawings_and_photographs_images_but_words_neither() -> None:
    picture = Image.fromarray(lined_page()).copy()
    draw = ImageDraw.Draw(picture)
    draw.rectangle((60, 930, 360, 931), fill=0)
    draw.rectangle((390, 100, 391, 400), fill=0)
    shades = np.random.default_rng(2).integers(30, 220, (120, 300), dtype=np.uint8)
    draw.rectangle((50, 284, 380, 460), fill=255)
    picture.paste(Image.fromarray(shades), (60, 300))
    found = graphics_in(np.asarray(picture), DPI, [])
    rules = sorted((drawing.box for drawing in found.drawings), key=lambda box: box.width)
    assert near(rules[0], Box(390 * SCALE, 100 * SCALE, 392 * SCALE, 401 * SCALE), 1.5)
    assert near(rules[1], Box(60 * SCALE, 930 * SCALE, 361 * SCALE, 932 * SCALE), 1.5)
    assert len(rules) == 2
    assert len(found.images) == 1
    assert near(found.images[0], Box(60 * SCALE, 300 * SCALE, 360 * SCALE, 420 * SCALE), 2.5)
