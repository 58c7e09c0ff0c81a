"""Pack tokenized examples into rows: examples of one image share its tokens, and short sequences share a row.

A decoder reads image tokens once for all tasks of a figure, rather than once for each: Gemma 3 4B with 200 tokens of
text an example and three tasks a figure reads 861 tokens in place of 1383.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from figtune.models.family import TokenizedExample


@dataclass(frozen=True, kw_only=True)
class SharedPrefixGroup:
    """Examples of one image whose first `shared_prefix_length` tokens are the same: those once, then the rest of each.

    `[image prompt 1 completion 1 prompt 2 completion 2]`
    """

    image_sha256: str
    examples: tuple[TokenizedExample, ...]

    @property
    def shared_prefix_length(self) -> int:
        """Number of tokens that stand in the sequence once; a single example has no other to share them with."""
        return self.examples[0].shared_prefix_length

    @property
    def length(self) -> int:
        """Tokens of the whole sequence."""
        shared = self.shared_prefix_length
        return shared + sum(len(example.input_ids) - shared for example in self.examples)


PackedRow = Sequence[SharedPrefixGroup]
"""Groups that stand in one row of a batch, one after another, without attending to each other."""


def first_fit_decreasing(lengths: Sequence[int]) -> list[list[int]]:
    """Put sequences, by position in `lengths`, into as few rows as first fit finds, longest first.

    A row is as long as the longest sequence: attention, whose cost grows with the square of a row's length, is never
    dearer than without, and padding is put to use.
    """
    by_length = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    width = lengths[by_length[0]]
    rows: list[list[int]] = []
    free: list[int] = []
    for position in by_length:
        length = lengths[position]
        fitting = next((row for row, room in enumerate(free) if room >= length), None)
        if fitting is None:
            rows.append([position])
            free.append(width - length)
        else:
            rows[fitting].append(position)
            free[fitting] -= length
    return rows


def pack(groups: Sequence[SharedPrefixGroup]) -> list[list[SharedPrefixGroup]]:
    """Return groups in rows."""
    return [[groups[position] for position in row] for row in first_fit_decreasing([group.length for group in groups])]


def completions_in_one_row(examples: Sequence[TokenizedExample]) -> list[SharedPrefixGroup]:
    """Return a row in which completions of one prompt share image and prompt; exact in every family.

    Args:
        examples: the same image and prompt, each with its own completion.
    """
    shared = tuple(replace(example, shared_prefix_length=example.prompt_length) for example in examples)
    return [SharedPrefixGroup(image_sha256="", examples=shared)]


def one_per_row(examples: Sequence[TokenizedExample]) -> list[list[SharedPrefixGroup]]:
    """Return a row for every example, in the order given."""
    return [[SharedPrefixGroup(image_sha256="", examples=(example,))] for example in examples]
