"""The evaluation's page: whole, safe, and pointing at files that exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from figtune.metrics.records import Baseline, Prediction, Source
from figtune.reports.evaluation import AxisRange, evaluation_page, relative_url
from tests.metrics.sample_predictions import RIGHT, WRONG, choosing, prediction
from tests.reports.sample_evaluations import summary_of
from tests.rows import each_row

HOSTILE = "</p><script>alert('&')</script><img src=x onerror=alert(1)>"


@dataclass
class Element:
    """A start tag and the text up to the next tag."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """The elements of a page, flat."""

    html: str
    elements: list[Element] = field(default_factory=list)
    reading: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        self.reading = True

    def handle_endtag(self, tag: str) -> None:
        self.reading = False

    def handle_data(self, data: str) -> None:
        if self.reading:
            self.elements[-1].text += data

    def all(self, tag: str, css_class: str = "") -> list[Element]:
        """Elements with this tag and class."""
        return [
            element
            for element in self.elements
            if element.tag == tag and (not css_class or css_class in element.attributes.get("class", "").split())
        ]


def page_of(
    predictions: Sequence[Prediction], *, images: str = "data", curves: str | None = None, source: Source = "papers"
) -> Page:
    return Page(evaluation_page(summary_of(predictions, source), predictions, images=images, curves=curves))


def test_whatever_a_text_holds_stays_text() -> None:
    hostile = prediction(
        1, reference=HOSTILE, tuned_answer=HOSTILE, prompt=HOSTILE, kind=HOSTILE, task=HOSTILE, image='a"b/<c>.png'
    )
    page, plain = page_of([hostile, prediction(2)]), page_of([prediction(1), prediction(2)])
    assert len(page.all("script")) == len(plain.all("script")) > 0
    assert len(page.all("img")) == 2
    assert not any("onerror" in element.attributes for element in page.elements)
    assert [element.text for element in page.all("p", "text")].count(HOSTILE) == 3


def test_every_image_is_there_and_loaded_late(tmp_path: Path) -> None:
    dataset, evaluation = tmp_path / "my data #1 50%" / "dataset", tmp_path / "out" / "evaluation"
    names = ["images/a b.png", "images/c%20d#e.png"]
    (dataset / "images").mkdir(parents=True)
    evaluation.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(dataset / name)
    curves = evaluation.parent / "curves.png"
    curves.touch()
    page = page_of(
        [prediction(number, image=name) for number, name in enumerate(names)],
        images=relative_url(dataset, evaluation),
        curves=relative_url(curves, evaluation),
    )
    images = page.all("img")
    assert len(images) == 3
    for image in images:
        assert image.attributes["loading"] == "lazy"
        assert "#" not in image.attributes["src"]
        assert (evaluation / unquote(image.attributes["src"])).is_file()


def test_the_page_asks_the_network_for_nothing() -> None:
    page = page_of([prediction(1), prediction(2)])
    assert "http://" not in page.html
    assert "https://" not in page.html
    assert not page.all("link")
    assert not any("src" in element.attributes for element in page.all("script"))


def test_the_verdict_comes_before_every_number() -> None:
    predictions = [prediction(1), prediction(2)]
    page = page_of(predictions)
    sentence = escape(summary_of(predictions).verdict.sentence)
    assert page.html.index(sentence) < page.html.index("<table")


def test_best_answers_come_first_and_each_carries_what_it_is_filtered_by() -> None:
    page = page_of(
        [
            prediction(1, tuned_answer="Nothing.", task="explain", kind="", split="minitrain"),
            prediction(2, base_loss=3.0, tuned_loss=1.0),
        ]
    )
    cards = [card.attributes for card in page.all("article")]
    assert [card["data-split"] for card in cards] == ["test", "minitrain"]
    assert [card["data-task"] for card in cards] == ["caption", "explain"]
    assert [card["data-kind"] for card in cards] == ["plot", ""]
    assert float(cards[0]["data-drop"]) == 2.0
    assert float(cards[0]["data-score"]) > float(cards[1]["data-score"])
    options = [option.text for option in page.all("option")]
    assert options[4:] == ["all", "held-out papers", "training figures", "all", "caption", "explain", "all", "plot"]


def test_a_slice_that_says_nothing_new_has_no_row() -> None:
    one_task = page_of([prediction(1), prediction(2)])
    assert [row.text for row in one_task.all("td") if row.text in {"all", "caption", "plot"}] == ["all"]
    assert not one_task.all("details")
    two_tasks = page_of([prediction(1), prediction(2, task="explain")])
    names = [row.text for row in two_tasks.all("td") if row.text in {"all", "caption", "explain"}]
    assert names == ["all", "caption", "explain"]
    heads = [head.text for head in two_tasks.all("th")]
    assert [text for text in heads if text in {"caption", "explain"}] == ["caption", "explain"], "all their scores"


def test_perplexities_stay_readable() -> None:
    page = page_of([prediction(1, base_loss=14.6, tuned_loss=5.0)])
    assert ">over 99,999</td>" in page.html
    assert ">148</td>" in page.html


def test_an_answer_that_was_cut_or_is_empty_is_marked() -> None:
    page = page_of([prediction(1, ended_with_eos=False, tuned_answer=""), prediction(2)])
    assert "cut at 1 token<" in page.html
    assert page.html.count("(empty answer)") == 1


def test_an_estimate_without_interval_says_why() -> None:
    page = page_of([prediction(1, wrong_image=None, wrong_image_loss=None)])
    assert [element.text for element in page.all("span", "quiet")].count("one paper") == 7
    assert "no other image" in page.html


@each_row(("value", "percent"), [(-1.0, 0.0), (0.0, 25.0), (3.0, 100.0)])
def test_a_scale_runs_from_left_to_right(value: float, percent: float) -> None:
    assert AxisRange(-1.0, 3.0).percent(value) == percent


def test_models_and_baselines_stand_in_one_table() -> None:
    guesses: Mapping[Baseline, str] = {"frequent words": "a plot of", "nearest picture": "A plot of accuracy."}
    page = page_of([prediction(n, guesses=guesses) for n in (1, 2)])
    rows = [cell.text for cell in page.all("td")]
    named = [text for text in rows if text in {"tuned model", "base model", *guesses, "typical text"}]
    assert named == ["tuned model", "base model", "frequent words", "nearest picture"]


def test_a_model_that_ignores_its_pictures_is_called_that_first_of_all() -> None:
    page = page_of([prediction(n, tuned_loss=1.0, wrong_image_loss=1.0) for n in range(6)])
    headline = "This model ignores its images: its answers hardly depend on them."
    assert [element.text for element in page.all("p", "headline")] == [headline]
    assert page.html.index(headline) < page.html.index("Fine-tuning helped")
    assert not page_of([prediction(n) for n in range(6)]).all("p", "headline")


def test_losses_that_are_no_numbers_are_said_to_be_none() -> None:
    page = page_of([prediction(1, base_loss=None, grey_image_loss=None), prediction(2)])
    assert "1 not finite" in page.html
    assert "loss not finite" in page.html
    assert "with a uniform grey not finite" in page.html
    assert "loss is not finite" in page_of([prediction(1, base_loss=None, tuned_loss=None)]).html


def test_a_report_on_scans_speaks_of_images_and_their_facts() -> None:
    scans = [
        prediction(n, task="given", kind="", reference="An axial MRI.", tuned_answer="Axial.", base_answer="Hm.")
        for n in (1, 2)
    ]
    page = page_of(scans, source="images")
    cells = [cell.text.strip() for cell in page.all("td")]
    assert cells[cells.index("modality") :][:2] == ["modality", "2 of 2"]
    assert "Held-out images" in page.html
    words = re.sub(r"<[^>]*>|paper-\d|--paper", "", page.html)
    assert "papers" not in words
    assert not page_of([prediction(1), prediction(2)]).html.count("<h2>Facts</h2>")


def test_choices_have_their_table() -> None:
    members = [choosing(1), choosing(2, losses=WRONG), choosing(3, wrong=RIGHT)]
    html = evaluation_page(summary_of(members), members, images="data", curves=None)
    (table,) = re.findall(r"Which text belongs to the image\?</h2>(.*?)</table>", html, re.DOTALL)
    assert re.findall(r">\s*(\d+) %<br>", table) == ["67", "33", "0", "73", "47"]
    assert "Losses of the right text and 4 wrong ones: 1.00, 2.00, 2.00, 2.00, 2.00" in html
    plain = [prediction(1)]
    assert "Which text" not in evaluation_page(summary_of(plain), plain, images="data", curves=None)


def test_short_answers_have_their_table() -> None:
    questions = [
        prediction(number, task="question", reference="yes", tuned_answer="yes" if number else "no", base_answer="no")
        for number in range(4)
    ]
    questions = [replace(each, grey_answer="no") for each in questions]
    reading = prediction(9, task="read", reference="a b c d", tuned_answer="a b c", base_answer="")
    reading = replace(reading, grey_answer="d")
    members = [*questions, reading]
    html = evaluation_page(summary_of(members), members, images="data", curves=None)
    cell = r"<td class=.number.>\s*(\d+) %"
    rows = re.findall(rf"<tr><td>([^<]+), [^<,]+</td><td class=.number.>\d+</td>\s*{cell}.*?{cell}", html, re.DOTALL)
    assert rows == [
        ("questions right", "75", "0"),
        ("words read: recall", "75", "25"),
        ("words read: precision", "100", "100"),
    ]
    plain = [prediction(1)]
    assert "Short answers" not in evaluation_page(summary_of(plain), plain, images="data", curves=None)
