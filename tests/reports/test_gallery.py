"""The gallery of a content folder: all that was found is in it, and nothing in it is alive."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from figtune.core.jsonl import write_records
from figtune.extraction.records import (
    FIGURES_FILE,
    GALLERY_FILE,
    PAPERS_FILE,
    FigureRecord,
    Mention,
    Panel,
    PaperRecord,
    PaperStatus,
)
from figtune.reports.gallery import write_gallery

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)> {{ 7*7 }} </style>"


@dataclass
class Seen(HTMLParser):
    """Parse a page as a browser would."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of that name."""
        return [attributes for name, attributes in self.tags if name == tag]


def paper(paper_id: str, status: PaperStatus = "ok", text: str = "words") -> PaperRecord:
    """A paper whose every text is `text`."""
    return PaperRecord(
        paper_id=paper_id,
        file=f"{text}.pdf",
        sha256="0" * 64,
        pages=3,
        status=status,
        reason="" if status == "ok" else f"why: {text}",
        title=text,
        figures=1,
        tables=0,
    )


def figure(paper_id: str, name: str, *, crop: bool = True, text: str = "words") -> FigureRecord:
    """A figure on page 2 whose every text is `text`."""
    figure_id = f"{paper_id}-figure-{name}"
    return FigureRecord(
        paper_id=paper_id,
        figure_id=figure_id,
        figure_type="Figure",
        name=name,
        page=2,
        caption=f"Figure {name}. {text}",
        caption_box=(10.0, 60.0, 90.0, 70.0),
        region_box=(10.0, 20.0, 90.0, 50.0) if crop else None,
        crop=f"crops/{paper_id}/{figure_id}.png" if crop else None,
        crop_size=(80, 30) if crop else None,
        dpi=100,
        kind="plot",
        kind_score=0.9,
        confidence=0.7 if crop else 0.0,
        reason="" if crop else f"no region: {text}",
        figure_text=text,
        panels=(Panel(label="a", box=None, caption=text),),
        mentions=(Mention(page=1, section=text, text=text),),
    )


def gallery(folder: Path, papers: list[PaperRecord], figures: list[FigureRecord]) -> Seen:
    """The page that is written for these records."""
    write_records(folder / PAPERS_FILE, papers)
    write_records(folder / FIGURES_FILE, figures)
    for one in figures:
        thumbnail = folder / "thumbnails" / one.paper_id / f"{one.page}.jpg"
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (306, 396), 255).save(thumbnail)
    write_gallery(folder)
    seen = Seen()
    seen.feed((folder / GALLERY_FILE).read_text())
    return seen


def test_everything_found_is_shown(tmp_path: Path) -> None:
    papers = [paper("a"), paper("b"), paper("c", "failed", "c is encrypted"), paper("d", "duplicate")]
    figures = [figure("a", "1"), figure("a", "2", crop=False), figure("b", "1")]
    seen = gallery(tmp_path, papers, figures)

    cards = {card["id"]: card for card in seen.of("article")}
    assert list(cards) == [one.figure_id for one in figures]
    assert cards["a-figure-1"]["data-kind"] == "plot"
    assert cards["a-figure-1"]["data-confidence"] == "0.7"
    assert [name for name, card in cards.items() if "data-incomplete" in card] == ["a-figure-2"]
    sources = [image["src"] for image in seen.of("img")]
    assert sources == [
        "thumbnails/a/2.jpg",
        "crops/a/a-figure-1.png",
        "thumbnails/b/2.jpg",
        "crops/b/b-figure-1.png",
    ]
    assert all(image["loading"] == "lazy" for image in seen.of("img"))
    assert "why: c is encrypted" in seen.texts


def test_failures_come_before_the_papers(tmp_path: Path) -> None:
    gallery(tmp_path, [paper("a"), paper("c", "failed")], [figure("a", "1")])
    page = (tmp_path / GALLERY_FILE).read_text()
    assert page.index('id="unusable"') < page.index('class="paper"')


def test_boxes_lie_over_the_page_where_the_records_say(tmp_path: Path) -> None:
    seen = gallery(tmp_path, [paper("a")], [figure("a", "1")])
    (drawing,) = seen.of("svg")
    assert drawing["viewbox"] == "0 0 612.0 792.0"
    boxes = {box["class"]: [box[side] for side in ("x", "y", "width", "height")] for box in seen.of("rect")}
    assert boxes == {"on-caption": ["10.0", "60.0", "80.0", "10.0"], "on-figure": ["10.0", "20.0", "80.0", "30.0"]}
    assert {link["href"] for link in seen.of("a")} >= {"#a-figure-1"}


def test_nothing_of_a_paper_is_alive_on_the_page(tmp_path: Path) -> None:
    harmless = gallery(tmp_path, [paper("a"), paper("c", "failed")], [figure("a", "1"), figure("a", "2", crop=False)])
    attacked = gallery(
        tmp_path,
        [paper("a", text=ATTACK), paper("c", "failed", ATTACK)],
        [figure("a", "1", text=ATTACK), figure("a", "2", crop=False, text=ATTACK)],
    )
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in harmless.tags]
    assert [set(attributes) for _, attributes in attacked.tags] == [set(attributes) for _, attributes in harmless.tags]
    assert any(ATTACK in text for text in attacked.texts), "shown as text"


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    seen = gallery(tmp_path, [paper("a")], [figure("a", "1")])
    links = [value for _, attributes in seen.tags for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert not [link for link in links if re.match(r"^\w+:|^//", link or "")]
    policies = [meta["content"] for meta in seen.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert "default-src 'none'" in (policies[0] or "")


def test_the_same_records_give_the_same_page(tmp_path: Path) -> None:
    pages = []
    for _ in range(2):
        gallery(tmp_path, [paper("a")], [figure("a", "1")])
        pages.append((tmp_path / GALLERY_FILE).read_bytes())
    assert pages[0] == pages[1]


def test_a_folder_without_figures_has_a_page_too(tmp_path: Path) -> None:
    seen = gallery(tmp_path, [paper("c", "failed", "c is encrypted")], [])
    assert "why: c is encrypted" in seen.texts
    assert not seen.of("article")


def test_a_figure_adds_little_to_the_page(tmp_path: Path) -> None:
    one_paper = [paper("p")]
    gallery(tmp_path, one_paper, [figure("p", "1")])
    before = (tmp_path / GALLERY_FILE).stat().st_size
    gallery(tmp_path, one_paper, [figure("p", str(number)) for number in range(1, 102)])
    assert (tmp_path / GALLERY_FILE).stat().st_size - before < 100 * 2500, "bytes of 100 more figures"
