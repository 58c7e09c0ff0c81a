"""Score extraction on labelled papers of which only pictures of their pages are left, as OCR reads them.

    python -m benchmarks.scanned papers build/scanned
    python -m benchmarks.scanned papers build/scanned --labels labels --only paper_a paper_b

Writes FOLDER/clean/<stem>.pdf, every page as a lossless picture at 200 dpi, and FOLDER/scan/<stem>.pdf, as a scanner
makes them: up to 0.7 degrees askew, blurred, black faded on grey paper, noisy, JPEG of quality 55. The same paper gives
the same pictures; those that lie there are kept. Needs `requirements-ocr.txt`.
"""

from __future__ import annotations

import argparse
import io
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.extraction import Tally
from benchmarks.scoring import GOLD_SUFFIX, Item, items_of, read_gold, score, wrong_items
from figtune.core.io import atomic_write
from figtune.core.log import progress_bar
from figtune.extraction.text_source import text_source
from figtune.figures.detector import detect_figures
from figtune.pdf.ocr_document import OcrDocument
from figtune.pdf.text_cleanup import dehyphenator_for

DPI = 200
MOST_ASKEW = 0.7  # degrees
BLUR = 0.7  # pixels
BLACK, PAPER = 25, 238  # greys
NOISE = 5.0  # greys, standard deviation
JPEG_QUALITY = 55
PARTS = ("OCR", "figures")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", type=Path, help=f"folder of PDFs with labels <stem>{GOLD_SUFFIX}")
    parser.add_argument("folder", type=Path, help="for the pictures of their pages")
    parser.add_argument("--labels", type=Path, help="folder of the labels, if they do not lie beside the PDFs")
    parser.add_argument("--only", nargs="+", default=[], metavar="STEM", help="take these papers only")
    parser.add_argument("--wrong", action="store_true", help="list what is missing or wrong")
    options = parser.parse_args(arguments)
    labels = sorted((options.labels or options.papers).glob(f"*{GOLD_SUFFIX}"))
    stems = [path.name.removesuffix(GOLD_SUFFIX) for path in labels]
    wanted = [pair for pair in zip(labels, stems, strict=True) if not options.only or pair[1] in options.only]
    if not wanted:
        parser.error(f"no labels *{GOLD_SUFFIX} in {options.labels or options.papers}")
    sys.stdout.write(f"{'':8}papers   pages    gold   pairs  precision  recall  pair F1  CPU s/page: OCR  all else\n")
    for kind, spoil in (("clean", _clean), ("scan", _scanned)):
        tally, pairs = Tally(), []
        for label, stem in progress_bar(wanted, total=len(wanted), title=kind, unit="paper"):
            copy = options.folder / kind / f"{stem}.pdf"
            if not copy.exists():
                _write_pictures(options.papers / f"{stem}.pdf", copy, spoil)
            pairs.append((read_gold(label), _found(copy, tally)))
        sys.stdout.write(_row(kind, tally, pairs))
        for (_, stem), (gold, found) in zip(wanted, pairs, strict=True) if options.wrong else ():
            sys.stdout.write("".join(f"    {stem[:40]}: {line}\n" for line in wrong_items(gold, found)))
        sys.stdout.flush()
    return 0


def _write_pictures(source: Path, copy: Path, spoil: Callable[[Image.Image, np.random.Generator], bytes]) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(source.name.encode()))
    with pymupdf.open(source) as paper, pymupdf.open() as pictures:
        for page in paper:
            pixels = page.get_pixmap(dpi=DPI)
            picture = spoil(Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples), rng)
            sheet = pictures.new_page(width=page.rect.width, height=page.rect.height)
            sheet.insert_image(sheet.rect, stream=picture)
        with atomic_write(copy) as temporary:
            pictures.save(temporary, no_new_id=True)


def _clean(page: Image.Image, rng: np.random.Generator) -> bytes:
    del rng
    return _saved(page, "PNG")


def _scanned(page: Image.Image, rng: np.random.Generator) -> bytes:
    blurred = page.convert("L").filter(ImageFilter.GaussianBlur(BLUR))
    turned = blurred.rotate(rng.uniform(-MOST_ASKEW, MOST_ASKEW), Image.Resampling.BICUBIC, fillcolor=255)
    greys: NDArray[np.float32] = BLACK + np.asarray(turned, dtype=np.float32) * ((PAPER - BLACK) / 255)
    noisy = greys + rng.normal(0.0, NOISE, greys.shape)
    return _saved(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), "JPEG")


def _saved(page: Image.Image, image_format: str) -> bytes:
    file = io.BytesIO()
    page.save(file, image_format, quality=JPEG_QUALITY)
    return file.getvalue()


def _found(path: Path, tally: Tally) -> list[Item]:
    with OcrDocument(path) as document:
        tally.pages += document.page_count
        with tally.booked("OCR"):
            texts = text_source(document, "auto").texts
        with tally.booked("figures"):
            return items_of(detect_figures(document, texts, dehyphenator_for(texts)).figures, texts)


def _row(kind: str, tally: Tally, papers: Sequence[tuple[Sequence[Item], Sequence[Item]]]) -> str:
    counts = [score(papers, figure_type) for figure_type in ("Figure", "Table")]
    gold, found, pairs = (sum(getattr(one, name) for one in counts) for name in ("gold", "found", "pairs"))
    return (
        f"{kind:8}{len(papers):>6}{tally.pages:>8}{gold:>8}{pairs:>8}{pairs / max(1, found):>11.3f}"
        f"{pairs / max(1, gold):>8.3f}{2 * pairs / max(1, gold + found):>9.3f}"
        f"{tally.per_page('OCR'):>17.2f}{tally.per_page('figures'):>10.2f}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
