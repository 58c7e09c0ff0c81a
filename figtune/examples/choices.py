"""What a user decides about examples."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.examples.records import Task
from figtune.examples.splits import Fractions


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that preparation from papers can be told."""

    tasks: tuple[Task, ...]
    include_tables: bool
    """Make examples of tables too."""
    min_confidence: float
    """Of the extraction, in [0, 1]."""
    min_side_pixels: int
    """Of the shorter side of a crop."""
    max_aspect_ratio: float
    """Longer over shorter side of a crop."""
    min_ink_share: float
    """Share of pixels that must differ from the background, in [0, 1]; fewer is a blank crop."""
    english_only: bool
    """Reject figures whose caption is in another language."""
    min_words: int
    """Of a completion."""
    max_words: int
    """Of a completion; it ends at the last sentence that fits."""
    max_context_words: int
    """Of the caption in a prompt; it ends at the last sentence that fits."""
    near_duplicate_bits: int
    """Pictures whose perceptual hashes (256 bits) differ in so many bits at most count as the same."""
    minitrain_examples: int
    """At most so many of the training examples are repeated in minitrain.jsonl."""
    fractions: Fractions
    """Of papers, for validation and test."""
