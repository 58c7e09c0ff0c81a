"""Time extraction over folders of PDFs, part by part and as a whole, and score it where labels lie beside them.

    python -m benchmarks.extraction papers
    python -m benchmarks.extraction --workers 4 papers more_papers
    python -m benchmarks.extraction --no-crops papers
    python -m benchmarks.extraction --no-crops --labels labels --styles venues/styles.json papers venues

Prints CPU seconds a page for every part, and their ratio to what PyMuPDF alone needs to read and render the same pages;
the same for all that `extract_content.py` does to papers, with one worker and with several: wall-clock seconds, the
peak memory of the largest worker, and how much faster as many processes are that do nothing but count, which is what
the machine has to give. For PDFs with `<stem>.gold.json` beside them, or in the folder of `--labels`, also precision,
recall and IoU, the same by style where `--styles` says what style a paper has, and by the least confidence that is
kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory

import pymupdf

from benchmarks.scoring import GOLD_SUFFIX, Item, items_of, judge, read_gold, read_styles, score
from config import EXTRACT
from figtune.core.log import progress_bar
from figtune.extraction.extract_folder import extract_folder
from figtune.extraction.extract_paper import citables, extract_paper, text_of
from figtune.extraction.render_crop import ThumbnailDocument, render_crop
from figtune.extraction.text_source import read_texts
from figtune.extraction.worker import run_locally
from figtune.figures.detector import detect_figures
from figtune.layout.mentions import mentions_of
from figtune.pdf.text_cleanup import dehyphenator_for
from figtune.reports.gallery import write_gallery

DPI = 200
LONGEST_SIDE = 2048
SECONDS, MEGABYTES = 600.0, 4096
CONFIDENCES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
COUNTED = 20_000_000
"""By each process that only counts: about a second."""
PARTS = ("text layer", "figures", "body and mentions", "crops")
"""Thumbnails are made of the pages that the search for figures renders, and counted there."""
FLOOR = ("text", "drawings", "images", "pixels", "clips")


@dataclass
class Tally:
    """CPU seconds by what they were spent on, and the pages they were spent for."""

    pages: int = 0
    figures: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def booked(self, name: str) -> Iterator[None]:
        """Book the CPU time that the block takes under `name`."""
        start = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start

    def per_page(self, *names: str) -> float:
        """CPU seconds a page for everything booked under `names`."""
        return sum(self.seconds.get(name, 0.0) for name in names) / max(1, self.pages)


@dataclass(frozen=True)
class Whole:
    """Cost of extracting whole folders, workers and gallery included."""

    workers: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    """Peak memory of the largest worker so far."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of PDFs")
    parser.add_argument(
        "--no-crops", action="store_true", help="leave crops out, and the whole program, which has them"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="for the second run of the whole")
    parser.add_argument("--labels", type=Path, help="folder of labels of PDFs that have none beside them")
    parser.add_argument("--styles", type=Path, help='JSON file: {"<stem>": {"style": ...}, ...}')
    options = parser.parse_args(arguments)
    styles = read_styles(options.styles) if options.styles else {}
    crops: bool = not options.no_crops
    paths = sorted(path for folder in options.folders for path in folder.rglob("*.pdf"))
    if not paths:
        parser.error(f"no PDFs under {', '.join(map(str, options.folders))}")
    runs = [_whole(options.folders, workers) for workers in dict.fromkeys((1, options.workers))] if crops else []
    tally = Tally()
    scored: list[tuple[Sequence[Item], Sequence[Item]]] = []
    by_style: dict[str, list[tuple[Sequence[Item], Sequence[Item]]]] = {}
    for path in progress_bar(paths, total=len(paths), title="papers", unit="paper"):
        found = _measure(path, tally, crops=crops)
        gold = path.with_name(path.stem + GOLD_SUFFIX)
        if options.labels and not gold.exists():
            gold = options.labels / gold.name
        if gold.exists():
            scored.append((read_gold(gold), found))
            by_style.setdefault(styles.get(path.stem, "other"), []).append(scored[-1])
    report = [
        f"{len(paths)} papers, {tally.pages} pages, {tally.figures} regions",
        *_costs(tally, crops=crops),
        *_wholes(runs, tally),
    ]
    sys.stdout.write(
        "\n".join([*report, *(_scores(scored) if scored else []), *(_by_style(by_style) if styles else [])]) + "\n"
    )
    return 0


def _whole(folders: Sequence[Path], workers: int) -> Whole:
    wall, cpu = time.monotonic(), _cpu_seconds()
    for folder in folders:
        with TemporaryDirectory() as content:
            extract_folder(
                folder,
                Path(content),
                replace(EXTRACT, dpi=DPI, longest_side=LONGEST_SIDE, timeout_seconds=SECONDS, memory_mb=MEGABYTES),
                redo=True,
                extract=extract_paper,
                engine=partial(run_locally, workers=workers),
            )
            write_gallery(Path(content))
    peak = getrusage(RUSAGE_CHILDREN).ru_maxrss / 1024
    return Whole(workers, time.monotonic() - wall, _cpu_seconds() - cpu, peak)


def _speedup_of_counting(processes: int) -> float:
    """Return the speed-up of several counting processes over one: less than there are cores, where
    these share a clock, a cache or a host."""
    with get_context("spawn").Pool(processes) as pool:
        pool.map(_count, [1] * processes, chunksize=1)
        alone = pool.apply(_count, (COUNTED,))
        together = max(pool.map(_count, [COUNTED] * processes, chunksize=1))
    return processes * alone / together


def _count(steps: int) -> float:
    """Seconds that counting takes."""
    start = time.monotonic()
    for _ in range(steps):
        pass
    return time.monotonic() - start


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and its finished children."""
    return sum(
        side_prior.ru_utime + side_prior.ru_stime for side_prior in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN))
    )


def _measure(path: Path, tally: Tally, *, crops: bool) -> list[Item]:
    with ThumbnailDocument(path) as document:
        tally.pages += document.page_count
        with tally.booked("text layer"):
            texts = read_texts(document)
        with tally.booked("figures"):
            vocabulary = dehyphenator_for(texts)
            findings = detect_figures(document, texts, vocabulary)
        with tally.booked("body and mentions"):
            text = text_of(path.stem, texts, findings, vocabulary)
            mentions_of(text, citables(findings.figures))
        items = items_of(findings.figures, texts)
        tally.figures += len(items)
        with tally.booked("crops"):
            for figure in findings.figures if crops else ():
                if figure.region is not None:
                    render_crop(document, figure.page_index, figure.region, dpi=DPI, longest_side=LONGEST_SIDE)
    _measure_floor(path, items if crops else [], tally)
    return items


def _measure_floor(path: Path, items: Sequence[Item], tally: Tally) -> None:
    """Measure PyMuPDF alone on the same pages and crops. One file stays open, so each job finds cached what an
    earlier one has decoded."""

    with pymupdf.open(path) as file:
        with tally.booked("floor text"):
            for page in file:
                page.get_text("dict", flags=pymupdf.TEXT_PRESERVE_WHITESPACE)
        with tally.booked("floor drawings"):
            for page in file:
                page.get_cdrawings()
        with tally.booked("floor images"):
            for page in file:
                page.get_image_info()
        with tally.booked("floor pixels"):
            for page in file:
                page.get_pixmap(dpi=72, colorspace=pymupdf.csGRAY)
        with tally.booked("floor clips"):
            for item in items:
                clip = pymupdf.Rect(item.box.x0, item.box.top, item.box.x1, item.box.bottom)
                file[item.page - 1].get_pixmap(dpi=DPI, clip=clip).tobytes("png")


def _costs(tally: Tally, *, crops: bool) -> list[str]:
    lines = [_compared("no crops", tally.per_page(*PARTS[:-1]), _floor(tally, crops=False))]
    if crops:
        lines.append(_compared("with crops", tally.per_page(*PARTS), _floor(tally, crops=True)))
    parts = PARTS if crops else PARTS[:-1]
    jobs = FLOOR if crops else FLOOR[:-1]
    lines.append("by part:       " + ", ".join(f"{name} {tally.per_page(name):.4f}" for name in parts))
    lines.append("floor by job:  " + ", ".join(f"{name} {tally.per_page(f'floor {name}'):.4f}" for name in jobs))
    return lines


def _floor(tally: Tally, *, crops: bool) -> float:
    return tally.per_page(*(f"floor {name}" for name in (FLOOR if crops else FLOOR[:-1])))


def _compared(title: str, ours: float, floor: float) -> str:
    return f"CPU s/page, {title + ':':<20}{ours:.4f}   floor {floor:.4f}   ratio {ours / floor:.2f}"


def _wholes(runs: Sequence[Whole], tally: Tally) -> list[str]:
    lines = []
    for run in runs:
        lines.append(
            _compared(f"whole, {run.workers} worker(s)", run.cpu_s / tally.pages, _floor(tally, crops=True))
            + f"   wall {run.wall_s:.1f} s, {runs[0].wall_s / run.wall_s:.2f} times as fast, "
            + f"largest worker {run.peak_mb:.0f} MB"
        )
        if run.workers > 1:
            lines.append(
                f"{run.workers} processes that only count: {_speedup_of_counting(run.workers):.2f} times as fast"
            )
    return lines


def _scores(papers: Sequence[tuple[Sequence[Item], Sequence[Item]]]) -> list[str]:
    heads = ("gold", "found", "regions", "pairs", "precision", "recall", "IoU", "kinds")
    lines = ["", f"{'':8}" + "".join(f"{head:>10}" for head in heads)]
    for figure_type in ("Figure", "Table"):
        counts = score(papers, figure_type)
        lines.append(
            f"{figure_type:8}{counts.gold:>10}{counts.found:>10}{counts.regions:>10}{counts.pairs:>10}"
            f"{counts.precision:>10.3f}{counts.recall:>10.3f}{counts.mean_iou:>10.3f}{counts.kinds:>10}"
        )
    judged = judge(papers)
    total = sum(len(gold) for gold, _ in papers)
    lines += ["", "confidence  kept  precision  recall  right below  wrong below"]
    for least in CONFIDENCES:
        kept = [one for one in judged if one.item.confidence >= least]
        right = sum(one.right for one in kept)
        right_below = sum(one.right for one in judged) - right
        wrong_below = len(judged) - len(kept) - right_below
        lines.append(
            f"   >= {least:.2f} {len(kept):>6} {right / max(1, len(kept)):>10.3f} {right / max(1, total):>7.3f}"
            f" {right_below:>12} {wrong_below:>12}"
        )
    return lines


def _by_style(papers: Mapping[str, Sequence[tuple[Sequence[Item], Sequence[Item]]]]) -> list[str]:
    lines = [
        "",
        f"{'style':<28}" + "".join(f"{head:>10}" for head in ("papers", "gold", "pairs", "precision", "recall")),
    ]
    for style, those in sorted(papers.items()):
        counts = [score(those, figure_type) for figure_type in ("Figure", "Table")]
        gold, found, pairs = (sum(getattr(one, name) for one in counts) for name in ("gold", "found", "pairs"))
        lines.append(
            f"{style:<28}{len(those):>10}{gold:>10}{pairs:>10}"
            f"{pairs / max(1, found):>10.3f}{pairs / max(1, gold):>10.3f}"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
