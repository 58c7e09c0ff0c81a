"""Content taken through selection, cleaning and tasks into the files of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from figtune.core.jsonl import jsonl_writer
from figtune.core.log import progress_bar
from figtune.dataset.build_examples import BuildResult, FigureLocation, build_examples
from figtune.dataset.content_folder import PaperFigure
from figtune.dataset.figure_context import build_context, first_sentence
from figtune.dataset.figure_selection import FigureSelection, SelectedFigure, select_figures
from figtune.dataset.filters import RejectReason
from figtune.dataset.finalize import FinalizeOptions, finalize_dataset
from figtune.dataset.image_store import prune_images
from figtune.dataset.panel_images import PanelImages
from figtune.dataset.records import IMAGES_FOLDER, REJECTED_FILE, Example, Rejection, Split, Stats
from figtune.dataset.sentences import whole_sentences
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.shards import writing_examples
from figtune.dataset.split_assignment import expected_splits
from figtune.dataset.stats import StatsCollector

_Write = Callable[[object], None]


def prepare_examples(content_dir: Path, dataset_dir: Path, settings: PrepareSettings) -> Stats:
    """Turn a content folder into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl` and
    `stats.json`.

    Images of figures stay where they are: examples name them relative to the dataset folder; crops of panels are
    written to `images/`. Figures are read one by one, twice;
    memory hardly grows with them.

    Raises:
        ArtifactMissingError: the content folder is not there or not complete.
        InputError: a line in it is no record, or a figure has no paper.
        NothingProducedError: no figure could be used, or none is left to train on; what was rejected is on disk.
    """
    with select_figures(content_dir, dataset_dir, settings) as selection:
        writing = _Writing(dataset_dir, selection)
        collector = writing.run()
    prune_images(dataset_dir, writing.stored_images)
    ending = FinalizeOptions(
        minitrain_examples=settings.minitrain_examples,
        expected_splits=tuple(expected_splits(settings)),
        data_set="",
    )
    return finalize_dataset(dataset_dir, collector, ending)


class _Writing:
    """One pass over the figures, with the files it fills."""

    def __init__(self, dataset_dir: Path, selection: FigureSelection) -> None:
        self._content_dir = selection.content_dir
        self._dataset_dir = dataset_dir
        self._selection = selection
        self._settings = selection.settings
        self._collector = StatsCollector()
        self.stored_images: set[bytes] = set()
        """sha256 of the crops of panels."""
        self._headline = self._headline_paper = ""
        """First sentence of the caption before, and its paper: the wrong answer to a question."""

    def run(self) -> StatsCollector:
        """Write examples and rejections in the order of the figures; return the counts."""
        with ExitStack() as files:
            examples = files.enter_context(writing_examples(self._dataset_dir, self._settings.shard_examples))
            reject = files.enter_context(jsonl_writer(self._dataset_dir / REJECTED_FILE))
            figures = progress_bar(
                self._selection, total=self._selection.count, title="writing examples", unit="figure"
            )
            for _, of_paper in groupby(figures, key=lambda pair: pair[0].paper.paper_id):
                pairs = list(of_paper)
                captions = self._captions([found for found, _ in pairs])
                for found, chosen in pairs:
                    if isinstance(chosen, RejectReason):
                        self._reject_figure(found, chosen, reject)
                    else:
                        told = self._told(found, captions)
                        self._use(found, chosen, told, examples[chosen.split], reject)
        return self._collector

    def _captions(self, figures: Sequence[PaperFigure]) -> dict[str, str]:
        """Return the first sentences of the captions of a paper, by figure_id, where prompts tell them."""
        if not self._settings.other_captions:
            return {}
        return {found.figure.figure_id: headline for found in figures if (headline := first_sentence(found.figure))}

    def _told(self, found: PaperFigure, captions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the context that settings add to prompts, each part with as many words as a caption at most."""
        most = self._settings.max_context_words
        words = " ".join(found.figure.figure_text.split()).split() if self._settings.figure_words else []
        others = [caption for figure_id, caption in captions.items() if figure_id != found.figure.figure_id]
        return (
            ("Words in the figure", " ".join(words[:most])),
            ("Other captions", " ".join(whole_sentences(others, most))),
        )

    def _use(
        self,
        found: PaperFigure,
        chosen: SelectedFigure,
        told: tuple[tuple[str, str], ...],
        write: _Write,
        reject: _Write,
    ) -> None:
        other = self._headline if self._headline_paper == found.paper.paper_id else ""
        figure_context = build_context(found.figure, found.paper, self._settings.max_context_words, other, told)
        self._headline, self._headline_paper = figure_context.facts.caption, found.paper.paper_id
        self._collector.add_cleaned(figure_context.removed)
        region = found.figure.region_box
        panels = None
        if self._settings.panel_images and region is not None:
            crop = self._content_dir / str(found.figure.crop)
            panels = PanelImages(self._dataset_dir, crop, region, self._settings)
        place = FigureLocation(
            figure_id=found.figure.figure_id,
            paper_id=found.paper.paper_id,
            image=self._image(found),
            image_sha256=chosen.image_sha256,
            source=found.source,
            panels=panels,
        )
        composed = list(build_examples(figure_context, place, self._settings))
        for each in composed:
            self._place(each, found, chosen.split, write, reject)
        if any(isinstance(each.result, Example) for each in composed):
            self._collector.use_figure(chosen.split, found.paper.paper_id)
            self._collector.add_printed_words(found.figure)
        else:
            rules = sorted({each.result.rule for each in composed if isinstance(each.result, RejectReason)})
            self._reject_figure(found, RejectReason("no_example", ", ".join(rules)), reject)

    def _place(self, composed: BuildResult, found: PaperFigure, split: Split, write: _Write, reject: _Write) -> None:
        if isinstance(composed.result, Example):
            write(composed.result)
            if composed.result.image.startswith(f"{IMAGES_FOLDER}/"):
                self.stored_images.add(bytes.fromhex(composed.result.image_sha256))
            self._collector.add_example(split, composed.result, shortened=composed.shortened)
        else:
            reject(self._rejection(composed.example_id, composed.result, composed.task, found))
            self._collector.reject_example(composed.result.rule)

    def _reject_figure(self, found: PaperFigure, reason: RejectReason, reject: _Write) -> None:
        reject(self._rejection(found.figure.figure_id, reason, "", found))
        self._collector.reject_figure(reason.rule)

    def _rejection(self, item_id: str, reason: RejectReason, task: str, found: PaperFigure) -> Rejection:
        return Rejection(
            item_id=item_id,
            rule=reason.rule,
            detail=reason.detail,
            task=task,
            image=self._image(found) if found.figure.crop else "",
            source=found.source,
        )

    def _image(self, found: PaperFigure) -> str:
        path = self._content_dir / str(found.figure.crop)
        return Path(os.path.relpath(path, self._dataset_dir)).as_posix()
