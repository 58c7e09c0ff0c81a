"""Which figures are used: each picture looked at once, the unfit and the copies set aside.

What was seen of each figure waits on the disk, since which of two copies goes is known only when all have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from figtune.examples.choices import Choices
from figtune.examples.content import PaperFigure, figures_with_papers
from figtune.examples.images import look_at
from figtune.examples.pictures import Pictures, Seen, pictures_beside
from figtune.examples.records import SPLITS, Split
from figtune.examples.screening import Fault, fault_of_image, fault_of_record, near_copy
from figtune.examples.split_keys import SplitKeys
from figtune.examples.splits import split_of
from figtune.figures.records import FIGURES_FILE, FigureRecord
from figtune.pipeline import scripts
from figtune.pipeline.errors import InputError
from figtune.pipeline.files import TEMPORARY_PREFIX
from figtune.pipeline.progress import track
from figtune.pipeline.records import stream_records, write_records

_WAITING_FILE = f"{TEMPORARY_PREFIX}figures.jsonl"


@dataclass(frozen=True)
class Chosen:
    """A figure that examples may be made of."""

    split: Split
    image_sha256: str


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What was seen of a figure."""

    image_sha256: str
    """Empty where a rule is against it."""
    fault: Fault | None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Every figure, with what became of it."""

    count: int
    content_dir: Path
    choices: Choices
    keys: SplitKeys
    waiting: Path
    pictures: Pictures

    def __iter__(self) -> Iterator[tuple[PaperFigure, Chosen | Fault]]:
        """Figures in the order of their file, each chosen or with the rule against it.

        Raises:
            ArtifactMissingError, InputError: see `figures_with_papers`.
        """
        looks = stream_records(self.waiting, _Look, scripts.PREPARE)
        for found, look in zip(figures_with_papers(self.content_dir), looks, strict=True):
            yield found, look.fault or self._judged(found, look.image_sha256)

    def _judged(self, found: PaperFigure, image_sha256: str) -> Chosen | Fault:
        """Within one split the same picture is used once; of two near copies the one in the later split goes."""
        split = split_of(self.keys.key_of(found.paper), self.choices.fractions)
        kept = self.pictures.kept(_key(split, image_sha256))
        if kept.name != found.figure.figure_id:
            return Fault("duplicate_image", f"the same picture as {kept.name}")
        return near_copy(*kept.near) if kept.near else Chosen(split, image_sha256)


@contextmanager
def select_figures(content_dir: Path, dataset_dir: Path, choices: Choices) -> Iterator[Selection]:
    """Look at every figure; what must be remembered of them lies in the dataset folder until the block ends.

    Raises:
        ArtifactMissingError, InputError: see `figures_with_papers`.
    """
    waiting = dataset_dir / _WAITING_FILE
    with pictures_beside(dataset_dir) as pictures:
        try:
            keys = SplitKeys(content_dir)
            count = write_records(waiting, _looks(content_dir, choices, keys, pictures))
            pictures.find_near(choices.near_duplicate_bits)
            yield Selection(
                count=count, content_dir=content_dir, choices=choices, keys=keys, waiting=waiting, pictures=pictures
            )
        finally:
            waiting.unlink(missing_ok=True)


def _looks(content_dir: Path, choices: Choices, keys: SplitKeys, pictures: Pictures) -> Iterator[_Look]:
    count = _count_lines(content_dir / FIGURES_FILE)
    for found in track(figures_with_papers(content_dir), total=count, title="looking at figures", unit="figure"):
        split = split_of(keys.key_of(found.paper), choices.fractions)
        yield _look(found.figure, split, content_dir, choices, pictures)


def _count_lines(path: Path) -> int | None:
    """For the progress bar only: reading tells what is wrong with the file."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return None


def _look(figure: FigureRecord, split: Split, content_dir: Path, choices: Choices, pictures: Pictures) -> _Look:
    """By record and picture; of pictures that are the same the one is kept whose caption extraction is surest of."""
    if fault := fault_of_record(figure, choices):
        return _Look(image_sha256="", fault=fault)
    try:
        image = look_at(content_dir / str(figure.crop))
    except InputError as error:
        return _Look(image_sha256="", fault=Fault("unreadable_crop", error.problem))
    if fault := fault_of_image(image, choices):
        return _Look(image_sha256="", fault=fault)
    pictures.add(
        Seen(
            key=_key(split, image.sha256),
            split=split,
            rank=-figure.confidence,
            tie=figure.figure_id,
            name=figure.figure_id,
            perceptual_hash=image.perceptual_hash,
        )
    )
    return _Look(image_sha256=image.sha256, fault=None)


def _key(split: Split, image_sha256: str) -> bytes:
    """Of pictures that are the same within one split."""
    return bytes((SPLITS.index(split),)) + bytes.fromhex(image_sha256)
