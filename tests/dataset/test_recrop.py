"""Crops with a box that a person has set: from the page where the paper is at hand, else out of the crop."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image

import extract_content
from figtune.core.errors import ExitCode, InputError
from figtune.core.jsonl import read_json
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.content_folder import PaperFigure, figures_with_papers
from figtune.dataset.decisions import AppliedDecisions, decided, figure_key
from figtune.dataset.records import SPLITS, STATS_FILE, Example, Stats
from figtune.dataset.recrop import Recropper
from figtune.dataset.shards import stream_examples
from figtune.pdf.document import Document
from figtune.pdf.geometry import Box
from tests.conftest import ROOT
from tests.dataset.content_maker import CHOICES, candidates_of

SETTINGS = replace(CHOICES, tasks=("caption", "read"), val_fraction=0.0, test_fraction=0.0)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    shutil.copy(ROOT / "samples" / "ray_probes.pdf", folder / "paper.pdf")
    return folder


@pytest.fixture(scope="module")
def content(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    assert extract_content.main(["--pdf_dir", str(papers), "--work_dir", str(work), "--workers", "1"]) == ExitCode.DONE
    return work / "content"


@pytest.fixture
def found(content: Path) -> PaperFigure:
    """A figure with words in it."""
    return next(each for each in figures_with_papers(content) if each.figure.crop and each.figure.figure_text.strip())


def recropper(content: Path, folder: Path, pdf_dir: Path | None) -> Recropper:
    return Recropper(content_dir=content, dataset_dir=folder, pdf_dir=pdf_dir)


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(Image.open(path).convert("RGB")).astype(np.int16)


@pytest.mark.slow
def test_the_same_box_gives_the_same_figure(content: Path, papers: Path, tmp_path: Path) -> None:
    for found in figures_with_papers(content):
        if found.figure.crop is None or found.figure.region_box is None:
            continue
        again = recropper(content, tmp_path, papers).recrop(found, found.figure.region_box)
        assert again.figure_text == found.figure.figure_text
        assert again.text_sizes == found.figure.text_sizes
        assert again.crop_size is not None
        assert found.figure.crop_size is not None
        assert np.abs(np.subtract(again.crop_size, found.figure.crop_size)).max() <= 1, "boxes are rounded to 0.1 point"


@pytest.mark.slow
def test_a_wider_box_shows_more_of_the_page(content: Path, papers: Path, tmp_path: Path, found: PaperFigure) -> None:
    assert found.figure.region_box is not None
    assert found.figure.caption_box is not None
    box = Box.around((Box(*found.figure.region_box), Box(*found.figure.caption_box)))
    wider = recropper(content, tmp_path, papers).recrop(found, (box.x0, box.top, box.x1, box.bottom))
    assert f"Figure {found.figure.name}" in wider.figure_text
    assert set(found.figure.figure_text.splitlines()) <= set(wider.figure_text.splitlines())
    assert wider.crop is not None
    with closing(Document(papers / "paper.pdf")) as document:
        expected = document.color(found.figure.page - 1, box.expanded(1.0), found.figure.dpi)
    assert np.array_equal(pixels(content / wider.crop), expected)
    with pytest.raises(InputError, match=r"paper.pdf is not at hand, and the box reaches beyond the crop"):
        recropper(content, tmp_path, None).recrop(found, (box.x0, box.top, box.x1, box.bottom))


def test_a_narrower_box_is_cut_out_of_the_crop(content: Path, tmp_path: Path, found: PaperFigure) -> None:
    x0, top, x1, bottom = found.figure.region_box or (0, 0, 0, 0)
    box = (x0, top, round((x0 + x1) / 2, 1), bottom)
    narrow = recropper(content, tmp_path, tmp_path).recrop(found, box)
    assert narrow.figure_text == "", "the words in it are unknown"
    whole, cut = pixels(content / str(found.figure.crop)), pixels(content / str(narrow.crop))
    offset = round(found.figure.dpi / 72)
    assert np.array_equal(cut, whole[offset : offset + cut.shape[0], offset : offset + cut.shape[1]])
    assert abs(cut.shape[1] - whole.shape[1] / 2) <= offset + 1


def test_another_file_of_that_name_is_not_taken(content: Path, tmp_path: Path, found: PaperFigure) -> None:
    shutil.copy(ROOT / "samples" / "ray_probes.pdf", tmp_path / "paper.pdf")
    with (tmp_path / "paper.pdf").open("ab") as file:
        file.write(b"\n% changed\n")
    with pytest.raises(InputError, match="the box reaches beyond"):
        recropper(content, tmp_path, tmp_path).recrop(found, (0.0, 0.0, 300.0, 300.0))


def test_a_box_off_the_page_is_named(content: Path, papers: Path, tmp_path: Path, found: PaperFigure) -> None:
    with pytest.raises(InputError, match="the box lies outside page"):
        recropper(content, tmp_path, papers).recrop(found, (5000.0, 5000.0, 5100.0, 5100.0))


def prepared(content: Path, folder: Path, decisions: AppliedDecisions, pdf_dir: Path | None) -> dict[str, Example]:
    prepare_examples(content, folder, SETTINGS, decisions, pdf_dir)
    return {example.example_id: example for split in SPLITS for example in stream_examples(folder, split)}


def test_examples_show_the_box_and_read_its_words(
    content: Path, papers: Path, tmp_path: Path, found: PaperFigure, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "dataset"
    before = prepared(content, folder, AppliedDecisions(), papers)
    assert found.figure.caption_box is not None
    box = Box.around((Box(*(found.figure.region_box or (0, 0, 0, 0))), Box(*found.figure.caption_box)))
    key = figure_key(found.figure, found.paper)
    decision = decided(key, "", found.source, box=(box.x0, box.top, box.x1, box.bottom))
    after = prepared(content, folder, AppliedDecisions({key: decision}), papers)
    own = f"{found.figure.figure_id}-"
    assert {name: each for name, each in after.items() if not name.startswith(own)} == {
        name: each for name, each in before.items() if not name.startswith(own)
    }
    caption = after[f"{own}caption"]
    assert caption.image.startswith("images/")
    assert (folder / caption.image).is_file()
    assert caption.completion == before[f"{own}caption"].completion
    assert {each.image for each in candidates_of(folder) if each.figure_id == found.figure.figure_id} == {caption.image}
    assert read_json(folder / STATS_FILE, Stats, "prepare").decisions == {"boxes": 1}
    caplog.clear()
    without = prepared(content, folder, AppliedDecisions({key: decision}), None)
    assert without == before
    assert read_json(folder / STATS_FILE, Stats, "prepare").decisions == {"boxes_not_cut": 1}
    assert not (folder / "images").exists(), "what no example shows is removed"
    assert [record.getMessage() for record in caplog.records if "box set for" in record.getMessage()] == [
        f"the box set for {found.source} is left out: paper.pdf is not at hand, and the box reaches beyond the "
        "crop that is there; give the folder of the papers with --pdf_dir and --force"
    ]


def test_boxes_of_a_page_on_its_side_are_turned_and_back(tmp_path: Path) -> None:
    for turn in (90, 270):
        path = tmp_path / f"{turn}.pdf"
        with pymupdf.open() as file:
            page = file.new_page(width=400, height=600)
            for number in range(12):
                page.insert_text((100 + 15 * number, 300), f"words of line {number}", rotate=turn, fontsize=10)
            file.save(path)
        with closing(Document(path)) as document:
            sideways = document.text(0).sideways
            assert sideways in (90, 270)
            document.set_view(1.0, {0: sideways})
            text = document.text(0)
        for line in text.lines:
            shown = text.as_shown(line.box)
            back = text.from_shown(shown)
            for name in ("x0", "top", "x1", "bottom"):
                assert getattr(back, name) == pytest.approx(getattr(line.box, name))
            assert [each.text for each in text.lines_in(back)] == [line.text]
