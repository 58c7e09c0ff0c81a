"""Selection of the figures to use: each picture looked at once, the unfit and the copies set aside.

What was seen of each figure waits on the disk, since which of two copies goes is known only when all have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from figtune.core import commands
from figtune.core.errors import InputError
from figtune.core.io import TEMPORARY_PREFIX
from figtune.core.jsonl import stream_records, write_records
from figtune.core.log import progress_bar
from figtune.dataset.content_folder import PaperFigure, figures_with_papers
from figtune.dataset.dedup_index import ImageIndex, IndexedImage, open_index
from figtune.dataset.filters import RejectReason, check_figure, check_image, near_duplicate
from figtune.dataset.image_store import inspect_image
from figtune.dataset.records import SPLITS, Split
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import SplitKeys, split_of
from figtune.extraction.records import FIGURES_FILE, FigureRecord

_WAITING_FILE = f"{TEMPORARY_PREFIX}figures.jsonl"


@dataclass(frozen=True)
class SelectedFigure:
    """A figure that examples may be made of."""

    split: Split
    image_sha256: str


@dataclass(frozen=True, kw_only=True)
class _FirstPass:
    """Result of the first pass over a figure."""

    image_sha256: str
    """Empty where a rule is against it."""
    reason: RejectReason | None


@dataclass(frozen=True, kw_only=True)
class FigureSelection:
    """Every figure, with what became of it."""

    count: int
    content_dir: Path
    settings: PrepareSettings
    keys: SplitKeys
    waiting: Path
    index: ImageIndex

    def __iter__(self) -> Iterator[tuple[PaperFigure, SelectedFigure | RejectReason]]:
        """Figures in the order of their file, each chosen or with the rule against it.

        Raises:
            ArtifactMissingError, InputError: see `figures_with_papers`.
        """
        looks = stream_records(self.waiting, _FirstPass, commands.PREPARE)
        for found, look in zip(figures_with_papers(self.content_dir), looks, strict=True):
            yield found, look.reason or self._selected(found, look.image_sha256)

    def _selected(self, found: PaperFigure, image_sha256: str) -> SelectedFigure | RejectReason:
        """Within one split the same picture is used once; of two near copies the one in the later split goes."""
        split = split_of(self.keys.key_of(found.paper), self.settings)
        kept = self.index.kept(_dedup_key(split, image_sha256))
        if kept.name != found.figure.figure_id:
            return RejectReason("duplicate_image", f"the same picture as {kept.name}")
        return near_duplicate(*kept.near_duplicate) if kept.near_duplicate else SelectedFigure(split, image_sha256)


@contextmanager
def select_figures(content_dir: Path, dataset_dir: Path, settings: PrepareSettings) -> Iterator[FigureSelection]:
    """Look at every figure; what must be remembered of them lies in the dataset folder until the block ends.

    Raises:
        ArtifactMissingError, InputError: see `figures_with_papers`.
    """
    waiting = dataset_dir / _WAITING_FILE
    with open_index(dataset_dir) as pictures:
        try:
            keys = SplitKeys(content_dir)
            count = write_records(waiting, _first_passes(content_dir, settings, keys, pictures))
            pictures.find_near_duplicates(settings.near_duplicate_bits)
            yield FigureSelection(
                count=count, content_dir=content_dir, settings=settings, keys=keys, waiting=waiting, index=pictures
            )
        finally:
            waiting.unlink(missing_ok=True)


def _first_passes(
    content_dir: Path, settings: PrepareSettings, keys: SplitKeys, pictures: ImageIndex
) -> Iterator[_FirstPass]:
    count = _count_lines(content_dir / FIGURES_FILE)
    for found in progress_bar(figures_with_papers(content_dir), total=count, title="looking at figures", unit="figure"):
        split = split_of(keys.key_of(found.paper), settings)
        yield _first_pass(found.figure, split, content_dir, settings, pictures)


def _count_lines(path: Path) -> int | None:
    """Count for the progress bar only: reading tells what is wrong with the file."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return None


def _first_pass(
    figure: FigureRecord, split: Split, content_dir: Path, settings: PrepareSettings, pictures: ImageIndex
) -> _FirstPass:
    """Key by record and picture; of pictures that are the same the one is kept whose caption extraction is surest
    of."""
    if reason := check_figure(figure, settings):
        return _FirstPass(image_sha256="", reason=reason)
    try:
        image = inspect_image(content_dir / str(figure.crop))
    except InputError as error:
        return _FirstPass(image_sha256="", reason=RejectReason("unreadable_crop", error.problem))
    if reason := check_image(image, settings):
        return _FirstPass(image_sha256="", reason=reason)
    pictures.add(
        IndexedImage(
            key=_dedup_key(split, image.sha256),
            split=split,
            rank=-figure.confidence,
            tie=figure.figure_id,
            name=figure.figure_id,
            perceptual_hash=image.perceptual_hash,
        )
    )
    return _FirstPass(image_sha256=image.sha256, reason=None)


def _dedup_key(split: Split, image_sha256: str) -> bytes:
    """Return the key shared by identical images within one split."""
    return bytes((SPLITS.index(split),)) + bytes.fromhex(image_sha256)
