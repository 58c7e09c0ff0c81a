"""The preview and the data card show what the data set holds."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.records import Stats
from figtune.reports.data_card import write_data_card
from figtune.reports.preview import write_preview
from tests.dataset.content_maker import CHOICES, PLAIN_FIGURE, figure, write_content
from tests.dataset.scans import prepare, scan, write_parquet

NO_TOKENIZER = Path("no tokenizer here")


class Page(HTMLParser):
    """Pictures and articles of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.articles: list[dict[str, str | None]] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img":
            self.pictures.append(unquote(found["src"] or ""))
            assert found["loading"] == "lazy"
        elif tag == "article":
            self.articles.append(found)
        self.scripts += tag == "script"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    figures = [
        *(figure(f"paper{number:02}") for number in range(31)),
        *(figure(f"paper{number:02}", "2", replace(PLAIN_FIGURE, confidence=0.1)) for number in range(9)),
    ]
    return make_pages(write_content(folder / "content", figures), folder / "dataset")


def make_pages(content: Path, dataset: Path) -> Path:
    prepare_examples(content, dataset, CHOICES)
    write_data_card(dataset, NO_TOKENIZER)
    write_preview(dataset, NO_TOKENIZER)
    return dataset


def read_page(dataset: Path) -> Page:
    page = Page()
    page.feed((dataset / "preview.html").read_text(encoding="utf-8"))
    return page


@pytest.mark.slow
def test_every_split_task_and_rule_has_its_sample(dataset: Path) -> None:
    page = read_page(dataset)
    shown = [(article["data-split"], article["data-task"]) for article in page.articles if "data-task" in article]
    assert set(shown) == {(split, task) for split in ("train", "val", "test") for task in CHOICES.tasks}
    assert max(shown.count(each) for each in shown) == 6
    assert [article["data-rule"] for article in page.articles if "data-rule" in article] == ["low_confidence"] * 5


def test_every_picture_is_there(dataset: Path) -> None:
    pictures = read_page(dataset).pictures
    assert len(pictures) > 30
    assert all((dataset / picture).is_file() for picture in pictures)


@pytest.mark.slow
def test_texts_of_papers_cannot_become_markup(tmp_path: Path) -> None:
    hostile = "Figure 1. The <script>alert(1)</script> network turns the & image into tokens for the decoder."
    content = write_content(
        tmp_path / "content", [figure(f"100% #{n}", like=replace(PLAIN_FIGURE, caption=hostile)) for n in range(20)]
    )
    dataset = make_pages(content, tmp_path / "dataset")
    page = read_page(dataset)
    assert page.scripts == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in (dataset / "preview.html").read_text(encoding="utf-8")
    assert all((dataset / picture).is_file() for picture in page.pictures)


def test_the_data_card_tells_the_counts(dataset: Path) -> None:
    card = (dataset / "README.md").read_text(encoding="utf-8")
    assert "40 figures and tables = 31 used + 9 left out" in card
    assert "| low_confidence | 9 |" in card
    assert "![Lengths of completions](lengths.svg)" in card


@pytest.mark.slow
def test_pages_are_identical_to_the_byte(dataset: Path) -> None:
    names = ("preview.html", "README.md", "lengths.svg")
    before = [(dataset / name).read_bytes() for name in names]
    write_data_card(dataset, NO_TOKENIZER)
    write_preview(dataset, NO_TOKENIZER)
    assert [(dataset / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_a_task_without_examples_does_not_break_the_pages(tmp_path: Path) -> None:
    content = write_content(tmp_path / "content", [figure(f"paper{number}") for number in range(20)])
    stats: Stats = prepare_examples(content, tmp_path / "dataset", replace(CHOICES, tasks=("caption",)))
    write_data_card(tmp_path / "dataset", NO_TOKENIZER)
    write_preview(tmp_path / "dataset", NO_TOKENIZER)
    assert list(stats.completion_words) == ["caption"]
    assert {article.get("data-task") for article in read_page(tmp_path / "dataset").articles} == {"caption"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    rows = [scan(number) for number in range(30)]
    bad = [replace(scan(99), image=b"no picture"), replace(scan(98), caption="<b>No</b> text.")]
    prepare(write_parquet(folder / "brain scans", {"train": [*rows, *bad]}), folder / "dataset")
    return folder / "dataset"


def test_a_data_set_has_its_own_words(scans: Path) -> None:
    write_data_card(scans, NO_TOKENIZER)
    write_preview(scans, NO_TOKENIZER)
    card = (scans / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Images and texts of brain scans\n\n30 examples from 30 rows")
    assert "32 rows = 30 used + 2 left out" in card
    text = (scans / "preview.html").read_text(encoding="utf-8")
    page = read_page(scans)
    body = text.partition("<main>")[2]
    assert not re.search("papers|figures", body)
    assert {article["data-task"] for article in page.articles if "data-task" in article} == {"given"}
    assert {article["data-rule"] for article in page.articles if "data-rule" in article} == {
        "unreadable_image",
        "too_short",
    }
    assert all((scans / picture).is_file() for picture in page.pictures)


def test_tokens_are_counted_where_a_tokenizer_is_at_hand(scans: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_data_card(scans, tmp_path / "tokenizer.json")
    write_preview(scans, tmp_path / "tokenizer.json")
    # "Report on this scan." and "An axial scan, number 7. A bright spot lies in the left half."
    assert "| 17 | 17 | 17 |" in (scans / "README.md").read_text(encoding="utf-8")
    assert "Prompt, 4 words, 4 tokens" in (scans / "preview.html").read_text(encoding="utf-8")
    assert "text tokens of prompt" in (scans / "lengths.svg").read_text(encoding="utf-8")
