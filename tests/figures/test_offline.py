"""Reading papers calls nobody and leaves nothing behind outside its own folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from figtune.core.jsonl import read_records
from figtune.extraction.records import PAPERS_FILE, PaperRecord
from tests.conftest import ROOT, Ran
from tests.extraction.hostile_pdfs import write_paper
from tests.figures import offline

pytestmark = pytest.mark.skipif(not offline.is_possible(), reason="needs seccomp of Linux on a known processor")

_NATIVE_LOOK_UP = "import ctypes; ctypes.CDLL(None).getaddrinfo(b'example.invalid', None, None, ctypes.c_void_p())"


def _run_offline(temporary: Path, *arguments: str) -> Ran:
    """Run Python with `arguments` where a socket is deadly and `temporary` is the folder for temporary files."""
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = (sys.executable, str(Path(offline.__file__)), *arguments)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Ran(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def test_a_native_look_up_would_be_noticed(tmp_path: Path) -> None:
    assert _run_offline(tmp_path / "one", "-c", "print('alive')") == Ran(code=0, stdout="alive\n", stderr="")
    assert _run_offline(tmp_path / "two", "-c", _NATIVE_LOOK_UP).code == -signal.SIGSYS
    child = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {_NATIVE_LOOK_UP!r}]).returncode)"
    assert _run_offline(tmp_path / "three", "-c", child).stdout == f"{-signal.SIGSYS}\n"


@pytest.mark.slow
def test_papers_are_read_without_a_socket_or_a_temporary_file(tmp_path: Path) -> None:
    pdf_dir, work, temporary = tmp_path / "papers", tmp_path / "work", tmp_path / "temporary"
    pdf_dir.mkdir()
    for number in range(3):
        write_paper(pdf_dir / f"{number}.pdf", title=f"A Small Paper on Probe {number}")
    script = str(ROOT / "extract_content.py")
    ran = _run_offline(temporary, script, "--pdf_dir", str(pdf_dir), "--work_dir", str(work), "--workers", "2")
    assert ran.code == 0, ran.stderr
    papers = read_records(work / "content" / PAPERS_FILE, PaperRecord, "")
    assert [paper.status for paper in papers] == ["ok"] * 3
    assert not list(temporary.rglob("*"))


@pytest.mark.slow
def test_what_would_call_out_is_not_loaded_where_papers_are_read() -> None:
    program = (
        "import sys, figtune.extraction.extract_paper\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('onnxruntime', 'requests', 'urllib3')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
