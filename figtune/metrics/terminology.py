"""Terminology per data source: papers, images, or groups of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from figtune.metrics.records import EvaluatedSplit, Source


@dataclass(frozen=True, kw_only=True)
class Terminology:
    """Terms for one source of examples."""

    places: Mapping[EvaluatedSplit, str]
    """Place of an effect by split, `on held-out papers`."""
    titles: Mapping[EvaluatedSplit, str]
    """Titles by split, `Held-out papers`."""
    groups: str
    """Units of the intervals, plural."""
    group: str
    images: str
    """Images, plural."""
    test_split_remedy: str
    """Remedy where there is no test split."""
    image_use_remedy: str
    """Remedy where the model does not use new images; empty for rows, which have no short questions."""


_IMAGES = Terminology(
    places={"test": "on held-out images", "minitrain": "on training images"},
    titles={"test": "Held-out images", "minitrain": "Training images"},
    groups="images",
    group="image",
    images="images",
    test_split_remedy="More rows, or a larger --prepare.test_fraction, give a test split",
    image_use_remedy="",
)
TERMINOLOGY: Mapping[Source, Terminology] = {
    "papers": Terminology(
        places={"test": "on held-out papers", "minitrain": "on training figures"},
        titles={"test": "Held-out papers", "minitrain": "Training figures"},
        groups="papers",
        group="paper",
        images="figures",
        test_split_remedy="More papers, or a larger --prepare.test_fraction, give a test split",
        image_use_remedy="Short questions and words to read teach a model to look, most where each answer counts as "
        "much as a long description: prepare all tasks, and train with --train.loss_per example",
    ),
    "images": _IMAGES,
    "groups": replace(_IMAGES, groups="groups of rows that share an id", group="group of rows that share an id"),
}
