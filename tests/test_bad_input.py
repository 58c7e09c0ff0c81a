"""Mistakes of users end in one clear line and the right exit code, never in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, Demo, Ran, run_script
from tests.extraction.hostile_pdfs import write_paper
from tests.rows import each_row

pytestmark = pytest.mark.slow


def _one_line(ran: Ran, code: int, *words: str) -> None:
    assert ran.code == code, ran.stderr
    assert "Traceback" not in ran.stderr
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ran.stderr
    for word in words:
        assert word in errors[0]


def _in(tmp_path: Path) -> tuple[str, ...]:
    return ("--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / "output"))


def test_a_missing_folder(tmp_path: Path) -> None:
    _one_line(run_script("extract_content.py", "--pdf_dir", str(tmp_path / "nowhere"), *_in(tmp_path)), 3, "nowhere")


def test_a_folder_without_papers(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no paper")
    ran = run_script("main.py", "--pdf_dir", str(tmp_path), *_in(tmp_path))
    _one_line(ran, 3, str(tmp_path), "--pdf_dir")
    assert not (tmp_path / "work").exists()


def test_only_papers_that_cannot_be_read(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "letter.pdf").write_text("Dear Sir or Madam")
    ran = run_script("extract_content.py", "--pdf_dir", str(papers), *_in(tmp_path))
    _one_line(ran, 5, "papers.jsonl")
    assert "failed: 'letter.pdf': " in ran.stderr
    assert '"status":"failed"' in (tmp_path / "work" / "content" / "papers.jsonl").read_text()


def test_a_paper_cut_off_is_counted_and_ends_a_strict_run(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    write_paper(papers / "whole.pdf", title="A Whole Paper on Probes")
    write_paper(papers / "cut.pdf", pages=3)
    data = (papers / "cut.pdf").read_bytes()
    (papers / "cut.pdf").write_bytes(data[: int(0.9 * len(data))])
    flags = ("--pdf_dir", str(papers), *_in(tmp_path))
    ran = run_script("extract_content.py", *flags)
    assert ran.code == 0, ran.stderr
    assert "1 repaired" in ran.stderr
    assert "repaired: 'cut.pdf': the file is damaged" in ran.stderr
    _one_line(run_script("extract_content.py", *flags, "--strict"), 7, "damaged: 1")


def test_a_name_that_is_not_utf_8_is_read_in_any_locale(tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    for number, name in enumerate((b"caf\xe9.pdf", "caf\N{LATIN SMALL LETTER E WITH ACUTE} too.pdf".encode())):
        path = Path(os.fsdecode(os.fsencode(papers) + b"/" + name))
        write_paper(tmp_path / "made.pdf", title=f"Paper Number {number} on Probes")
        (tmp_path / "made.pdf").rename(path)
    (Path(os.fsdecode(os.fsencode(papers) + b"/gone \xff.pdf"))).write_bytes(b"%PDF-1.7 broken")
    made = []
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    for number, variables in enumerate(({}, ascii_only)):
        work = tmp_path / f"work {number}"
        flags = ("--pdf_dir", str(papers), "--work_dir", str(work))
        ran = run_script("extract_content.py", *flags, variables=variables)
        assert ran.code == 0, ran.stderr
        assert "Traceback" not in ran.stderr
        made.append((work / "content" / "papers.jsonl").read_text(encoding="utf-8"))
    assert made[0] == made[1]
    assert str(tmp_path) not in made[0]
    records = [json.loads(line) for line in made[0].splitlines()]
    assert [(record["file"], record["status"]) for record in records] == [
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE} too.pdf", "ok"),
        ("caf\\xe9.pdf", "ok"),
        ("gone \\xff.pdf", "failed"),
    ]


@each_row("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_text_that_stdout_cannot_encode_is_not_lost(tmp_path: Path, encoding: str) -> None:
    text = "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{GRINNING FACE} \udce9"
    program = (
        "import json, sys\nfrom figtune.core.cli import run_cli\n"
        "from figtune.core.log import print_result\n"
        f"sys.exit(run_cli(lambda: print_result(json.dumps({text!r}, ensure_ascii=False))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONIOENCODING": encoding}, cwd=ROOT, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode(encoding)) == text


@each_row(
    ("script", "maker"),
    [
        ("prepare_data.py", "python extract_content.py"),
        ("train_model.py", "python prepare_data.py"),
        ("test_model.py", "python prepare_data.py"),
    ],
)
def test_a_stage_whose_input_is_missing_names_the_command_that_makes_it(
    tmp_path: Path, script: str, maker: str
) -> None:
    _one_line(run_script(script, *_in(tmp_path)), 4, maker)
    assert not (tmp_path / "output").exists()


def test_a_question_about_an_image_before_there_is_an_adapter(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    flags = ("--steps", "test", "--test_image", str(tmp_path / "image.png"))
    _one_line(run_script("main.py", *flags, *_in(tmp_path)), 4, "python train_model.py")


def test_an_image_that_is_none(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_text("not a picture")
    _one_line(demo.run("--steps", "test", "--test_image", str(tmp_path / "image.png")), 3, "image.png")
    _one_line(demo.run("--steps", "test", "--test_image", str(tmp_path / "gone.png")), 3, "gone.png")


@each_row("flags", [("--steps", "trian"), ("--train.epochs", "many"), ("--train.epocs", "3")])
def test_typos_and_bad_values_exit_with_2(flags: tuple[str, ...]) -> None:
    ran = run_script("main.py", *flags)
    assert ran.code == 2
    assert "Traceback" not in ran.stderr


def test_a_value_out_of_range(tmp_path: Path) -> None:
    _one_line(run_script("train_model.py", "--train.learning_rate", "-1"), 2, "--train.learning_rate")


def test_a_model_that_is_neither_folder_nor_reachable(tmp_path: Path) -> None:
    ran = run_script("setup_model.py", "--model.name", str(tmp_path / "no-model"), *_in(tmp_path))
    _one_line(ran, 6, "no-model", "--model.name")


def test_a_work_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("occupied")
    _one_line(run_script("prepare_data.py", *_in(tmp_path)), 6, "not a directory", str(tmp_path / "work"))
