"""Measure what preparation from very many figures costs: time, peak memory, and a second run that has nothing to do.

    python -m benchmarks.many_figures build/figures
    python -m benchmarks.many_figures build/figures --figures 5000 500000 --shard_examples 100000

Makes content folders of that many figures in the folder (kept for the next time; 500,000 take 4 GB and some minutes),
five to a paper, each with a picture of its own of 64 x 64 pixels, a caption and a citing paragraph. Runs
prepare_data.py on each and prints seconds and the peak of resident memory. Real papers say more about larger figures,
so to the CPU one of those is worth about four of these.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.preparation import prepared
from figtune.core import commands
from figtune.core.artifacts import Stage, provenance, write_manifest
from figtune.core.jsonl import jsonl_writer
from figtune.core.log import progress_bar
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, FigureKind, FigureRecord, Mention, PaperRecord

FIGURES_OF_A_PAPER = 5
BLOCKS, BLOCK_PIXELS = 16, 4
KINDS: tuple[FigureKind, ...] = ("diagram", "qualitative", "qualitative", "plot")
CAPTION = (
    "Figure {name}. Overview of network {number}. The Encoder turns {a} images into tokens. The Decoder writes the "
    "text from {b} of these tokens, and the Memory holds what it has read. Best viewed in color."
)
PARAGRAPH = (
    "As shown in Figure {name}, the Encoder is a stack of {a} attention layers over image tokens. Training takes {b} "
    "epochs with a learning rate that falls. Without the Memory the accuracy falls by {b} points."
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where content and results go")
    parser.add_argument("--figures", nargs="+", type=int, default=[5_000, 50_000, 500_000], help="numbers of figures")
    parser.add_argument("--shard_examples", type=int, default=0, help="as of prepare_data.py")
    options = parser.parse_args(arguments)
    sys.stdout.write("figures   seconds  figures/s  peak MB  again s\n")
    for count in options.figures:
        work = options.folder / f"work-{count}"
        _make(work, count)
        shutil.rmtree(work / "dataset", ignore_errors=True)
        flags = ("--prepare.shard_examples", str(options.shard_examples))
        first, peak = prepared(work, *flags)
        again, _ = prepared(work, *flags)
        sys.stdout.write(f"{count:>7}{first:>10.1f}{count / first:>11.0f}{peak:>9.0f}{again:>9.1f}\n")
        sys.stdout.flush()
    return 0


def _make(work: Path, figures: int) -> None:
    """A content folder as extraction leaves it, unless it is there."""
    content = work / "content"
    stage = Stage(
        name="extract",
        version=0,
        folder=content,
        command=commands.EXTRACT,
        settings={},
        outputs=(PAPERS_FILE, FIGURES_FILE),
    )
    if (content / PAPERS_FILE).exists():
        return
    papers = range(figures // FIGURES_OF_A_PAPER)
    with ExitStack() as files:
        add_paper, add_figure = (files.enter_context(jsonl_writer(content / name)) for name in stage.outputs)
        for number in progress_bar(papers, total=len(papers), title=f"Drawing {figures} figures", unit="paper"):
            paper = _paper(number)
            add_paper(paper)
            (content / "crops" / paper.paper_id).mkdir(parents=True, exist_ok=True)
            for figure in _figures(paper, number):
                add_figure(figure)
                _picture(number * FIGURES_OF_A_PAPER + int(figure.name)).save(content / str(figure.crop))
    write_manifest(stage, provenance(stage, {}), {"figures": figures})


def _paper(number: int) -> PaperRecord:
    name = f"a-paper-with-a-title-of-usual-length-and-the-number-{number:06}"
    digest = sha256(name.encode()).hexdigest()
    return PaperRecord(
        paper_id=f"{name}-{digest[:8]}",
        file=f"{name}.pdf",
        sha256=digest,
        pages=10,
        status="ok",
        reason="",
        title=f"A Paper with a Title of Usual Length and the Number {number}",
        figures=FIGURES_OF_A_PAPER,
        tables=0,
    )


def _figures(paper: PaperRecord, number: int) -> Iterator[FigureRecord]:
    for place in range(1, FIGURES_OF_A_PAPER + 1):
        figure_id = f"{paper.paper_id}-figure-{place}"
        words = {"name": str(place), "number": number, "a": number % 89 + 2, "b": (number + place) % 97 + 2}
        yield FigureRecord(
            paper_id=paper.paper_id,
            figure_id=figure_id,
            figure_type="Figure",
            name=str(place),
            page=place,
            caption=CAPTION.format(**words),
            caption_box=(50.0, 300.0, 290.0, 330.0),
            region_box=(50.0, 100.0, 290.0, 290.0),
            crop=f"crops/{paper.paper_id}/{figure_id}.png",
            crop_size=(BLOCKS * BLOCK_PIXELS, BLOCKS * BLOCK_PIXELS),
            dpi=200,
            kind=KINDS[(number + place) % len(KINDS)],
            kind_score=0.9,
            confidence=0.9,
            reason="",
            figure_text="Image Encoder Tokens Decoder Text Memory",
            panels=(),
            mentions=(Mention(page=place, section="3. Method", text=PARAGRAPH.format(**words)),),
        )


def _picture(seed: int) -> Image.Image:
    """Coarse random blocks: another seed is another picture to any perceptual hash."""
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS, BLOCKS), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((BLOCK_PIXELS, BLOCK_PIXELS), dtype=np.uint8)))


if __name__ == "__main__":
    sys.exit(main())
