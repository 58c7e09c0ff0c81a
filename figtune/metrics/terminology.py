"""What the examples are called: a verdict on scans must not speak of papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from figtune.metrics.records import EvaluatedSplit, Source


@dataclass(frozen=True, kw_only=True)
class Terminology:
    """For one source of examples."""

    places: Mapping[EvaluatedSplit, str]
    """`on held-out papers`"""
    titles: Mapping[EvaluatedSplit, str]
    """`Held-out papers`"""
    groups: str
    """What the intervals are over, in the plural."""
    group: str
    pictures: str
    """What the images are, in the plural."""
    test_split_remedy: str
    """How a test split comes about where there is none."""


TERMINOLOGY: Mapping[Source, Terminology] = {
    "papers": Terminology(
        places={"test": "on held-out papers", "minitrain": "on training figures"},
        titles={"test": "Held-out papers", "minitrain": "Training figures"},
        groups="papers",
        group="paper",
        pictures="figures",
        test_split_remedy="More papers, or a larger --prepare.test_fraction, give a test split",
    ),
    "images": Terminology(
        places={"test": "on held-out images", "minitrain": "on training images"},
        titles={"test": "Held-out images", "minitrain": "Training images"},
        groups="images",
        group="image",
        pictures="images",
        test_split_remedy="More rows, or a larger --prepare.test_fraction, give a test split",
    ),
    "groups": Terminology(
        places={"test": "on held-out images", "minitrain": "on training images"},
        titles={"test": "Held-out images", "minitrain": "Training images"},
        groups="groups of rows that share an id",
        group="group of rows that share an id",
        pictures="images",
        test_split_remedy="More rows, or a larger --prepare.test_fraction, give a test split",
    ),
}
