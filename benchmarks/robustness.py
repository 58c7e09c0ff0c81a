"""Attack extraction: papers damaged in every way, entries that are no papers, and processes killed at random.

    python -m benchmarks.robustness damage build/robustness --papers 300
    python -m benchmarks.robustness kills build/robustness --rounds 20

`damage` makes a folder of damaged PDFs and other things named so, and extracts it. `kills` extracts the same papers
again and again while worker processes are killed at random, and runs what was ended anew until it is done. Both print
how many of how many held, with what did not, and exit with 1 where something did not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import psutil
import pymupdf

from figtune.core.errors import ExitCode
from figtune.core.jsonl import read_records
from figtune.core.log import print_result
from figtune.extraction.records import PAPERS_FILE, PaperRecord

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
LONGEST_RUN_SECONDS = 900
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def main() -> int:
    """Run the attack that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attack", choices=("damage", "kills"))
    parser.add_argument("folder", type=Path, help="where everything is made; emptied first")
    parser.add_argument("--papers", type=int, default=300, help="damaged PDFs")
    parser.add_argument("--rounds", type=int, default=20, help="runs with kills")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    shutil.rmtree(chosen.folder, ignore_errors=True)
    chosen.folder.mkdir(parents=True)
    chance = random.Random(chosen.seed)
    if chosen.attack == "damage":
        problems, tried = list(damage(chosen.folder, chosen.papers, chance)), chosen.papers
    else:
        problems, tried = list(kills(chosen.folder, chosen.rounds, chance)), chosen.rounds
    for problem in problems:
        print_result(problem)
    print_result(f"{chosen.attack}: {tried - min(tried, len(problems))} of {tried} held")
    return 1 if problems else 0


def extract(papers: Path, work: Path) -> subprocess.Popen[str]:
    """Start extraction of `papers` in a process of its own."""
    script = str(ROOT / "extract_content.py")
    flags = ("--pdf_dir", str(papers), "--work_dir", str(work), "--workers", "2", "--extract.timeout_seconds", "30")
    return subprocess.Popen([sys.executable, script, *flags], stderr=subprocess.PIPE, text=True, cwd=ROOT)


def damage(folder: Path, number: int, chance: random.Random) -> Iterator[str]:
    """Yield what does not hold of a folder of `number` damaged papers."""
    papers = folder / "papers"
    papers.mkdir()
    whole = [path.read_bytes() for path in sorted(SAMPLES.glob("*.pdf"))]
    cut: set[str] = set()
    for index, (data, (kind, change)) in enumerate(zip(cycle(whole), cycle(DAMAGES.items()), strict=False)):
        if index == number:
            break
        name = f"{kind} {index}.pdf"
        (papers / name).write_bytes(change(data, chance))
        if kind in ("cut off", "without its table"):
            cut.add(name)
    strangers(papers)
    process = extract(papers, folder / "work")
    _, said = process.communicate(timeout=LONGEST_RUN_SECONDS)
    if process.returncode or "Traceback" in said:
        yield f"exit {process.returncode}: {said[-2000:]}"
        return
    found = {paper.file: paper for paper in read_records(folder / "work/content" / PAPERS_FILE, PaperRecord, "")}
    for path in papers.rglob("*.pdf"):
        name = path.relative_to(papers).as_posix()
        if name.isascii() and name not in found and (not path.is_dir() or path.is_symlink()):
            yield f"{name}: no record"
    for paper in found.values():
        if "fault of this program" in paper.reason or str(folder.resolve()) in paper.reason:
            yield f"{paper.file}: {paper.reason}"
        if paper.status == "failed" and not paper.reason:
            yield f"{paper.file}: failed without a reason"
        if paper.file in cut and paper.status in ("ok", "no_figures") and not paper.repaired:
            yield f"{paper.file}: {paper.status}, and not called repaired"
    statuses = [("repaired " if paper.repaired else "") + paper.status for paper in found.values()]
    print_result(", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses))))


def strangers(papers: Path) -> None:
    """Put things that are no sound paper into a folder, under names of papers."""
    os.mkfifo(papers / "pipe.pdf")
    (papers / "folder.pdf").mkdir()
    (papers / "circle.pdf").symlink_to(papers / "circle.pdf")
    (papers / "circle").symlink_to(papers)
    (papers / "dangling.pdf").symlink_to(papers / "nowhere")
    (papers / "zeros.pdf").symlink_to("/dev/zero")
    (papers / "empty.pdf").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(papers) + b"/latin-1 \xe9.pdf")).write_bytes(b"%PDF-1.7 and no more")
    secret = papers / "secret.pdf"
    secret.write_bytes(b"%PDF-1.7")
    secret.chmod(0)


def _cut_off(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(100, len(data) - 100)]


def _flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 10, 100))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _without_table(data: bytes, chance: random.Random) -> bytes:
    return data[: data.rindex(b"startxref") - chance.randrange(200)]


def _zeroed(data: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(data)), chance.choice((512, 4096, 65536))
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def _hole(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 100, 5000)) :]


def _encrypted(password: str) -> Callable[[bytes, random.Random], bytes]:
    def encrypt(data: bytes, chance: random.Random) -> bytes:
        way = chance.choice((pymupdf.PDF_ENCRYPT_RC4_128, pymupdf.PDF_ENCRYPT_AES_128, pymupdf.PDF_ENCRYPT_AES_256))
        with pymupdf.open(stream=data) as file:
            written: bytes = file.tobytes(encryption=way, user_pw=password, owner_pw="owner")
        return written

    return encrypt


def _odd_pages(data: bytes, chance: random.Random) -> bytes:
    """Give the first page another size or rotation."""
    with pymupdf.open(stream=data) as file:
        number = file[0].xref
        box = chance.choice(
            ("[0 0 0 0]", "[0 0 1e9 1e9]", "[-5 -5 -9 -9]", "[0 0 14400 14400]", "null", "(x)", "[1 2]")
        )
        file.xref_set_key(number, chance.choice(("MediaBox", "CropBox")), box)
        file.xref_set_key(number, "Rotate", chance.choice(("90", "45", "-1", "null")))
        file.xref_set_key(number, "UserUnit", chance.choice(("1", "0", "-3", "1e6")))
        written: bytes = file.tobytes()
    return written


def _behind_junk(data: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((1, 500, 5000))) + data


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut off": _cut_off,
    "flipped": _flipped,
    "without its table": _without_table,
    "zeroed": _zeroed,
    "with a hole": _hole,
    "with an empty password": _encrypted(""),
    "with a password": _encrypted("secret"),
    "with odd pages": _odd_pages,
    "behind junk": _behind_junk,
}


def kills(folder: Path, rounds: int, chance: random.Random) -> Iterator[str]:
    """Yield the rounds that did not end with the records of a run in peace, and why."""
    papers = folder / "papers"
    papers.mkdir()
    for index, path in enumerate(sorted(SAMPLES.glob("*.pdf")) * 4):
        # What follows the end of a PDF is no part of it, but makes another file of it.
        (papers / f"{index}.pdf").write_bytes(path.read_bytes() + b"\n%% %d\n" % index)
    peace = folder / "peace"
    extract(papers, peace).communicate(timeout=LONGEST_RUN_SECONDS)
    truth = (peace / "content" / PAPERS_FILE).read_bytes()
    deaths = runs = 0
    for number in range(rounds):
        work = folder / f"round {number}"
        for _ in range(10):
            runs += 1
            process = extract(papers, work)
            deaths += kill_workers(process, chance)
            _, said = process.communicate(timeout=LONGEST_RUN_SECONDS)
            if process.returncode not in (ExitCode.DONE, ExitCode.RESOURCE) or "Traceback" in said:
                yield f"round {number}: exit {process.returncode}: {said[-2000:]}"
                break
            if process.returncode == ExitCode.DONE:
                break
        else:
            yield f"round {number}: not done after 10 runs"
        if process.returncode == ExitCode.DONE and (work / "content" / PAPERS_FILE).read_bytes() != truth:
            yield f"round {number}: other records than without kills"
        shutil.rmtree(work)
    print_result(f"{deaths} processes killed in {runs} runs")


def kill_workers(process: subprocess.Popen[str], chance: random.Random) -> int:
    """Kill processes that `process` has started, at random times, a few times; return how many."""
    killed = 0
    for _ in range(chance.randrange(1, 12)):
        time.sleep(chance.uniform(0.05, 1.5))
        if process.poll() is not None:
            break
        children = psutil.Process(process.pid).children()
        if children:
            child, number = chance.choice(children), chance.choice(SIGNALS)
            try:
                child.send_signal(number)
                killed += 1
            except psutil.NoSuchProcess:
                continue
    return killed


if __name__ == "__main__":
    sys.exit(main())
