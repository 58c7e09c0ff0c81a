"""Records of preparation: examples (`train.jsonl`, ...), rejections (`rejected.jsonl`), `stats.json`.

Image paths are relative to the dataset folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["caption", "explain", "analyze", "describe", "read", "question"]
"""Task of an example made from papers."""
QUESTION_TASK: Task = "question"
READ_TASK: Task = "read"
SHORT_TASKS: frozenset[Task] = frozenset((QUESTION_TASK, READ_TASK))
"""Tasks with short answers that nothing but the image gives, and that are right or wrong."""
CUSTOM_TASK: Literal["given"] = "given"
"""Task of an example of a data set with its own prompts and targets."""
Split = Literal["train", "val", "test"]

PREPARATION_VERSION = 12
"""Bumped by hand when a rule of preparation changes: data sets are made anew then."""

SPLITS: tuple[Split, ...] = ("train", "val", "test")
MINITRAIN_FILE = "minitrain.jsonl"
"""A slice of the training examples: a loss on it far below the one on val tells memorisation."""
REJECTED_FILE = "rejected.jsonl"
CANDIDATES_FILE = "candidates.jsonl"
"""Everything that a person may decide on, see `candidates`."""
STATS_FILE = "stats.json"
CARD_FILE = "README.md"
LENGTHS_FILE = "lengths.svg"
PREVIEW_FILE = "preview.html"
IMAGES_FOLDER = "images"
"""Images of a data set, as `images/<two digits>/<sha256>.png`; those of papers stay with the content."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image, one prompt, one completion."""

    schema: Literal[1] = 1
    example_id: str
    """Unique in the data set: `<figure_id>-<task>`, with a panel's label where it is about one; of a row its number."""
    task: Task | Literal["given"]
    image: str
    image_sha256: str
    """sha256 of the image file: examples with the same value share one image."""
    prompt: str
    completion: str
    group: str
    """Group that must not straddle a split: the paper_id, or a row's own id, or its image."""
    source: str
    """Origin, for people: "paper.pdf, page 3, Figure 2", "scans, train row 7"."""
    kind: str
    """The figure's kind, or "" where the source does not say."""
    quality: float = 1.0
    """Score of a target of sentences in [0, 1], see `Quality`; 1 where none is judged."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A figure or an example that was dropped, and the rule that dropped it."""

    schema: Literal[1] = 1
    item_id: str
    """A figure_id, or the example_id that a figure or row would have had."""
    rule: str
    """The rule's name, as counted in stats.json."""
    detail: str
    task: str
    """Task of the example; empty where the whole figure was rejected."""
    image: str
    """The value in `Example`, where there is an image to look at; empty otherwise."""
    source: str
    """The value in `Example`."""


@dataclass(frozen=True, kw_only=True)
class LengthSummary:
    """Lengths in words."""

    shortest: int
    median: float
    longest: int


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts that add up: figures = figures_used + figures_rejected, and one line in rejected.jsonl per rejection.

    Of a data set, "figures" are its rows, and what would be papers are their groups.
    """

    schema: Literal[1] = 1
    data_set: str
    """The data set that the rows are of; empty for papers."""
    figures: int
    figures_used: int
    """True if at least one example is about it."""
    figures_rejected: int
    examples_rejected: int
    """Beside whole figures."""
    groups: dict[str, int]
    """Papers with examples, by split."""
    examples: dict[str, dict[str, int]]
    """Examples by split, then task."""
    minitrain: int
    """Examples of train that stand in minitrain.jsonl too."""
    kinds: dict[str, int]
    """Examples by figure kind."""
    figure_rejections: dict[str, int]
    """Whole figures, by rule."""
    example_rejections: dict[str, int]
    """Examples, by rule."""
    cleaned: dict[str, int]
    """Sentences that a cleaning rule shortened, put otherwise or dropped on the way to a target, by rule."""
    shortened: dict[str, int]
    """Completions that end at a sentence before the text does, by task."""
    duplicates: int
    """Training examples that repeat picture, prompt and completion of another one."""
    image_remarks: dict[str, int]
    """Examples of a data set whose image has something to know about it, by remark."""
    completion_words: dict[str, LengthSummary]
    """Counts by task."""
    quality: dict[str, tuple[int, ...]]
    """Examples by task and tenth of the quality, from [0, 0.1) to [0.9, 1]."""
    empty_splits: tuple[Split, ...]
    """Splits that were asked for and got nothing."""
    printed_words: dict[str, int] = field(default_factory=dict)
    """Words printed in the figures that are used, by kind, as far as the text layer has them."""
    legibility: dict[str, dict[str, float]] = field(default_factory=dict)
    """Share of these words that can be read at the resolution of a vision encoder, by encoder, then kind."""
    decisions: dict[str, int] = field(default_factory=dict)
    """Decisions of a person by what they did; "unused" are about nothing that is made here."""

    @property
    def summary(self) -> dict[str, int]:
        """The few counts that are worth a line on the screen."""
        used = "rows used" if self.data_set else "figures used"
        examples = {f"{split} examples": sum(tasks.values()) for split, tasks in self.examples.items()}
        return {used: self.figures_used, "rejected": self.figures_rejected, **examples}


def examples_file(split: Split) -> str:
    """Return `train.jsonl`, where a split is one file; see `shards`."""
    return f"{split}.jsonl"


DATASET_CONTENTS = (
    *(examples_file(split) for split in SPLITS),
    *SPLITS,
    MINITRAIN_FILE,
    REJECTED_FILE,
    CANDIDATES_FILE,
    STATS_FILE,
    CARD_FILE,
    LENGTHS_FILE,
    PREVIEW_FILE,
    IMAGES_FOLDER,
)
LEARNED_FROM = (*(examples_file(split) for split in SPLITS[:2]), *SPLITS[:2], MINITRAIN_FILE, IMAGES_FOLDER)
"""Files and folders that training reads."""
EXAMPLES_READ = (*(examples_file(split) for split in SPLITS), *SPLITS, MINITRAIN_FILE, IMAGES_FOLDER)
"""Files and folders that evaluation reads: it also guesses from the training texts."""
