"""Which figures are used: each picture looked at once, the unfit and the copies set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from figtune.examples.choices import Choices
from figtune.examples.duplicates import leaks
from figtune.examples.images import HASH_BITS, ImageFacts, look_at
from figtune.examples.records import SPLITS, Split
from figtune.examples.screening import Fault, fault_of_image, fault_of_record, near_copy
from figtune.examples.splits import split_of
from figtune.figures.records import FIGURES_FILE, FigureRecord
from figtune.pipeline import scripts
from figtune.pipeline.errors import InputError
from figtune.pipeline.progress import track
from figtune.pipeline.records import stream_records


@dataclass(frozen=True)
class Chosen:
    """A figure that examples may be made of."""

    split: Split
    image_sha256: str


@dataclass(frozen=True)
class _Candidate:
    split: Split
    confidence: float
    image: ImageFacts


Selection = Mapping[str, Chosen | Fault]
"""Every figure by figure_id."""


def figures_of(content_dir: Path) -> Iterator[FigureRecord]:
    """All figures of a content folder, one by one.

    Raises:
        ArtifactMissingError, InputError: see `stream_records`.
    """
    return stream_records(content_dir / FIGURES_FILE, FigureRecord, scripts.EXTRACT)


def select_figures(content_dir: Path, choices: Choices) -> Selection:
    """Look at every figure and say whether it is used, and where, or which rule is against it."""
    faults: dict[str, Fault] = {}
    candidates: dict[str, _Candidate] = {}
    count = _count_lines(content_dir / FIGURES_FILE)
    for figure in track(figures_of(content_dir), total=count, title="looking at figures", unit="figure"):
        judged = _judged(figure, content_dir, choices)
        if isinstance(judged, Fault):
            faults[figure.figure_id] = judged
        else:
            candidates[figure.figure_id] = judged
    faults |= _copies(candidates)
    unique = {figure_id: candidate for figure_id, candidate in candidates.items() if figure_id not in faults}
    faults |= _leaks(unique, choices.near_duplicate_bits)
    chosen = {
        figure_id: Chosen(candidate.split, candidate.image.sha256)
        for figure_id, candidate in unique.items()
        if figure_id not in faults
    }
    return {**faults, **chosen}


def _count_lines(path: Path) -> int | None:
    """For the progress bar only: reading tells what is wrong with the file."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return None


def _judged(figure: FigureRecord, content_dir: Path, choices: Choices) -> _Candidate | Fault:
    if fault := fault_of_record(figure, choices):
        return fault
    try:
        image = look_at(content_dir / str(figure.crop))
    except InputError as error:
        return Fault("unreadable_crop", error.problem)
    split = split_of(figure.paper_id, choices.fractions)
    return fault_of_image(image, choices) or _Candidate(split, figure.confidence, image)


def _copies(candidates: Mapping[str, _Candidate]) -> dict[str, Fault]:
    """Within one split the same picture is used once: where the extraction is most sure of its caption."""
    first: dict[tuple[Split, str], str] = {}
    faults = {}
    for figure_id in sorted(candidates, key=lambda name: (-candidates[name].confidence, name)):
        candidate = candidates[figure_id]
        kept = first.setdefault((candidate.split, candidate.image.sha256), figure_id)
        if kept != figure_id:
            faults[figure_id] = Fault("duplicate_image", f"the same picture as {kept}")
    return faults


def _leaks(candidates: Mapping[str, _Candidate], bits: int) -> dict[str, Fault]:
    """Of two near copies the one in the later split goes."""
    hashes: dict[Split, dict[str, int]] = {split: {} for split in SPLITS}
    for figure_id, candidate in candidates.items():
        hashes[candidate.split][figure_id] = candidate.image.perceptual_hash
    found = leaks(hashes, HASH_BITS, bits)
    return {dropped: near_copy(kept, split) for dropped, (kept, split) in found.items()}
