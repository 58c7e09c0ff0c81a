"""The three pages as people see them: opened from disk in a real browser, in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from figtune.core.jsonl import read_records
from figtune.metrics.records import PREDICTIONS_FILE, Prediction
from figtune.reports.evaluation import evaluation_page
from tests.browser import Tab
from tests.conftest import Demo
from tests.metrics.sample_predictions import prediction
from tests.reports.sample_evaluations import summary_of

ATTACK = "</p><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
SHOWN = "cards => cards.filter(card => card.checkVisibility()).map(card => ({...card.dataset}))"


def _quiet(tab: Tab, folder: Path) -> None:
    """Nothing on the console, and nothing asked of anything but the files beside the page."""
    assert tab.complaints == []
    assert [address for address in tab.requests if not address.startswith(folder.as_uri())] == []


def _cards(tab: Tab) -> list[dict[str, str]]:
    cards: list[dict[str, str]] = tab.page.locator("#examples > article").evaluate_all(SHOWN)
    return cards


def _report(folder: Path, predictions: Sequence[Prediction]) -> Path:
    for each in predictions:
        (folder / each.image).parent.mkdir(exist_ok=True)
        Image.new("RGB", (90, 60), "teal").save(folder / each.image)
    page = folder / "report.html"
    page.write_text(evaluation_page(summary_of(predictions), predictions, images=".", curves=None), encoding="utf-8")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["content/gallery.html", "dataset/preview.html", "output/evaluation/report.html"])
def test_pages_of_the_demo_open_from_disk_in_silence(demo: Demo, tab: Tab, name: str, scheme: str) -> None:
    page = (demo.output_dir.parent if name.startswith("output") else demo.work_dir) / name
    tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.page.goto(page.as_uri())
    assert tab.page.locator("h1").inner_text()
    background, ink = (
        sum(map(int, tab.page.evaluate(f"getComputedStyle(document.body).{of}").strip("rgb()").split(",")))
        for of in ("backgroundColor", "color")
    )
    assert (background < ink) == (scheme == "dark")
    for image in tab.page.locator("img").all()[:3]:
        image.scroll_into_view_if_needed()
        tab.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    for width in (1400, 420):
        tab.page.set_viewport_size({"width": width, "height": 1000})
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            "nothing sticks out to the right"
        )
        heads = tab.page.locator("tr:has(> th)").evaluate_all("rows => rows.map(row => row.offsetHeight)")
        assert all(height < 60 for height in heads), "no heading is broken into three lines"
    places = tab.page.locator(".bar").evaluate_all("bars => bars.map(bar => getComputedStyle(bar).position)")
    assert set(places) == {"static"}, "it would hide half"
    _quiet(tab, demo.work_dir.parent)


def test_the_report_of_the_demo_is_filtered_and_sorted(demo: Demo, tab: Tab) -> None:
    folder = demo.output_dir / "evaluation"
    predictions = read_records(folder / PREDICTIONS_FILE, Prediction, "test")
    tab.page.goto((folder / "report.html").as_uri())
    scores = [float(card["score"]) for card in _cards(tab)]
    assert scores == sorted((each.tuned.chrf for each in predictions), reverse=True)
    tab.page.select_option("#order", "worst")
    assert [float(card["score"]) for card in _cards(tab)] == scores[::-1]
    tab.page.select_option("[data-key=task]", "explain")
    tab.page.select_option("[data-key=split]", "minitrain")
    wanted = sum((each.task, each.split) == ("explain", "minitrain") for each in predictions)
    cards = _cards(tab)
    assert {(card["task"], card["split"]) for card in cards} == {("explain", "minitrain")}
    assert len(cards) == wanted
    assert tab.page.inner_text(".count") == f"{wanted} of {len(predictions)}"
    tab.page.select_option("[data-key=task]", "")
    tab.page.select_option("[data-key=split]", "")
    tab.page.select_option("[data-key=kind]", "plot")
    assert {card["kind"] for card in _cards(tab)} == {"plot"}
    _quiet(tab, demo.work_dir.parent)


def test_nothing_that_a_model_writes_comes_alive(tab: Tab, tmp_path: Path) -> None:
    texts = {"reference": ATTACK, "tuned_answer": ATTACK, "base_answer": ATTACK, "prompt": ATTACK}
    page = _report(tmp_path, [prediction(1, **texts), prediction(2, kind=ATTACK, task=ATTACK)])  # type: ignore[arg-type]
    tab.page.goto(page.as_uri())
    assert tab.page.title() == "Evaluation"
    assert tab.page.locator("p.text", has_text=ATTACK).count() == 4
    tab.page.select_option("[data-key=task]", ATTACK)
    assert len(_cards(tab)) == 1
    _quiet(tab, tmp_path)


def test_pictures_far_down_are_not_read_before_they_are_looked_at(tab: Tab, tmp_path: Path) -> None:
    page = _report(tmp_path, [prediction(n) for n in range(200)])
    tab.page.goto(page.as_uri())
    read = sum(address.endswith(".png") for address in tab.requests)
    assert read < 50
    tab.page.locator("article img").last.scroll_into_view_if_needed()
    tab.page.wait_for_function("() => [...document.images].at(-1).naturalWidth > 0")
    _quiet(tab, tmp_path)


def test_a_model_that_ignores_its_pictures_is_called_that_where_nobody_can_miss_it(tab: Tab, tmp_path: Path) -> None:
    page = _report(tmp_path, [prediction(n, tuned_loss=1.0, wrong_image_loss=1.0) for n in range(6)])
    tab.page.goto(page.as_uri())
    headline = tab.page.get_by_text("This model ignores its images")
    box = headline.bounding_box()
    assert box is not None
    assert box["y"] < 300, "in the first screen, above every number"
