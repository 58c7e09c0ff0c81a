"""Crops of panels, cut out of a figure's crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from figtune.core.jsonl import read_records
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.panel_images import cuts_something, panel_pixels
from figtune.dataset.records import Example
from figtune.extraction.records import Panel
from tests.dataset.content_maker import CHOICES, PLAIN_FIGURE, figure, write_content
from tests.rows import each_row

SETTINGS = replace(CHOICES, val_fraction=0.0, test_fraction=0.0, split_seed=0, tasks=("describe",), min_side_pixels=20)


def test_points_become_pixels_of_the_crop() -> None:
    region = (100.0, 200.0, 300.0, 300.0)
    assert panel_pixels((152.0, 210.0, 198.0, 290.0), region, (400, 200)) == (100, 16, 200, 184)
    assert panel_pixels((90.0, 190.0, 310.0, 310.0), region, (400, 200)) == (0, 0, 400, 200)
    assert panel_pixels((310.0, 200.0, 350.0, 300.0), region, (400, 200)) is None


def test_a_cut_goes_through_ground_but_not_through_what_reaches_beyond() -> None:
    picture = Image.new("RGB", (100, 60), (235, 240, 250))
    for box in ((5, 5, 40, 55), (60, 5, 95, 55)):
        picture.paste((30, 60, 90), box)
    assert not cuts_something(picture, (0, 0, 50, 60))
    assert not cuts_something(picture, (40, 0, 100, 60))
    picture.paste((30, 60, 90), (40, 30, 58, 32))
    assert cuts_something(picture, (0, 0, 50, 60))
    assert not cuts_something(picture, (59, 0, 100, 60))
    assert cuts_something(picture, (0, 20, 50, 60))


@each_row(("panel_images", "crossed"), [(True, False), (True, True), (False, False)])
def test_a_panel_shows_its_crop_where_asked_to_and_nothing_is_cut(
    tmp_path: Path, panel_images: bool, crossed: bool
) -> None:
    region, box = (50.0, 100.0, 290.0, 290.0), (60.0, 110.0, 160.0, 280.0)
    panel = Panel(label="a", box=box, caption="(a) The mask of cars that it finds.")
    like = replace(PLAIN_FIGURE, panels=(panel,), region_box=region, mentions=())
    content = write_content(tmp_path / "content", [figure("paper0", like=like)])
    whole = Image.new("RGB", (480, 380), "white")
    whole.paste((200, 30, 30), (20, 20, 220, 360))
    whole.paste((30, 30, 200), (260, 20, 460, 360))
    if crossed:
        whole.paste((0, 0, 0), (220, 180, 260, 184))
    whole.save(content / str(PLAIN_FIGURE.crop).replace("paper/paper", "paper0/paper0"))
    prepare_examples(content, tmp_path / "dataset", replace(SETTINGS, panel_images=panel_images))
    (example,) = read_records(tmp_path / "dataset" / "train.jsonl", Example, "a test")
    place = panel_pixels(box, region, whole.size)
    assert place is not None
    with Image.open(tmp_path / "dataset" / example.image) as shown:
        expected = whole.crop(place) if panel_images and not crossed else whole
        assert shown.convert("RGB").tobytes() == expected.tobytes()
    # Another preparation without panels removes their crops.
    prepare_examples(content, tmp_path / "dataset", replace(SETTINGS, panel_images=False))
    assert not (tmp_path / "dataset" / "images").exists()
