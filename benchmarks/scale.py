"""Measure extraction on one machine and on Ray, and project what many papers would take.

    python -m benchmarks.scale papers
    python -m benchmarks.scale papers --workers 1 2 8 --cpus 64 --examples_per_second 3.5

Runs extract_content.py on the folder with each engine and number of workers, and prepare_data.py once, all in a
temporary folder. Prints wall-clock and CPU seconds of all processes together; the same for a folder with one empty
file, which is what starting takes; papers a second of wall clock and CPU seconds a page, both without the start. Wall
clock depends on what else the machine is doing, CPU seconds hardly.

The projection is linear: CPU seconds per page as measured with the most workers here, pages, figures, examples and
bytes per paper as in the folder. So it holds for papers like these, on CPUs like these. It takes for granted that all
CPUs are kept busy, and leaves out what the driver of a large cluster and the network can take. Features are those of
Gemma 3 4B: 256 tokens of 1,152 numbers of 2 bytes. Examples a second in training are to be measured elsewhere, by
`benchmarks.training --size full`; without them there are no GPU hours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from figtune.core.errors import ExitCode
from figtune.core.jsonl import read_json, read_records
from figtune.dataset.records import STATS_FILE, Stats
from figtune.extraction.records import PAPERS_FILE, PaperRecord

ROOT = Path(__file__).parent.parent
ENGINES = ("local", "ray")
PAPERS = (10_000, 100_000, 1_000_000)
FEATURE_BYTES = 256 * 1152 * 2
_LOOK_SECONDS = 0.2
HOUR, GIGABYTE, MEGABYTE = 3600, 1e9, 1e6


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a command."""

    wall_s: float
    cpu_s: float
    """CPU seconds of all its processes."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One extraction of the folder."""

    engine: str
    workers: int
    whole: Cost
    start: Cost
    """Cost of a folder with nothing to read."""

    @property
    def reading(self) -> Cost:
        return Cost(wall_s=self.whole.wall_s - self.start.wall_s, cpu_s=self.whole.cpu_s - self.start.cpu_s)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The average of the folder."""

    pages: float
    figures: float
    """That become examples."""
    examples: float
    """To train on, held-out papers left out."""
    pdf_bytes: float
    content_bytes: float
    dataset_bytes: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of PDFs")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2], help="numbers of workers to measure")
    parser.add_argument("--cpus", type=int, default=64, help="of the cluster to project for")
    parser.add_argument("--examples_per_second", type=float, help="of the training to project for, all GPUs together")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        runs = list(_runs(options.folder, options.workers, Path(folder)))
        work = Path(folder, "work")
        _finish("prepare_data.py", "--work_dir", str(work))
        papers = read_records(work / "content" / PAPERS_FILE, PaperRecord, "")
        paper = _average(options.folder, work, papers)
    lines = [
        f"{len(papers)} papers, {sum(paper.pages for paper in papers)} pages; "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[2]:.1f}",
        *_measured(runs, papers),
        "",
        f"a paper: {paper.pages:.1f} pages, {paper.figures:.1f} figures used, {paper.examples:.1f} training examples; "
        f"MB: {paper.pdf_bytes / MEGABYTE:.2f} PDF, {paper.content_bytes / MEGABYTE:.2f} content, "
        f"{paper.dataset_bytes / MEGABYTE:.2f} data set, {paper.figures * FEATURE_BYTES / MEGABYTE:.2f} features",
        *_projected(runs, paper, len(papers), options.cpus, options.examples_per_second),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _runs(papers: Path, workers: Sequence[int], folder: Path) -> Iterator[Run]:
    empty = folder / "empty"
    empty.mkdir()
    (empty / "empty.pdf").touch()
    for engine in ENGINES:
        for number in workers:
            flags = ("--extract.engine", engine, "--workers", str(number), "--force")
            start = _finish("extract_content.py", "--pdf_dir", str(empty), "--work_dir", str(folder / "start"), *flags)
            whole = ("--pdf_dir", str(papers.resolve()), "--work_dir", str(folder / "work"), *flags)
            run = Run(engine=engine, workers=number, start=start, whole=_finish("extract_content.py", *whole))
            if min(run.reading.wall_s, run.reading.cpu_s) <= 0:
                raise SystemExit(f"{papers} is too small to measure: starting takes as long as reading it")
            yield run


def _finish(script: str, *flags: str) -> Cost:
    """Run a script to its end. The last moments of a process, between two looks at it, are not counted."""
    start = time.monotonic()
    process = psutil.Popen((sys.executable, script, *flags), cwd=ROOT, stdout=subprocess.DEVNULL)
    cpu_s: dict[int, float] = {}
    while process.poll() is None:
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                used = each.cpu_times()
                cpu_s[each.pid] = used.user + used.system
        time.sleep(_LOOK_SECONDS)
    if process.returncode not in (ExitCode.DONE, ExitCode.NOTHING_PRODUCED):
        raise SystemExit(f"{script} ended with {process.returncode}")
    return Cost(wall_s=time.monotonic() - start, cpu_s=sum(cpu_s.values()))


def _average(pdfs: Path, work: Path, papers: Sequence[PaperRecord]) -> Paper:
    stats = read_json(work / "dataset" / STATS_FILE, Stats, "prepare_data.py")
    count = len(papers)
    return Paper(
        pages=sum(paper.pages for paper in papers) / count,
        figures=stats.figures_used / count,
        examples=sum(stats.examples["train"].values()) / count,
        pdf_bytes=sum((pdfs / paper.file).stat().st_size for paper in papers) / count,
        content_bytes=_size(work / "content") / count,
        dataset_bytes=_size(work / "dataset") / count,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _measured(runs: Sequence[Run], papers: Sequence[PaperRecord]) -> Iterator[str]:
    pages = sum(paper.pages for paper in papers)
    yield "engine  workers   wall s  (start)    CPU s  (start)  papers/s  CPU s/page"
    for run in runs:
        yield (
            f"{run.engine:8}{run.workers:>7}{run.whole.wall_s:>9.1f}{run.start.wall_s:>9.1f}"
            f"{run.whole.cpu_s:>9.1f}{run.start.cpu_s:>9.1f}"
            f"{len(papers) / run.reading.wall_s:>10.2f}{run.reading.cpu_s / pages:>12.3f}"
        )


def _projected(
    runs: Sequence[Run], paper: Paper, papers: int, cpus: int, examples_per_second: float | None
) -> Iterator[str]:
    """Hours and gigabytes for many such papers."""
    here = [max((run for run in runs if run.engine == engine), key=lambda run: run.workers) for engine in ENGINES]
    local_s, ray_s = (run.reading.cpu_s / papers for run in here)
    yield (
        f"{'papers':>9}  h local, {here[0].workers} CPUs  h Ray, {cpus} CPUs   GB PDF  content  data set  features"
        f"  GPU h an epoch"
    )
    for count in PAPERS:
        training = "-" if examples_per_second is None else f"{count * paper.examples / examples_per_second / HOUR:.1f}"
        sizes = (paper.pdf_bytes, paper.content_bytes, paper.dataset_bytes, paper.figures * FEATURE_BYTES)
        pdf, content, dataset, features = (count * size / GIGABYTE for size in sizes)
        yield (
            f"{count:>9,}{count * local_s / here[0].workers / HOUR:>17.2f}{count * ray_s / cpus / HOUR:>16.2f}"
            f"{pdf:>9.0f}{content:>9.0f}{dataset:>10.0f}{features:>10.0f}{training:>16}"
        )


if __name__ == "__main__":
    sys.exit(main())
