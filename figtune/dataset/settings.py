"""Settings of dataset preparation; `config.py` holds their values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from pathlib import Path

from figtune.core.settings import check_setting
from figtune.dataset.records import Task

PAPER_ONLY_SETTINGS = frozenset(
    (
        *("tasks", "include_tables", "min_confidence", "english_only", "max_context_words", "min_quality"),
        *("panel_images", "figure_words", "other_captions"),
    )
)
"""Settings that preparation from a data set does not look at."""

LAYOUT_SETTING = "shard_examples"
"""The setting that decides which files hold the examples, not which examples there are."""

TABLE_SUFFIXES = (".parquet", ".csv", ".json", ".jsonl", ".ndjson", ".tsv")
"""Suffixes of the single files that a data set may be."""
_HUB_ID = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """Choice of the figures that become training examples, and of how they do; PAPER_ONLY_SETTINGS mean nothing for a
    data set."""

    tasks: tuple[Task, ...]
    """Tasks to make examples for."""
    include_tables: bool
    """Make examples of tables too."""
    min_confidence: float
    """Figures whose extraction is less sure than this are rejected."""
    min_side_pixels: int
    """Crops with a shorter side are rejected."""
    max_aspect_ratio: float
    """Crops whose longer side exceeds the shorter one by more than this factor are rejected."""
    min_ink_share: float
    """Crops with a smaller share of pixels that differ from the background are rejected as blank."""
    english_only: bool
    """Figures with a caption in another language are rejected."""
    min_words: int
    """Completions with fewer words are rejected."""
    max_words: int
    """Longer completions end at the last sentence that fits."""
    max_context_words: int
    """Longer captions within a prompt end at the last sentence that fits."""
    min_quality: float
    """Targets that score lower are rejected: by length, new words, words of the figure, pointing, openings."""
    panel_images: bool
    """Examples about a panel show the panel's crop at full resolution, not the whole figure."""
    figure_words: bool
    """Prompts of captions and texts about a whole figure tell the words printed in it."""
    other_captions: bool
    """They tell the first sentences of the captions of the paper's other figures."""
    near_duplicate_bits: int
    """Images whose perceptual hashes, of 256 bits, differ in so many bits at most count as the same."""
    minitrain_examples: int
    """Training examples that are evaluated too, to tell memorised from learned."""
    shard_examples: int
    """Examples of each split are written in files of so many, for tools that read them side by side; 0 for one file."""
    val_fraction: float
    """Share of papers for validation during training."""
    test_fraction: float
    """Share of papers held out for the test."""
    split_seed: int
    """Seed of the train, val and test assignment."""

    def __post_init__(self) -> None:
        check_setting(len(self.tasks) > 0, "prepare.tasks", "at least one task")
        check_setting(len(set(self.tasks)) == len(self.tasks), "prepare.tasks", "tasks that differ")
        check_setting(0 <= self.min_confidence <= 1, "prepare.min_confidence", "from 0 to 1")
        check_setting(self.min_side_pixels >= 1, "prepare.min_side_pixels", "1 or more")
        check_setting(1 <= self.max_aspect_ratio < inf, "prepare.max_aspect_ratio", "1 or more")
        check_setting(0 <= self.min_ink_share < 1, "prepare.min_ink_share", "from 0 to below 1")
        check_setting(self.max_context_words >= 1, "prepare.max_context_words", "1 or more")
        check_setting(0 <= self.min_quality <= 1, "prepare.min_quality", "from 0 to 1")
        check_setting(0 <= self.near_duplicate_bits < 256, "prepare.near_duplicate_bits", "from 0 to 255")
        check_setting(self.minitrain_examples >= 1, "prepare.minitrain_examples", "1 or more")
        check_setting(self.shard_examples >= 0, "prepare.shard_examples", "0 or more")
        check_setting(1 <= self.min_words <= self.max_words, "prepare.min_words", "from 1 to --prepare.max_words")
        check_setting(0 <= self.val_fraction < 1, "prepare.val_fraction", "from 0 to below 1")
        check_setting(0 <= self.test_fraction < 1, "prepare.test_fraction", "from 0 to below 1")
        check_setting(
            self.val_fraction + self.test_fraction < 1,
            "prepare.val_fraction",
            "small enough to leave papers for training beside --prepare.test_fraction",
        )


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """An image-caption data set as the source of examples, in place of papers."""

    source: str
    """Hub id, folder (saved by `datasets`, Parquet, imagefolder), or a Parquet, JSONL or CSV file; empty for papers."""
    revision: str | None
    """Branch, tag or commit of the Hub repository."""
    image_column: str
    """Images: encoded bytes, or paths relative to the data set's folder."""
    target_column: str
    """Texts that the model learns to write."""
    prompt_column: str
    """Texts that ask for them; empty for --data.prompt everywhere."""
    id_column: str
    """Column that rows of one split share, such as a patient: texts, numbers or dates; empty for the image itself."""
    limit: int
    """Rows to read of each part of the data set, from its beginning, for a quick try; 0 for all."""
    prompt: str
    """Asked of rows that have no prompt of their own."""

    def __post_init__(self) -> None:
        check_setting(bool(self.image_column), "data.image_column", "the name of a column")
        check_setting(bool(self.target_column), "data.target_column", "the name of a column")
        check_setting(bool(self.prompt.strip()), "data.prompt", "a text")
        check_setting(self.limit >= 0, "data.limit", "at least 0")

    @property
    def path(self) -> Path | None:
        """Return the folder or file of the source; None for a Hub id."""
        path = Path(self.source).expanduser()
        if path.exists() or not _HUB_ID.fullmatch(self.source) or path.suffix.lower() in TABLE_SUFFIXES:
            return path
        return None

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that the user named, by the flag that names them."""
        flags = {
            "--data.image_column": self.image_column,
            "--data.target_column": self.target_column,
            "--data.prompt_column": self.prompt_column,
            "--data.id_column": self.id_column,
        }
        return {flag: name for flag, name in flags.items() if name}
