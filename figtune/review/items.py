"""The candidates of a data set as a person goes through them: in an order, filtered, with what was decided on each.

The candidates stay on disk, those of a preparation that has been replaced meanwhile too; an index of them is kept.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from figtune.core import commands
from figtune.core.errors import ArtifactMissingError, InputError
from figtune.dataset.candidates import Candidate
from figtune.dataset.decisions import Decision, DecisionKey, Verdict
from figtune.dataset.records import CANDIDATES_FILE
from figtune.extraction.records import BoxTuple, FigureRecord

State = Literal["open", "accepted", "edited", "rejected"]
Shown = Literal["open", "accepted", "edited", "rejected", "all"]
WHOLE_FIGURE = "figure"
"""Stands for the task of a whole figure."""
_ID_DIGITS = 16


class ItemFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Choice of items, and their order."""

    task: str = ""
    """Empty for all."""
    rule: str = "kept"
    """A rule; "kept" for items without any, "any" for those with one, "all" for both."""
    low: float = 0.0
    high: float = 1.0
    """Bounds of the score, both included."""
    shown: Shown = "open"
    order: Literal["paper", "score"] = "paper"
    """Order of the papers, or the lowest score first."""

    def chooses(self, item: Item) -> bool:
        """Return True for an item to be shown, as far as its candidate tells."""
        by_rule = {"all": True, "kept": not item.rule, "any": bool(item.rule)}
        return (
            by_rule.get(self.rule, item.rule == self.rule)
            and self.task in ("", item.task)
            and self.low <= item.score <= self.high
        )


@dataclass(frozen=True, slots=True)
class Item:
    """Entry of the index."""

    item_id: str
    """Hash of the key, the same in every run."""
    place: int
    """Position in the order of the papers."""
    offset: int
    """Beginning of its line, in bytes."""
    length: int
    """Length of its line, in bytes."""
    key: DecisionKey
    figure_key: DecisionKey
    """Key of its whole figure."""
    rule: str
    score: float
    acceptable: bool

    @property
    def task(self) -> str:
        """Task, as filters name it."""
        return self.key.task or WHOLE_FIGURE


@dataclass(frozen=True, kw_only=True)
class Step:
    """Result of a step through the items that a filter chooses."""

    item: Item | None
    """The item that was reached; None where there is none further on."""
    following: Item | None
    """The one after it."""
    position: int
    """Number of it among those shown, from 1; of None the number behind the last or before the first."""
    total: int
    """Number of items shown."""
    left: int
    """Number of items chosen on which something is to be decided, whatever state the filter shows."""


def item_state(item: Item, decisions: Mapping[DecisionKey, Decision]) -> State:
    """Return what was decided on an item; an example goes with its figure where that is rejected."""
    decision = decisions.get(item.key)
    if decision is not None and decision.verdict:
        return "rejected" if decision.verdict == "reject" else "edited" if decision.text else "accepted"
    figure = decisions.get(item.figure_key) if item.key.figure else None
    return "rejected" if figure is not None and figure.verdict == "reject" else "open"


class ReviewItems:
    """Candidates of one preparation.

    Raises:
        ArtifactMissingError: the data set is not there, or was made before there was a review.
        InputError: a line is no candidate.
    """

    def __init__(self, dataset_dir: Path) -> None:
        self._path = dataset_dir / CANDIDATES_FILE
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            raise ArtifactMissingError(f"{self._path} is not there", f"make it with: {commands.PREPARE}") from None
        self._inode = os.fstat(self._file.fileno()).st_ino
        try:
            found = {item.item_id: item for item in self._indexed()}  # rows that are the same are decided on at once
        except BaseException:
            self._file.close()
            raise
        self._items = list(found.values())
        self._by_id = found
        self._by_score = sorted(self._items, key=lambda item: (item.score, item.place))
        orders = {"paper": self._items, "score": self._by_score}
        self._places = {
            order: {item.item_id: place for place, item in enumerate(items)} for order, items in orders.items()
        }
        self.tasks = sorted({item.task for item in self._items}, key=lambda task: (task == WHOLE_FIGURE, task))
        """Tasks that there are, whole figures last."""
        self.rules = sorted({item.rule for item in self._items} - {""})
        """Rules that there are."""

    @property
    def kept(self) -> int:
        """Number of items that no rule is against."""
        return sum(not item.rule for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def is_current(self) -> bool:
        """True until another preparation takes the place of this one, and while one is being moved there."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return True

    def item(self, item_id: str) -> Item | None:
        """Return the item of that id; None where there is none."""
        return self._by_id.get(item_id)

    def candidate(self, item: Item) -> Candidate:
        """Read the candidate of an item."""
        line = os.pread(self._file.fileno(), item.length, item.offset)
        return msgspec.json.decode(line, type=Candidate)

    def step(self, chosen: ItemFilter, decisions: Mapping[DecisionKey, Decision], start: str, *, forward: bool) -> Step:
        """Go from an item to the next one that is shown, or to the one before.

        Args:
            start: id of the item to go from, which need not be shown itself; empty for the first or last one.
        """
        ordered = self._by_score if chosen.order == "score" else self._items
        places, left = [], 0
        for place, item in enumerate(ordered):
            if chosen.chooses(item):
                state = item_state(item, decisions)
                # There is nothing to decide on those that cannot be accepted and are left out already.
                is_left = state == "open" and item.acceptable
                left += is_left
                if chosen.shown == "all" or (is_left if chosen.shown == "open" else state == chosen.shown):
                    places.append(place)
        place = self._places[chosen.order].get(start, -1)
        if forward:
            index = bisect_right(places, place)
        else:
            index = bisect_right(places, (len(ordered) if place < 0 else place) - 1) - 1
        reached, behind = (ordered[places[each]] if 0 <= each < len(places) else None for each in (index, index + 1))
        return Step(item=reached, following=behind, position=index + 1, total=len(places), left=left)

    def _indexed(self) -> Iterator[Item]:
        decoder = msgspec.json.Decoder(Candidate)
        figures: dict[DecisionKey, DecisionKey] = {}
        offset = 0
        for place, line in enumerate(self._file):
            try:
                candidate = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as misfit:
                raise InputError(
                    f"{self._path}:{place + 1}: {misfit}", f"make it again with: {commands.PREPARE} --force"
                ) from None
            key = msgspec.json.encode(candidate.key)
            item_id = hashlib.sha256(key).hexdigest()[:_ID_DIGITS]
            yield Item(
                item_id=item_id,
                place=place,
                offset=offset,
                length=len(line),
                key=candidate.key,
                figure_key=figures.setdefault(candidate.key.of_figure, candidate.key.of_figure),
                rule=candidate.rule,
                score=candidate.score,
                acceptable=candidate.acceptable,
            )
            offset += len(line)


@dataclass(frozen=True, kw_only=True)
class EarlierView:
    """Decision on the same example with another target."""

    state: State
    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DecidedFigure:
    """Figure of an item, and what was decided on it as a whole."""

    record: FigureRecord
    verdict: Verdict
    box: BoxTuple | None
    """Box as set by a person."""


@dataclass(frozen=True, kw_only=True)
class CanvasView:
    """Picture on which a box is drawn."""

    area: BoxTuple
    """Part of the page that it shows."""
    is_page: bool
    """True for the whole page, False for the crop that extraction made."""


@dataclass(frozen=True, kw_only=True)
class ItemView:
    """One item as the page shows it."""

    id: str
    candidate: Candidate
    task: str
    """Task, as filters name it."""
    score: float
    rule_meaning: str
    text: str
    """Text that takes the place of the target."""
    state: State
    decided: bool
    """True for a decision on this very item, not on its figure."""
    figure: DecidedFigure | None
    earlier: tuple[EarlierView, ...]


@dataclass(frozen=True, kw_only=True)
class StepView:
    """Answer to a step."""

    item: ItemView | None
    next_id: str
    """Id of the one behind it, whose picture may be fetched already."""
    position: int
    total: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Values that the filters offer."""

    tasks: list[str]
    rules: dict[str, str]
    """Rules and their meanings."""
    items: int
    kept: int
    """Items that no rule is against; where there are none, the page begins with the others."""
    decisions: int
    """Lines of the file."""
    decisions_file: str
