"""Crops of panels, cut out of a figure's crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from figtune.core.jsonl import read_records
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.panel_images import panel_pixels
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


@each_row("panel_images", [True, False])
def test_a_panel_shows_its_crop_where_asked_to(tmp_path: Path, panel_images: bool) -> None:
    left, top, right, bottom = 50.0, 100.0, 290.0, 290.0
    panels = (
        Panel(
            label="a", box=(left + 62, top + 42, right - 62, bottom - 42), caption="(a) The mask of cars that it finds."
        ),
    )
    like = replace(PLAIN_FIGURE, panels=panels, region_box=(left, top, right, bottom), mentions=())
    content = write_content(tmp_path / "content", [figure("paper0", like=like)])
    prepare_examples(content, tmp_path / "dataset", replace(SETTINGS, panel_images=panel_images))
    (example,) = read_records(tmp_path / "dataset" / "train.jsonl", Example, "a test")
    with (
        Image.open(tmp_path / "dataset" / example.image) as shown,
        Image.open(content / str(PLAIN_FIGURE.crop).replace("paper/paper", "paper0/paper0")) as whole,
    ):
        if not panel_images:
            assert shown.size == whole.size
            return
        assert panels[0].box is not None
        place = panel_pixels(panels[0].box, (left, top, right, bottom), whole.size)
        assert place is not None
        assert shown.convert("L").tobytes() == whole.convert("L").crop(place).tobytes()
        assert shown.width < whole.width / 1.9
    # Another preparation without panels removes their crops.
    prepare_examples(content, tmp_path / "dataset", replace(SETTINGS, panel_images=False))
    assert not (tmp_path / "dataset" / "images").exists()
