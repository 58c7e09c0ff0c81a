"""Time the search for figures over folders of PDFs, and score it where labels lie beside them.

    python -m benchmarks.extraction papers
    python -m benchmarks.extraction --no-crops papers more_papers

Prints CPU seconds a page with and without crops, the ratio to what PyMuPDF alone needs to read and render the same
pages, peak memory; and for PDFs with `<stem>.gold.json` beside them precision, recall, IoU and precision by confidence.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pymupdf

from benchmarks.scoring import GOLD_SUFFIX, Item, items_of, judge, read_gold, score
from figtune.figures.crops import crop
from figtune.figures.findings import find_figures
from figtune.papers.document import Document
from figtune.papers.hyphens import vocabulary_of
from figtune.pipeline.progress import track

DPI = 200
LONGEST_SIDE = 2048
CONFIDENCES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass
class Tally:
    """CPU seconds by what they were spent on, and the pages they were spent for."""

    pages: int = 0
    figures: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def spend(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` and book its CPU time under `name`."""
        start = time.process_time()
        work()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start

    def per_page(self, *names: str) -> float:
        """CPU seconds a page for everything booked under `names`."""
        return sum(self.seconds.get(name, 0.0) for name in names) / max(1, self.pages)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of PDFs")
    parser.add_argument("--no-crops", action="store_true", help="leave the rendering of crops out")
    options = parser.parse_args(arguments)
    paths = sorted(path for folder in options.folders for path in folder.rglob("*.pdf"))
    if not paths:
        parser.error(f"no PDFs under {', '.join(map(str, options.folders))}")
    tally = Tally()
    scored: list[tuple[Sequence[Item], Sequence[Item]]] = []
    for path in track(paths, total=len(paths), title="papers", unit="paper"):
        found = _measure(path, tally, crops=not options.no_crops)
        gold = path.with_name(path.stem + GOLD_SUFFIX)
        if gold.exists():
            scored.append((read_gold(gold), found))
    report = [
        f"{len(paths)} papers, {tally.pages} pages, {tally.figures} regions",
        *_costs(tally, not options.no_crops),
    ]
    sys.stdout.write("\n".join([*report, *(_scores(scored) if scored else [])]) + "\n")
    return 0


def _measure(path: Path, tally: Tally, *, crops: bool) -> list[Item]:
    items: list[Item] = []

    def search() -> None:
        texts = [document.text(index) for index in range(document.page_count)]
        items.extend(items_of(find_figures(document, texts, vocabulary_of(texts)).figures))

    def render() -> None:
        for item in items:
            crop(document, item.page - 1, item.box, dpi=DPI, longest_side=LONGEST_SIDE)

    with Document(path) as document:
        tally.pages += document.page_count
        tally.spend("search", search)
        tally.figures += len(items)
        if crops:
            tally.spend("crops", render)
    _measure_floor(path, items if crops else [], tally)
    return items


def _measure_floor(path: Path, items: Sequence[Item], tally: Tally) -> None:
    """What PyMuPDF alone needs for the same pages and crops. One file stays open, so each job finds cached what an
    earlier one has decoded."""

    def text() -> None:
        for page in file:
            page.get_text("dict", flags=pymupdf.TEXT_PRESERVE_WHITESPACE)

    def drawings() -> None:
        for page in file:
            page.get_cdrawings()

    def images() -> None:
        for page in file:
            page.get_image_info()

    def pixels() -> None:
        for page in file:
            page.get_pixmap(dpi=72, colorspace=pymupdf.csGRAY)

    def clips() -> None:
        for item in items:
            clip = pymupdf.Rect(item.box.x0, item.box.top, item.box.x1, item.box.bottom)
            file[item.page - 1].get_pixmap(dpi=DPI, clip=clip).tobytes("png")

    with pymupdf.open(path) as file:
        for job in (text, drawings, images, pixels, clips):
            tally.spend(f"floor {job.__name__}", job)


def _costs(tally: Tally, crops: bool) -> list[str]:
    jobs = [f"floor {name}" for name in ("text", "drawings", "images", "pixels")]
    ours, floor = tally.per_page("search"), tally.per_page(*jobs)
    lines = [f"CPU s/page, no crops    {ours:.4f}   floor {floor:.4f}   ratio {ours / floor:.2f}"]
    if crops:
        jobs.append("floor clips")
        ours, floor = tally.per_page("search", "crops"), tally.per_page(*jobs)
        lines.append(f"CPU s/page, with crops  {ours:.4f}   floor {floor:.4f}   ratio {ours / floor:.2f}")
    lines.append(
        "floor by job: " + ", ".join(f"{name.removeprefix('floor ')} {tally.per_page(name):.4f}" for name in jobs)
    )
    lines.append(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
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
    lines += ["", "confidence  kept  precision"]
    for least in CONFIDENCES:
        kept = [one for one in judged if one.item.confidence >= least]
        right = sum(one.right for one in kept)
        lines.append(f"   >= {least:.2f} {len(kept):>6}  {right / max(1, len(kept)):>9.3f}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
