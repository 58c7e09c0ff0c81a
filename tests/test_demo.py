"""The whole pipeline on the sample papers: what it makes, what it learns, what it does again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import config
from figtune.core.jsonl import read_json, read_records
from figtune.core.settings import read_settings
from figtune.dataset.records import (
    MINITRAIN_FILE,
    REJECTED_FILE,
    SPLITS,
    STATS_FILE,
    Example,
    Rejection,
    Stats,
    examples_file,
)
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureRecord, PaperRecord
from figtune.metrics.records import METRICS_FILE, PREDICTIONS_FILE, EvaluationSummary, Prediction
from tests.conftest import ROOT, Demo

COMMAND = "python main.py --preset demo"


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_paper_has_its_line_and_every_figure_its_crop(demo: Demo) -> None:
    content = demo.work_dir / "content"
    papers = read_records(content / PAPERS_FILE, PaperRecord, COMMAND)
    figures = read_records(content / FIGURES_FILE, FigureRecord, COMMAND)
    assert [paper.file for paper in papers] == sorted(path.name for path in (ROOT / "samples").glob("*.pdf"))
    assert {paper.status for paper in papers} == {"ok"}
    for paper in papers:
        mine = [figure for figure in figures if figure.paper_id == paper.paper_id]
        assert (paper.figures, paper.tables) == (
            sum(figure.figure_type == "Figure" for figure in mine),
            sum(figure.figure_type == "Table" for figure in mine),
        )
    assert all(figure.crop and (content / figure.crop).is_file() for figure in figures)


def test_counts_add_up_from_papers_to_predictions(demo: Demo) -> None:
    dataset = demo.work_dir / "dataset"
    stats = read_json(dataset / STATS_FILE, Stats, COMMAND)
    figures = read_records(demo.work_dir / "content" / FIGURES_FILE, FigureRecord, COMMAND)
    rejections = read_records(dataset / REJECTED_FILE, Rejection, COMMAND)
    assert stats.figures == len(figures) == stats.figures_used + stats.figures_rejected
    assert len(rejections) == stats.figures_rejected + stats.examples_rejected
    for split in SPLITS:
        examples = read_records(dataset / examples_file(split), Example, COMMAND)
        assert len(examples) == sum(stats.examples[split].values())
        assert len({example.group for example in examples}) == stats.groups[split]
    predictions = read_records(demo.output_dir / "evaluation" / PREDICTIONS_FILE, Prediction, COMMAND)
    assert len(predictions) == sum(stats.examples["test"].values()) + stats.minitrain


def test_the_model_has_learned_the_training_figures(demo: Demo) -> None:
    summary = read_json(demo.output_dir / "evaluation" / METRICS_FILE, EvaluationSummary, COMMAND)
    (known,) = (part for part in summary.slices if (part.split, part.by) == ("minitrain", "all"))
    assert known.base.loss is not None
    assert known.tuned.loss is not None
    assert known.base.loss.value > 5 * known.tuned.loss.value
    assert known.tuned.chrf.value > 60, "answers about training figures are recognisably right"
    assert known.image_gain is not None
    assert (known.image_gain.low or 0) > 0, "it looks at the picture"


def test_the_report_says_what_it_is_and_shows_the_figures(demo: Demo) -> None:
    page = demo.output_dir / "evaluation" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "This is the demo model" in text
    sources = set(re.findall(r'<img[^>]* src="([^"]+)"', text))
    assert len(sources) > 10
    assert [source for source in sources if not (page.parent / unquote(source)).is_file()] == []


def test_an_answer_is_all_there_is_on_stdout(demo: Demo) -> None:
    dataset = demo.work_dir / "dataset"
    example = next(each for each in read_records(dataset / MINITRAIN_FILE, Example, COMMAND) if each.task == "caption")
    ran = demo.run("--steps", "test", "--test_image", str(dataset / example.image), "--prompt", example.prompt)
    assert ran.code == 0, ran.stderr
    predictions = read_records(demo.output_dir / "evaluation" / PREDICTIONS_FILE, Prediction, COMMAND)
    (predicted,) = (each for each in predictions if each.example_id == example.example_id)
    assert ran.stdout.strip() == predicted.tuned.answer


def test_a_second_run_has_nothing_to_do_and_imports_no_torch(demo: Demo) -> None:
    flags = ["--preset", "demo", "--work_dir", str(demo.work_dir), "--output_dir", str(demo.output_dir)]
    code = f"import sys, main; code = main.main({flags!r}); print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
    assert done.stderr.count("up to date") == len(config.STEPS)


def test_a_tweak_touches_only_what_depends_on_it(demo: Demo) -> None:
    before = _files(demo.work_dir)
    prepared = demo.run("--dry_run", "--prepare.max_words", "96").stdout.splitlines()
    assert prepared == [
        "extract: up to date",
        "prepare: settings changed: prepare.max_words 200 -> 96",
        "setup: up to date",
        "train: made anew: prepare",
        "test: made anew: prepare, train",
    ]
    trained = demo.run("--dry_run", "--steps", "prepare", "train", "--train.learning_rate", "0.5").stdout.splitlines()
    assert trained[0] == "prepare: up to date"
    assert trained[1].startswith("train: settings changed: train.learning_rate ")
    assert _files(demo.work_dir) == before


def test_another_layout_makes_nothing_else_stale(demo: Demo) -> None:
    ran = demo.run("--dry_run", "--prepare.shard_examples", "9")
    assert ran.stdout.splitlines() == [
        "extract: up to date",
        "prepare: settings changed: prepare.shard_examples 0 -> 9",
        *(f"{step}: up to date" for step in ("setup", "train", "test")),
    ]


def test_training_brings_setup_along_and_says_so(demo: Demo, tmp_path: Path) -> None:
    ran = demo.run("--steps", "prepare", "train", "--dry_run", "--adapter.rank", "3")
    assert "setup: added, since train needs it (settings changed: adapter.rank" in ran.stderr
    assert [line.split(":")[0] for line in ran.stdout.splitlines()] == ["prepare", "setup", "train"]


def test_another_run_makes_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    again = Demo(work_dir=tmp_path / "work", output_dir=tmp_path / "output")
    ran = again.run("--steps", "extract", "prepare", "setup", "--workers", "1")
    assert ran.code == 0, ran.stderr
    for name in ("content", "dataset"):
        assert _files(again.work_dir / name) == _files(demo.work_dir / name)


def test_the_configuration_beside_the_result_reads_back_equal(demo: Demo) -> None:
    written = read_settings(demo.output_dir / "config.json", config.Config())
    assert written.model == config.PRESETS["demo"]().model
    assert written.output_dir == demo.output_dir
