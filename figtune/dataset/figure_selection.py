"""Selection of the figures to use: each picture looked at once, the unfit and the copies set aside.

What was seen of each figure waits on the disk, since which of two copies goes is known only when all have been seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from figtune.core import commands
from figtune.core.errors import InputError
from figtune.core.io import TEMPORARY_PREFIX
from figtune.core.jsonl import stream_records, write_records
from figtune.core.log import progress_bar
from figtune.dataset.content_folder import PaperFigure, figures_with_papers
from figtune.dataset.decisions import REJECTED_IN_REVIEW, AppliedDecisions, figure_key
from figtune.dataset.dedup import ImageIndex, IndexedImage, open_index
from figtune.dataset.filters import RejectReason, check_figure, check_image, near_duplicate
from figtune.dataset.image_store import inspect_image
from figtune.dataset.records import SPLITS, Split
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.split_assignment import SplitKeys, split_of
from figtune.extraction.records import FIGURES_FILE, BoxTuple, FigureRecord

logger = logging.getLogger(__name__)

_WAITING_FILE = f"{TEMPORARY_PREFIX}figures.jsonl"


@dataclass(frozen=True)
class SelectedFigure:
    """A figure that examples may be made of."""

    split: Split
    image_sha256: str
    overruled: RejectReason | None
    """The rule against it, where a person has accepted it."""


@dataclass(frozen=True, kw_only=True)
class RejectedFigure:
    """A figure that is left out."""

    reason: RejectReason
    ruled: RejectReason | None
    """The rule against it; None where a person alone has rejected it."""


@dataclass(frozen=True, kw_only=True)
class _FirstPass:
    """Result of the first pass over a figure."""

    image_sha256: str = ""
    """Empty where something is against it."""
    reason: RejectReason | None = None
    ruled: RejectReason | None = None
    """The rule against it, whatever a person decided."""
    recropped: FigureRecord | None = None
    """The figure with the box that a person has set."""


@dataclass(frozen=True, kw_only=True)
class FigureSelection:
    """Every figure, with what became of it."""

    count: int
    content_dir: Path
    settings: PrepareSettings
    keys: SplitKeys
    waiting: Path
    index: ImageIndex

    def __iter__(self) -> Iterator[tuple[PaperFigure, SelectedFigure | RejectedFigure]]:
        """Figures in the order of their file, each chosen or with what is against it.

        Raises:
            ArtifactMissingError, InputError: see `figures_with_papers`.
        """
        first_passes = stream_records(self.waiting, _FirstPass, commands.PREPARE)
        for found, first_pass in zip(figures_with_papers(self.content_dir), first_passes, strict=True):
            current = found if first_pass.recropped is None else replace(found, figure=first_pass.recropped)
            if first_pass.reason is not None:
                yield current, RejectedFigure(reason=first_pass.reason, ruled=first_pass.ruled)
            else:
                yield current, self._selected(current, first_pass)

    def _selected(self, found: PaperFigure, first_pass: _FirstPass) -> SelectedFigure | RejectedFigure:
        """Within one split the same picture is used once; of two near copies the one in the later split goes."""
        split = split_of(self.keys.key_of(found.paper), self.settings)
        kept = self.index.kept(_dedup_key(split, first_pass.image_sha256))
        reason = None
        if kept.name != found.figure.figure_id:
            reason = RejectReason("duplicate_image", f"the same picture as {kept.name}")
        elif kept.near_duplicate:
            reason = near_duplicate(*kept.near_duplicate)
        if reason is not None:
            return RejectedFigure(reason=reason, ruled=reason)
        return SelectedFigure(split, first_pass.image_sha256, first_pass.ruled)


@contextmanager
def select_figures(
    content_dir: Path,
    dataset_dir: Path,
    settings: PrepareSettings,
    decisions: AppliedDecisions,
    pdf_dir: Path | None,
) -> Iterator[FigureSelection]:
    """Look at every figure; what must be remembered of them lies in the dataset folder until the block ends.

    Raises:
        ArtifactMissingError, InputError: see `figures_with_papers`.
    """
    waiting = dataset_dir / _WAITING_FILE
    with open_index(dataset_dir) as pictures:
        try:
            keys = SplitKeys(content_dir)
            first_passes = _FirstPasses(content_dir, dataset_dir, settings, decisions, pdf_dir, keys, pictures)
            count = write_records(waiting, first_passes)
            pictures.find_near_duplicates(settings.near_duplicate_bits)
            yield FigureSelection(
                count=count, content_dir=content_dir, settings=settings, keys=keys, waiting=waiting, index=pictures
            )
        finally:
            waiting.unlink(missing_ok=True)


def _count_lines(path: Path) -> int | None:
    """Count for the progress bar only: reading tells what is wrong with the file."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return None


@dataclass(frozen=True)
class _FirstPasses:
    """The first pass over all figures."""

    content_dir: Path
    dataset_dir: Path
    settings: PrepareSettings
    decisions: AppliedDecisions
    pdf_dir: Path | None
    keys: SplitKeys
    pictures: ImageIndex

    def __iter__(self) -> Iterator[_FirstPass]:
        count = _count_lines(self.content_dir / FIGURES_FILE)
        figures = figures_with_papers(self.content_dir)
        for found in progress_bar(figures, total=count, title="looking at figures", unit="figure"):
            yield self._first_pass(found)

    def _first_pass(self, found: PaperFigure) -> _FirstPass:
        """Key by record and picture; of pictures that are the same the one is kept whose caption extraction is surest
        of. A person's decision comes before the rules, so that a picture that is left out keeps no other one out."""
        decision = self.decisions.about(figure_key(found.figure, found.paper))
        verdict = decision.verdict if decision else ""
        recropped = self._recropped(found, decision.box) if decision and decision.box else None
        figure = recropped or found.figure
        ruled = check_figure(figure, self.settings)
        reason = check_figure(figure, self.settings, accepted=verdict == "accept") if ruled else None
        if reason is None:
            try:
                image = inspect_image(self.content_dir / str(figure.crop))
            except InputError as error:
                reason = ruled = RejectReason("unreadable_crop", error.problem)
            else:
                ruled = ruled or check_image(image, self.settings)
                reason = check_image(image, self.settings, accepted=verdict == "accept")
        if verdict == "reject":
            reason = RejectReason(REJECTED_IN_REVIEW, "")
        if reason is not None:
            return _FirstPass(reason=reason, ruled=ruled, recropped=recropped)
        split = split_of(self.keys.key_of(found.paper), self.settings)
        self.pictures.add(
            IndexedImage(
                key=_dedup_key(split, image.sha256),
                split=split,
                rank=-figure.confidence,
                tie=figure.figure_id,
                name=figure.figure_id,
                perceptual_hash=image.perceptual_hash,
            )
        )
        return _FirstPass(image_sha256=image.sha256, ruled=ruled, recropped=recropped)

    def _recropped(self, found: PaperFigure, box: BoxTuple) -> FigureRecord | None:
        # PyMuPDF is needed here alone.
        from figtune.dataset.recrop import Recropper

        try:
            cropper = Recropper(content_dir=self.content_dir, dataset_dir=self.dataset_dir, pdf_dir=self.pdf_dir)
            return cropper.recrop(found, box)
        except InputError as error:
            self.decisions.count_uncut_box()
            logger.warning(f"the box set for {found.source} is left out: {error}")
            return None


def _dedup_key(split: Split, image_sha256: str) -> bytes:
    """Return the key shared by identical images within one split."""
    return bytes((SPLITS.index(split),)) + bytes.fromhex(image_sha256)
