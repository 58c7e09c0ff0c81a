"""Stage 1: take papers apart into text, figures, captions and the paragraphs that cite them.

Reads every PDF below --pdf_dir; writes WORK/content: papers.jsonl, figures.jsonl, texts/, crops/, thumbnails/ and
gallery.html.

    python extract_content.py --pdf_dir papers
    python extract_content.py --pdf_dir papers --extract.dpi 300 --workers 8
    python extract_content.py --pdf_dir papers --extract.engine ray --extract.ray_address auto
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from config import Config, parse
from figtune.core import commands
from figtune.core.artifacts import Stage
from figtune.core.cli import StageScript, run_cli, run_stages
from figtune.core.errors import NothingProducedError
from figtune.core.settings import flatten, require
from figtune.core.stages import StageResult, StageSummary, run_if_stale

_WHERE = ("extract.engine", "extract.ray_address")
"""Settings that leave no trace in what is made."""


def describe(config: Config) -> Stage:
    """Describe what this stage would make, and from what."""
    from figtune.extraction.extract_folder import CONTENT_FILES, CONTENT_FOLDERS, EXTRACTION_VERSION, pdf_hashes
    from figtune.extraction.records import GALLERY_FILE
    from figtune.pdf.ocr import engine_version

    settings = flatten(config.extract, "extract.")
    return Stage(
        name="extract",
        version=EXTRACTION_VERSION,
        folder=config.content_dir,
        command=commands.EXTRACT,
        settings={
            **{name: value for name, value in settings.items() if name not in _WHERE},
            "ocr engine": engine_version() if config.extract.ocr != "never" or config.extract.ocr_figures else "",
        },
        files=pdf_hashes(config.pdf_dir),
        outputs=CONTENT_FILES,
        bulk=CONTENT_FOLDERS,
        html_pages=(GALLERY_FILE,),
    )


def run(config: Config) -> StageSummary:
    """Make WORK/content if it is not current."""
    return run_if_stale(
        describe(config), partial(_produce, config), lock_folders=(config.work_dir,), force=config.force
    )


def check(config: Config) -> None:
    """See that the engine and OCR can be used where they are asked for."""
    if config.extract.engine == "ray":
        require("ray", "--extract.engine ray", "requirements-cluster.txt")
    for asked, flag in (
        (config.extract.ocr == "always", "--extract.ocr always"),
        (config.extract.ocr_figures, "--extract.ocr_figures"),
    ):
        if asked:
            require("tesserocr", flag, "requirements-ocr.txt")


SCRIPT = StageScript(describe=describe, run=run, check=check)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_cli(lambda: run_stages([SCRIPT], parse(argv, "extract_content.py", __doc__)))


def _produce(config: Config, folder: Path) -> StageResult:
    from figtune.extraction.extract_folder import choose_engine, extract_folder, log_failures
    from figtune.extraction.extract_paper import extract_paper
    from figtune.extraction.records import PAPERS_FILE
    from figtune.reports.gallery import write_gallery

    counts = extract_folder(
        config.pdf_dir,
        folder,
        config.extract,
        redo=config.force,
        extract=extract_paper,
        engine=choose_engine(config.extract, config.workers),
    )
    write_gallery(folder)
    log_failures(folder, commands.EXTRACT)
    if not counts.ok:
        reasons = folder / PAPERS_FILE
        raise NothingProducedError("no figure was found in any paper", f"see the reasons in {reasons}")
    return StageResult(counts=vars(counts), failed=counts.failed + counts.repaired)


if __name__ == "__main__":
    sys.exit(main())
