"""A figure of a paper is found and asked about exactly as training examples are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config import EXTRACT, PREPARE
from figtune.core.errors import InputError, UsageError
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_records
from figtune.dataset.build_from_papers import prepare_examples
from figtune.dataset.records import SPLITS, Example, Task, examples_file
from figtune.extraction.records import FigureRecord
from figtune.inference.adapter_record import is_paper
from figtune.inference.ask import ask_about
from figtune.inference.paper_figures import Paper, read_paper, select_figure
from tests.conftest import ROOT, Demo
from tests.extraction import hostile_pdfs
from tests.inference.conftest import CAPTION, PAPER, SETTINGS
from tests.rows import each_row


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    """As the demo reads it."""
    return read_paper(ROOT / "samples" / "ray_probes.pdf", tmp_path_factory.mktemp("paper"), EXTRACT)


def prompt(paper: Paper, figure: FigureRecord, task: Task, custom_prompt: str | None) -> str:
    return replace(CAPTION, task=task, custom_prompt=custom_prompt).figure_prompt(paper, figure)


def test_prompts_and_pictures_are_those_of_the_training_examples(paper: Paper, demo: Demo) -> None:
    examples = [
        example
        for split in SPLITS
        for example in read_records(demo.work_dir / "dataset" / examples_file(split), Example, "prepare")
        if example.source.startswith("ray_probes.pdf")
    ]
    compared = 0
    for figure in paper.figures:
        for example in examples:
            if example.task != "given" and example.example_id == f"{figure.figure_id}-{example.task}":
                assert prompt(paper, figure, example.task, None) == example.prompt
                assert sha256_of(paper.crop(figure)) == example.image_sha256
                compared += 1
    assert compared > 10


def test_what_prompts_were_made_to_tell_is_told_in_asking_too(paper: Paper, demo: Demo, tmp_path: Path) -> None:
    settings = replace(PREPARE, figure_words=True, other_captions=True, val_fraction=0.0, test_fraction=0.0)
    prepare_examples(demo.work_dir / "content", tmp_path, settings)
    made = {
        each.example_id: each.prompt for each in read_records(tmp_path / examples_file("train"), Example, "prepare")
    }
    spec, compared = replace(CAPTION, prepare=settings), 0
    for figure in paper.figures:
        example_id = f"{figure.figure_id}-caption"
        if example_id in made:
            asked = spec.figure_prompt(paper, figure)
            assert asked == made[example_id]
            assert "Other captions: " in asked
            compared += 1
    assert compared > 2


@pytest.mark.slow
def test_own_words_come_after_the_same_context(paper: Paper) -> None:
    figure = select_figure(paper, "3")
    asked = prompt(paper, figure, "explain", None).splitlines()
    assert prompt(paper, figure, "explain", "What is the query?").splitlines() == [*asked[:-1], "What is the query?"]
    assert [line.split(":")[0] for line in asked[:-1]] == ["Title", "Section", "Caption"]
    assert prompt(paper, figure, "caption", "What is the query?") == "What is the query?"


@each_row(
    ("wanted", "label"),
    [
        ("3", "Figure 3"),
        (" Figure 3 ", "Figure 3"),
        ("fig. 3", "Figure 3"),
        ("Fig.3:", "Figure 3"),
        ("Table 2", "Table 2"),
        ("tab. 2", "Table 2"),
    ],
)
def test_a_figure_is_named_as_people_name_it(paper: Paper, wanted: str, label: str) -> None:
    figure = select_figure(paper, wanted)
    assert f"{figure.figure_type} {figure.name}" == label
    assert figure.caption.startswith(label)


def test_a_figure_that_is_not_there_lists_those_that_are(paper: Paper) -> None:
    with pytest.raises(InputError, match=r"has no Figure 9; it has Figure 1, 2, 3, 4, 5, 6, 7; Table 1, 2"):
        select_figure(paper, "9")
    with pytest.raises(UsageError, match=r"ray_probes\.pdf has Figure 1, .*--figure 3"):
        select_figure(paper, None)
    with pytest.raises(UsageError, match="names no figure"):
        select_figure(paper, "the last one")


@pytest.mark.slow
def test_a_question_about_a_figure_is_answered(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile_pdfs.write_paper(tmp_path / "small.pdf", pages=1)
    ask_about(output, tmp_path / "small.pdf", CAPTION, SETTINGS, figure="1", answers=None)
    said = capsys.readouterr()
    assert said.out.strip()
    assert "small.pdf, page 1: Figure 1" in said.err


@pytest.mark.slow
def test_a_paper_without_figures_says_so(tmp_path: Path) -> None:
    import pymupdf

    document = pymupdf.open()
    document.new_page().insert_textbox(pymupdf.Rect(50, 50, 500, 700), hostile_pdfs.BODY * 3)
    document.save(tmp_path / "letter.pdf")
    with pytest.raises(InputError, match=r"letter\.pdf has no figure or table with a caption"):
        read_paper(tmp_path / "letter.pdf", tmp_path, PAPER)


def test_a_paper_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    hostile_pdfs.write_paper(tmp_path / "upload", pages=1)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert is_paper(tmp_path / "upload")
    assert is_paper(tmp_path / "absent.PDF")
    assert not is_paper(tmp_path / "image.png")
    assert not is_paper(tmp_path)
