"""Cache of finished papers, by which a rerun continues: `.papers/<paper_id>.json`.

An entry is written after every file that it lists, so that an interrupted paper has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from figtune.core import commands
from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.jsonl import read_json, write_json
from figtune.core.worker_pool import TaskLimits
from figtune.extraction.pdf_files import PdfFile
from figtune.extraction.records import CROPS_FOLDER, TEXTS_FOLDER, THUMBNAILS_FOLDER, FigureRecord, PaperRecord
from figtune.extraction.settings import ExtractSettings, OcrMode
from figtune.layout.caption_labels import ANY_LABEL, CaptionLabels
from figtune.pdf.ocr import engine_version

CACHE_FOLDER = ".papers"
IMAGE_FOLDERS = (CROPS_FOLDER, THUMBNAILS_FOLDER)
"""Each holds a folder of files for every paper."""


@dataclass(frozen=True, kw_only=True)
class ExtractionTask:
    """One paper to extract."""

    source: PdfFile
    content_dir: Path
    settings: ExtractSettings


@dataclass(frozen=True, kw_only=True)
class PaperResult:
    """The records of one paper. Its text, crops and thumbnails are on disk already."""

    paper: PaperRecord
    figures: tuple[FigureRecord, ...]


@dataclass(frozen=True, kw_only=True)
class ExtractionParams:
    """Parameters that decide the result besides the PDF."""

    version: int
    dpi: int
    longest_side: int
    ocr: OcrMode = "auto"
    ocr_figures: bool = False
    labels: CaptionLabels = ANY_LABEL


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """A finished paper, failed ones included."""

    schema: Literal[1] = 1
    sha256: str
    recipe: ExtractionParams
    limits_hit: TaskLimits | None
    """Limits that the paper ran into: with others it may well succeed."""
    ocr_engine: str | None
    """Engine and version, "" for none installed, where OCR was used or would have been; None for a sound text layer."""
    result: PaperResult
    files: dict[str, int]
    """Sizes in bytes by path relative to the content folder."""


def write_entry(
    content_dir: Path, source: PdfFile, recipe: ExtractionParams, limits_hit: TaskLimits | None, result: PaperResult
) -> None:
    """Declare a paper finished, with the files of it that lie in `content_dir` now."""
    paths = paths_of(content_dir, source.paper_id) if result.paper.status != "failed" else []
    files = {path.relative_to(content_dir).as_posix(): path.stat().st_size for path in paths}
    needs_ocr = bool(result.paper.ocr_reason) or result.paper.status == "failed" or recipe.ocr_figures
    entry = CacheEntry(
        sha256=source.sha256,
        recipe=recipe,
        limits_hit=limits_hit,
        ocr_engine=engine_version() if needs_ocr else None,
        result=result,
        files=files,
    )
    write_json(_path(content_dir, source.paper_id), entry)


def current_entry(
    content_dir: Path, source: PdfFile, recipe: ExtractionParams, limits: TaskLimits
) -> CacheEntry | None:
    """Return the paper's commit, if made from the same content by the same recipe and its files are all there."""
    found = read_entry(content_dir, source.paper_id)
    if found is None or (found.sha256, found.recipe) != (source.sha256, recipe):
        return None
    if found.limits_hit not in (None, limits) or found.ocr_engine not in (None, engine_version()):
        return None
    return found if all(_size(content_dir / path) == size for path, size in found.files.items()) else None


def read_entry(content_dir: Path, paper_id: str) -> CacheEntry | None:
    """Return a paper's entry, or None where it is missing or of another format."""
    try:
        return read_json(_path(content_dir, paper_id), CacheEntry, commands.EXTRACT)
    except (ArtifactMissingError, InputError):
        return None


def invalidate_entry(content_dir: Path, paper_id: str) -> None:
    """Declare a paper unfinished, before anything of it is made anew."""
    _path(content_dir, paper_id).unlink(missing_ok=True)


def _path(content_dir: Path, paper_id: str) -> Path:
    return content_dir / CACHE_FOLDER / f"{paper_id}.json"


def paths_of(content_dir: Path, paper_id: str) -> list[Path]:
    """Return every file that extraction has left of a paper that could be read."""
    paths = [content_dir / TEXTS_FOLDER / f"{paper_id}.json"]
    for folder in IMAGE_FOLDERS:
        paths += sorted((content_dir / folder / paper_id).glob("*"))
    return paths


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
