"""A folder of papers extracted by workers that may die: one record each, the same bytes whatever happened."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from config import EXTRACT
from figtune.core.errors import ExitCode, InputError, ResourceError
from figtune.core.jsonl import read_records
from figtune.extraction import extract_folder as batch
from figtune.extraction.extract_folder import (
    CONTENT_FILES,
    ExtractionCounts,
    extract_folder,
    log_failures,
    pdf_hashes,
)
from figtune.extraction.paper_cache import CACHE_FOLDER, ExtractionTask, PaperResult
from figtune.extraction.records import PAPERS_FILE, PaperRecord
from figtune.extraction.worker import run_locally
from tests.extraction import extractors
from tests.extraction.extractors import extract_by_name, extract_slowly

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent


def run(
    pdf_dir: Path,
    content_dir: Path,
    *,
    dpi: int = 100,
    timeout_s: float = 60,
    workers: int = 2,
    redo: bool = False,
    extract: Callable[[ExtractionTask], PaperResult] = extract_by_name,
) -> ExtractionCounts:
    """`extract_folder` with the settings that a test does not care about."""
    return extract_folder(
        pdf_dir,
        content_dir,
        replace(EXTRACT, dpi=dpi, longest_side=500, timeout_seconds=timeout_s, memory_mb=300),
        redo=redo,
        extract=extract,
        engine=partial(run_locally, workers=workers),
    )


def papers(content_dir: Path) -> dict[str, PaperRecord]:
    """The records by file."""
    return {paper.file: paper for paper in read_records(content_dir / PAPERS_FILE, PaperRecord, "")}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def extracted(content_dir: Path) -> list[str]:
    """Files extracted since the last call, sorted."""
    log = content_dir.parent / extractors.LOG
    files = sorted(log.read_text().split()) if log.exists() else []
    log.unlink(missing_ok=True)
    return files


@pytest.fixture
def pdf_dir(tmp_path: Path) -> Path:
    """Three papers, one of them in a subfolder."""
    folder = tmp_path / "pdfs"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.pdf", "b.PDF", "deeper/c.pdf"):
        (folder / name).write_bytes(f"content of {name}".encode())
    (folder / "notes.txt").write_text("no paper")
    return folder


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return tmp_path / "content"


def test_whatever_a_paper_does_costs_that_paper_only(pdf_dir: Path, content: Path) -> None:
    reasons = {
        "segfault": "the process reading it died (SIGSEGV)",
        "exit": "the process reading it died (exit code 3)",
        "loop": "takes longer than 5 seconds",
        "sleep": "takes longer than 5 seconds",
        "bomb": "needs more than 300 MB of memory",
        "gone": "cannot be read (no such file or directory)",
        "refused": "refused.pdf is encrypted",
    }
    for name in (*reasons, "fault"):
        (pdf_dir / f"{name}.pdf").write_bytes(name.encode())

    counts = run(pdf_dir, content, timeout_s=5)

    records = papers(content)
    assert {name: records[f"{name}.pdf"].reason for name in reasons} == reasons
    fault = records["fault.pdf"].reason
    assert re.fullmatch(r"a fault of this program at extractors.py:\d+: ValueError: a case nobody thought of", fault)
    assert [file for file, paper in records.items() if paper.status == "ok"] == ["a.pdf", "b.PDF", "deeper/c.pdf"]
    assert (counts.ok, counts.failed) == (3, len(reasons) + 1)


def test_the_setting_of_a_limit_that_papers_reached_is_named(
    pdf_dir: Path, content: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pdf_dir / "loop.pdf").write_bytes(b"loop")
    run(pdf_dir, content, timeout_s=1)
    capsys.readouterr()
    log_failures(content, "python extract_content.py")
    said = capsys.readouterr().err
    assert re.search(r"\d papers? reached a limit: raise --extract\.timeout_seconds, and run the same command", said)


def test_names_of_papers_are_shown_as_they_are_written(
    pdf_dir: Path, content: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("schön.pdf", "論文.pdf", "red\x1b[31m.pdf"):
        (pdf_dir / name).symlink_to("nowhere")
    run(pdf_dir, content)
    capsys.readouterr()
    log_failures(content, "python extract_content.py")
    said = capsys.readouterr().err
    assert "'schön.pdf'" in said
    assert "'論文.pdf'" in said
    assert "'red\\x1b[31m.pdf'" in said


def test_nothing_is_left_of_a_paper_that_failed(pdf_dir: Path, content: Path) -> None:
    run(pdf_dir, content)
    (pdf_dir / "a.pdf").rename(pdf_dir / "fault.pdf")
    run(pdf_dir, content)
    assert not [
        path for path in tree(content) if Path(path).name.startswith(("a-", "fault-")) and ".papers" not in path
    ]


def test_the_number_of_workers_leaves_no_trace(pdf_dir: Path, tmp_path: Path) -> None:
    for number in range(6):
        (pdf_dir / f"more {number}.pdf").write_bytes(f"more {number}".encode())
    for workers in (1, 3):
        run(pdf_dir, tmp_path / f"content {workers}", workers=workers)
    assert tree(tmp_path / "content 1") == tree(tmp_path / "content 3")


def test_killed_at_any_moment_a_rerun_ends_with_the_same_bytes(pdf_dir: Path, tmp_path: Path) -> None:
    for number in range(20):
        (pdf_dir / f"more {number}.pdf").write_bytes(f"more {number}".encode())
    run(pdf_dir, tmp_path / "whole", extract=extract_slowly)

    killed = tmp_path / "killed"
    for finished in (3, 12):
        _kill_after(finished, pdf_dir, killed)
    assert len(list((killed / CACHE_FOLDER).glob("*.json"))) < 23, "it was not killed in the middle"
    run(pdf_dir, killed, extract=extract_slowly)

    assert tree(killed) == tree(tmp_path / "whole")


def _kill_after(finished: int, pdf_dir: Path, content: Path) -> None:
    """SIGKILL a run in a process of its own once that many papers are committed."""
    program = (
        "from pathlib import Path\n"
        "from tests.extraction.test_extract_folder import run, extract_slowly\n"
        "if __name__ == '__main__':\n"
        f"    run(Path({str(pdf_dir)!r}), Path({str(content)!r}), extract=extract_slowly)\n"
    )
    script = content.parent / "killed.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list((content / CACHE_FOLDER).glob("*.json"))) < finished:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_rerun_extracts_only_what_is_new(pdf_dir: Path, content: Path) -> None:
    run(pdf_dir, content)
    assert extracted(content) == ["a.pdf", "b.PDF", "deeper/c.pdf"]
    before = tree(content)
    run(pdf_dir, content)
    assert extracted(content) == []
    assert tree(content) == before

    (pdf_dir / "d.pdf").write_bytes(b"content of d.pdf")
    run(pdf_dir, content)
    assert extracted(content) == ["d.pdf"]

    (pdf_dir / "d.pdf").unlink()
    run(pdf_dir, content)
    assert extracted(content) == []
    assert tree(content) == before, "a removed paper goes, with all that belongs to it"


def test_a_paper_moved_is_the_same_paper(pdf_dir: Path, content: Path) -> None:
    run(pdf_dir, content)
    extracted(content)
    (pdf_dir / "a.pdf").rename(pdf_dir / "deeper" / "a.pdf")
    run(pdf_dir, content)
    assert extracted(content) == []
    assert sorted(papers(content)) == ["b.PDF", "deeper/a.pdf", "deeper/c.pdf"]


@pytest.mark.parametrize("what", ["dpi", "redo", "version"])
def test_what_changes_every_result_extracts_all_anew(
    what: str, pdf_dir: Path, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pdf_dir, content)
    extracted(content)
    if what == "version":
        monkeypatch.setattr(batch, "EXTRACTION_VERSION", batch.EXTRACTION_VERSION + 1)
    run(pdf_dir, content, dpi=300 if what == "dpi" else 100, redo=what == "redo")
    assert extracted(content) == ["a.pdf", "b.PDF", "deeper/c.pdf"]


def test_a_paper_whose_files_were_touched_is_extracted_anew(pdf_dir: Path, content: Path) -> None:
    run(pdf_dir, content)
    extracted(content)
    before = tree(content)
    next((content / "crops").glob("a-*/*.png")).write_bytes(b"scribbled over")
    next((content / "texts").glob("b-*.json")).unlink()
    run(pdf_dir, content)
    assert extracted(content) == ["a.pdf", "b.PDF"]
    assert tree(content) == before


def test_what_ran_into_a_limit_is_tried_again_under_other_limits_only(pdf_dir: Path, content: Path) -> None:
    (pdf_dir / "sleep.pdf").write_bytes(b"sleep")
    run(pdf_dir, content, timeout_s=0.2)
    extracted(content)
    run(pdf_dir, content, timeout_s=0.2)
    assert extracted(content) == []
    run(pdf_dir, content, timeout_s=0.3)
    assert extracted(content) == ["sleep.pdf"]


def test_a_paper_whose_process_was_killed_once_is_read(pdf_dir: Path, content: Path) -> None:
    (pdf_dir / "killed.pdf").write_bytes(b"killed")
    (content.parent / "deaths").write_text("1")
    counts = run(pdf_dir, content)
    assert (counts.ok, counts.failed) == (4, 0)
    assert extracted(content) == ["a.pdf", "b.PDF", "deeper/c.pdf", "killed.pdf", "killed.pdf"]


def test_a_death_by_a_signal_from_outside_is_never_final(pdf_dir: Path, content: Path) -> None:
    (pdf_dir / "killed.pdf").write_bytes(b"killed")
    (content.parent / "deaths").write_text("2")
    with pytest.raises(ResourceError, match=r"not read for that: 1, the first 'killed.pdf': .*SIGKILL") as raised:
        run(pdf_dir, content)
    assert "--extract.memory_mb" in raised.value.remedy
    extracted(content)

    counts = run(pdf_dir, content)
    assert (counts.ok, counts.failed) == (4, 0)
    assert extracted(content) == ["killed.pdf"], "the others are finished"


def test_the_same_content_twice_is_one_paper(pdf_dir: Path, content: Path) -> None:
    for name in ("z copy.pdf", "deeper/a.pdf"):
        (pdf_dir / name).write_bytes((pdf_dir / "a.pdf").read_bytes())
    counts = run(pdf_dir, content)
    records = papers(content)
    original = records["a.pdf"]
    assert (counts.ok, counts.duplicate) == (3, 2)
    for copy in ("z copy.pdf", "deeper/a.pdf"):
        assert records[copy].status == "duplicate"
        assert records[copy].reason == f"same content as a.pdf ({original.paper_id})"
    assert len({paper.paper_id for paper in records.values()}) == 5
    assert "a.pdf" in extracted(content)


HOSTILE_NAMES = [
    b"two\nlines.pdf",
    b"caf\xe9 in latin-1.pdf",
    b"<img src=x onerror=alert(1)>.pdf",
    b"..%2f..%2fescape.pdf",
    b"--help.pdf",
    b"CON.pdf",
    "\u202egnp.emoji \U0001f600.pdf".encode(),
    b"l" * 251 + b".pdf",
    b".pdf",
    b"semi;colon && rm -rf $HOME.pdf",
]


def test_no_name_does_harm(tmp_path: Path) -> None:
    folder = tmp_path / "pdfs"
    folder.mkdir()
    for name in HOSTILE_NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    content = tmp_path / "content"

    counts = run(folder, content)

    assert counts.ok == len(HOSTILE_NAMES)
    records = papers(content).values()
    ids = {paper.paper_id for paper in records}
    assert len(ids) == len(HOSTILE_NAMES)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,68}-[0-9a-f]{8}", paper_id) for paper_id in ids)
    assert {path.name for path in tmp_path.iterdir()} == {"pdfs", "content", extractors.LOG}
    assert sorted(pdf_hashes(folder)) == sorted(paper.file for paper in records)


def test_a_reason_may_name_a_file_whose_name_is_no_text(tmp_path: Path, content: Path) -> None:
    folder = tmp_path / "pdfs"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.pdf")).write_bytes(b"")
    run(folder, content, extract=extractors.refuse_by_name)
    assert [paper.reason for paper in papers(content).values()] == ["caf\\xe9.pdf is no PDF"]


def test_what_is_no_regular_file_is_recorded(pdf_dir: Path, content: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(pdf_dir / "pipe.pdf")
    (pdf_dir / "dangling.pdf").symlink_to(pdf_dir / "nowhere")
    (pdf_dir / "folder.pdf").mkdir()
    (pdf_dir / "circle").symlink_to(pdf_dir)

    counts = run(pdf_dir, content)

    failed = {paper.file: paper.reason for paper in papers(content).values() if paper.status == "failed"}
    assert failed == {"pipe.pdf": "not a regular file", "dangling.pdf": "not a regular file"}
    assert (counts.ok, counts.failed) == (3, 2)
    assert "left out: 'circle': folders behind symbolic links" in caplog.text


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="drops the right of root to read everything")
def test_papers_in_a_folder_that_cannot_be_read_are_not_missed_in_silence(pdf_dir: Path) -> None:
    (pdf_dir / "private").mkdir(mode=0)
    as_others = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    code = (
        "import sys, pathlib; from figtune.extraction.pdf_files import find_pdfs; find_pdfs(pathlib.Path(sys.argv[1]))"
    )
    command = (*as_others, sys.executable, "-c", code, str(pdf_dir))
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1].endswith(
        f"the folder {pdf_dir}/private cannot be read (permission denied), so its papers would be missed; "
        "change its permissions, or move it out of --pdf_dir"
    )


def test_a_folder_that_is_missing_or_holds_no_papers_is_bad_input(tmp_path: Path, content: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, problem in (("missing", "does not exist"), ("file", "is not a folder"), (".", "no PDF below")):
        with pytest.raises(InputError, match=problem) as raised:
            run(tmp_path / folder, content)
        assert raised.value.exit_code == ExitCode.BAD_INPUT
        assert "--pdf_dir" in raised.value.remedy
    assert not content.exists()


def test_a_full_disk_is_one_clear_error_and_keeps_what_is_finished(pdf_dir: Path, content: Path) -> None:
    (pdf_dir / "full.pdf").write_bytes(b"full")
    with pytest.raises(ResourceError, match="is full"):
        run(pdf_dir, content, workers=1)
    extracted(content)
    (pdf_dir / "full.pdf").rename(pdf_dir / "fine.pdf")
    run(pdf_dir, content, workers=1)
    assert extracted(content) == ["fine.pdf"]


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_papers(pdf_dir: Path, content: Path) -> None:
    with pytest.raises(PermissionError):
        run(pdf_dir, content, extract=extractors.refuse_to_write)


def test_the_artifact_holds_what_it_says(pdf_dir: Path, content: Path) -> None:
    run(pdf_dir, content)
    assert {path.name for path in content.iterdir()} <= {*CONTENT_FILES, CACHE_FOLDER}
