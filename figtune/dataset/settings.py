"""Settings of dataset preparation."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.dataset.records import Task
from figtune.dataset.splits import Fractions

PAPER_ONLY_SETTINGS = frozenset(
    (
        *("tasks", "include_tables", "min_confidence", "english_only", "max_context_words", "min_quality"),
        "panel_images",
    )
)
"""Choices that preparation from a data set does not look at."""

LAYOUT_SETTING = "shard_examples"
"""The choice that decides which files hold the examples, not which examples there are."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """Everything that preparation can be told; those in PAPER_ONLY_SETTINGS mean nothing for a data set."""

    tasks: tuple[Task, ...]
    include_tables: bool
    """Make examples of tables too."""
    min_confidence: float
    """Lowest confidence of the extraction, in [0, 1]."""
    min_side_pixels: int
    """Smallest shorter side of an image in pixels."""
    max_aspect_ratio: float
    """Longer over shorter side of an image."""
    min_ink_share: float
    """Share of pixels that must differ from the background, in [0, 1]; fewer is a blank image."""
    english_only: bool
    """Reject figures whose caption is in another language."""
    min_words: int
    """Fewest words of a completion."""
    max_words: int
    """Most words of a completion, which ends at the last sentence that fits."""
    max_context_words: int
    """Most words of the caption in a prompt, which ends at the last sentence that fits."""
    min_quality: float
    """Lowest quality of a target of sentences, in [0, 1]."""
    panel_images: bool
    """Examples about a panel have the panel's crop as their image, not the whole figure."""
    near_duplicate_bits: int
    """Pictures whose perceptual hashes (256 bits) differ in so many bits at most count as the same."""
    minitrain_examples: int
    """At most so many of the training examples are repeated in minitrain.jsonl."""
    shard_examples: int
    """Examples per shard, all but the last; 0 for one file a split."""
    fractions: Fractions
    """Fractions of papers, or of rows where the data set has no such splits, for validation and test."""
