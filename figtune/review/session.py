"""Everything that the page shows and changes: items, decisions, papers and pictures, without the server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from figtune.core import commands
from figtune.core.errors import InputError
from figtune.core.jsonl import stream_records
from figtune.dataset.candidates import Candidate
from figtune.dataset.decisions import Decision, DecisionFile, DecisionKey, Verdict, decided, is_box
from figtune.dataset.records import CANDIDATES_FILE
from figtune.dataset.recrop import crop_area
from figtune.dataset.rule_meanings import meaning
from figtune.extraction.records import FIGURES_FILE, PAPERS_FILE, BoxTuple, FigureRecord, PaperRecord
from figtune.pdf.geometry import Box
from figtune.review.items import (
    CanvasView,
    Choices,
    DecidedFigure,
    EarlierView,
    Item,
    ItemFilter,
    ItemView,
    ReviewItems,
    State,
    StepView,
    item_state,
)
from figtune.review.pictures import Pictures, scaled

_LONGEST_TEXT = 20_000
"""Characters of an edited target."""
_TOLERANCE = 0.11  # points: boxes are rounded to 0.1


class RefusedDecisionError(InputError):
    """A decision that cannot be taken."""


class UnknownItemError(InputError):
    """An item that this preparation does not have."""


class ReviewSession:
    """The work of a review, for one thread at a time: a person looks at one item.

    Raises:
        ArtifactMissingError, InputError: the data set, the content or the decisions cannot be read.
    """

    def __init__(
        self,
        dataset_dir: Path,
        content_dir: Path,
        pdf_dir: Path | None,
        decisions: Path,
        rejected_dir: Path | None = None,
    ) -> None:
        """Open a data set.

        Args:
            rejected_dir: left by a preparation that kept nothing; the data set, if there is one, is older.
        """
        self._prepared = [folder for folder in (rejected_dir, dataset_dir) if folder is not None]
        self._content_dir = content_dir
        self._pictures = Pictures(pdf_dir)
        self._decisions = DecisionFile(decisions)
        self._decisions.read()
        self._load()

    def _load(self) -> None:
        self._dataset_dir = self._newest
        self._items = ReviewItems(self._dataset_dir)
        self._content = _Content(self._content_dir)

    @property
    def _newest(self) -> Path:
        made = (folder for folder in self._prepared if (folder / CANDIDATES_FILE).is_file())
        return next(made, self._prepared[-1])

    def close(self) -> None:
        """Let go of files."""
        self._items.close()
        self._content.close()

    @property
    def decisions_file(self) -> Path:
        """File of the decisions."""
        return self._decisions.path

    def choices(self) -> Choices:
        """Return what can be filtered by; here, a preparation made meanwhile is noticed."""
        moved = self._newest != self._dataset_dir and (self._newest / CANDIDATES_FILE).is_file()
        if moved or not self._items.is_current:
            self.close()
            self._load()
        return Choices(
            tasks=self._items.tasks,
            rules={rule: meaning(rule) for rule in self._items.rules},
            items=len(self._items),
            kept=self._items.kept,
            decisions=len(self._decisions.read()),
            decisions_file=self._decisions.path.name,
        )

    def step(self, chosen: ItemFilter, start: str, *, forward: bool) -> StepView:
        """Go to the next item that a filter shows, or to the one before. See `ReviewItems.step`."""
        decisions = self._decisions.read()
        step = self._items.step(chosen, decisions, start, forward=forward)
        return StepView(
            item=None if step.item is None else self._view(step.item, decisions),
            next_id="" if step.following is None else step.following.item_id,
            position=step.position,
            total=step.total,
            left=step.left,
        )

    def item(self, item_id: str) -> ItemView:
        """Return an item.

        Raises:
            UnknownItemError: there is none of that id, here as below.
        """
        return self._view(self._found(item_id), self._decisions.read())

    def decide(self, item_id: str, verdict: Verdict, text: str) -> None:
        """Keep a verdict on an item, or forget it where the verdict is empty.

        Raises:
            RefusedDecisionError: it cannot be accepted, or not without a text.
            InputError, OSError, ResourceError: the file of decisions cannot be changed.
        """
        item = self._found(item_id)
        candidate = self._items.candidate(item)
        text = "\n".join(line.rstrip() for line in text.strip().splitlines())
        if len(text) > _LONGEST_TEXT:
            raise RefusedDecisionError(f"the text has more than {_LONGEST_TEXT:,} characters", "shorten it")
        if text and (verdict != "accept" or not item.key.task):
            raise RefusedDecisionError("a text goes with an accepted example", "accept it")
        if verdict == "accept" and not candidate.acceptable:
            raise RefusedDecisionError("the rule against it cannot be overruled", "leave it out")
        if verdict == "accept" and item.key.task and not (text or item.key.target):
            raise RefusedDecisionError("it has no target", "write one")
        self._keep(item.key, candidate, verdict=verdict, text="" if text == item.key.target else text)

    def decide_figure(self, item_id: str, verdict: Verdict) -> None:
        """Keep a verdict on the whole figure of an item, or forget it.

        Raises:
            RefusedDecisionError: the item is of no figure, or accepts it, which is decided on the figure's own item.
            InputError, OSError, ResourceError: see `decide`.
        """
        item = self._found(item_id)
        if not item.key.figure or verdict == "accept":
            raise RefusedDecisionError("this item cannot reject a figure", "decide on the item alone")
        self._keep(item.key.of_figure, self._items.candidate(item), verdict=verdict)

    def set_box(self, item_id: str, box: BoxTuple | None) -> None:
        """Keep the box of the figure of an item, or forget it.

        Raises:
            RefusedDecisionError: no box, or one outside what can be cropped.
            InputError, OSError, ResourceError: see `decide`.
        """
        item = self._found(item_id)
        if box is not None:
            canvas = self.canvas(item_id)
            x0, top, x1, bottom = (round(number, 1) for number in box)
            box = (x0, top, x1, bottom)
            if canvas is None or not is_box(box):
                raise RefusedDecisionError("no box can be set there", "leave it as it is")
            if not Box(*canvas.area).contains(Box(*box), _TOLERANCE):
                raise RefusedDecisionError("the box reaches beyond what can be cropped", "make it smaller")
        self._keep(item.key.of_figure, self._items.candidate(item), box=box)

    def picture(self, item_id: str) -> bytes:
        """Return the picture of an item as PNG, at a size for the screen.

        Raises:
            InputError: it cannot be read, or there is none.
        """
        return scaled(self._dataset_dir / self._items.candidate(self._found(item_id)).image)

    def canvas(self, item_id: str) -> CanvasView | None:
        """Return what a box can be drawn on: the page of the figure, else its crop; None where there is neither.

        Raises:
            InputError: the page cannot be rendered.
        """
        figure = self._figure(item_id)
        if figure is None:
            return None
        if (path := self._pictures.paper(self._content.paper(figure))) is not None:
            page = self._pictures.page(path, figure.page - 1)
            return CanvasView(area=(0.0, 0.0, page.width, page.height), is_page=True)
        area = crop_area(figure)
        return None if area is None else CanvasView(area=area, is_page=False)

    def canvas_picture(self, item_id: str) -> bytes:
        """Return the picture of the canvas as PNG.

        Raises:
            InputError: it cannot be read, or there is none.
        """
        if (figure := self._figure(item_id)) is None:
            raise UnknownItemError("it is no example of a figure", "leave it as it is")
        if (path := self._pictures.paper(self._content.paper(figure))) is not None:
            return self._pictures.page(path, figure.page - 1).data
        return scaled(self._content_dir / str(figure.crop))

    def _found(self, item_id: str) -> Item:
        if (item := self._items.item(item_id)) is None:
            raise UnknownItemError("there is no such example any more", "reload the page")
        return item

    def _figure(self, item_id: str) -> FigureRecord | None:
        return self._content.figure(self._items.candidate(self._found(item_id)).figure_id)

    def _keep(
        self,
        key: DecisionKey,
        candidate: Candidate,
        *,
        verdict: Verdict | None = None,
        text: str = "",
        box: BoxTuple | Literal[False] | None = False,
    ) -> None:
        """Change what is given of a decision; one without verdict and box is forgotten."""

        def changed(before: Decision | None) -> Decision | None:
            decision = before or decided(key, "", candidate.source)
            if verdict is not None:
                decision = replace(decision, verdict=verdict, text=text)
            if box is not False:
                decision = replace(decision, box=box)
            return decision if decision.verdict or decision.box is not None else None

        self._decisions.change(key, changed)

    def _view(self, item: Item, decisions: Mapping[DecisionKey, Decision]) -> ItemView:
        candidate = self._items.candidate(item)
        decision = decisions.get(item.key)
        return ItemView(
            id=item.item_id,
            candidate=candidate,
            task=item.task,
            score=item.score,
            rule_meaning=meaning(candidate.rule),
            text=decision.text if decision else "",
            state=item_state(item, decisions),
            decided=decision is not None and bool(decision.verdict),
            figure=self._figure_view(candidate, decisions),
            earlier=tuple(_earlier(item.key, decisions)),
        )

    def _figure_view(self, candidate: Candidate, decisions: Mapping[DecisionKey, Decision]) -> DecidedFigure | None:
        if (figure := self._content.figure(candidate.figure_id)) is None:
            return None
        decision = decisions.get(candidate.key.of_figure)
        return DecidedFigure(
            record=figure, verdict=decision.verdict if decision else "", box=decision.box if decision else None
        )


class _Content:
    """Figures and papers of a content folder; none where examples come from a data set, or it is not there by now."""

    def __init__(self, folder: Path) -> None:
        self._offsets: dict[str, tuple[int, int]] = {}
        self._papers: dict[str, PaperRecord] = {}
        self._file = None
        if not (folder / FIGURES_FILE).is_file():
            return
        self._papers = {
            paper.paper_id: paper for paper in stream_records(folder / PAPERS_FILE, PaperRecord, commands.EXTRACT)
        }
        self._file = (folder / FIGURES_FILE).open("rb")
        offset = 0
        for line in self._file:
            self._offsets[msgspec.json.decode(line, type=_Named).figure_id] = offset, len(line)
            offset += len(line)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def figure(self, figure_id: str) -> FigureRecord | None:
        """Return the figure of that id; None where there is none."""
        offset, length = self._offsets.get(figure_id, (0, 0))
        if self._file is None or not length:
            return None
        return msgspec.json.decode(os.pread(self._file.fileno(), length, offset), type=FigureRecord)

    def paper(self, figure: FigureRecord) -> PaperRecord:
        """Return the paper of a figure."""
        return self._papers[figure.paper_id]


class _Named(msgspec.Struct):
    figure_id: str


def _earlier(key: DecisionKey, decisions: Mapping[DecisionKey, Decision]) -> Iterator[EarlierView]:
    """Yield decisions on the same example from before its target changed."""
    subject = replace(key, target="")
    for other, decision in decisions.items():
        if key.task and decision.verdict and other != key and replace(other, target="") == subject:
            state: State = "rejected" if decision.verdict == "reject" else "edited" if decision.text else "accepted"
            yield EarlierView(state=state, target=other.target, text=decision.text)
