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
from figtune.dataset.candidates import Candidate
from figtune.dataset.content_folder import PaperFigure
from figtune.dataset.decisions import AppliedDecisions, figure_key
from figtune.dataset.figure_context import build_context, build_extra_context, first_sentence
from figtune.dataset.figure_selection import FigureSelection, RejectedFigure, SelectedFigure, select_figures
from figtune.dataset.filters import JUDGEMENTS, RejectReason
from figtune.dataset.finalize import FinalizeOptions, StatsCollector, finalize_dataset
from figtune.dataset.image_store import prune_images
from figtune.dataset.panel_images import PanelImages
from figtune.dataset.questions import OtherCaption
from figtune.dataset.records import CANDIDATES_FILE, IMAGES_FOLDER, REJECTED_FILE, Example, Rejection, Split, Stats
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.shards import writing_examples
from figtune.dataset.split_assignment import expected_splits
from figtune.extraction.records import FigureType

_Write = Callable[[object], None]
_Offer = Callable[[Candidate], None]


def prepare_examples(
    content_dir: Path,
    dataset_dir: Path,
    settings: PrepareSettings,
    decisions: AppliedDecisions | None = None,
    pdf_dir: Path | None = None,
) -> Stats:
    """Turn a content folder into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl`,
    `candidates.jsonl` and `stats.json`.

    Images of figures stay where they are: examples name them relative to the dataset folder; crops of panels are
    written to `images/`. Figures are read one by one, twice;
    memory hardly grows with them.

    Args:
        decisions: decisions of a person, which win over the rules.
        pdf_dir: folder of the papers, from which figures with another box are cropped anew.

    Raises:
        ArtifactMissingError: the content folder is not there or not complete.
        InputError: a line in it is no record, or a figure has no paper.
        NothingProducedError: no figure could be used, or none is left to train on; what was rejected is on disk.
    """
    decisions = decisions or AppliedDecisions()
    with select_figures(content_dir, dataset_dir, settings, decisions, pdf_dir) as selection:
        writing = _Writing(dataset_dir, selection, decisions)
        collector = writing.run()
    prune_images(dataset_dir, writing.stored_images)
    ending = FinalizeOptions(
        minitrain_examples=settings.minitrain_examples,
        expected_splits=tuple(expected_splits(settings)),
        data_set="",
        decisions=decisions.counts(),
    )
    return finalize_dataset(dataset_dir, collector, ending)


class _Writing:
    """One pass over the figures, with the files it fills."""

    def __init__(self, dataset_dir: Path, selection: FigureSelection, decisions: AppliedDecisions) -> None:
        self._content_dir = selection.content_dir
        self._dataset_dir = dataset_dir
        self._selection = selection
        self._settings = selection.settings
        self._decisions = decisions
        self._collector = StatsCollector()
        self.stored_images: set[bytes] = set()
        """sha256 of the crops of panels, and of those with another box."""
        self._headlines: dict[FigureType, tuple[str, OtherCaption | None]] = {}
        """Paper and caption before, of figures and of tables: the wrong answer to a question."""

    def run(self) -> StatsCollector:
        """Write examples, rejections and candidates in the order of the figures; return the counts."""
        with ExitStack() as files:
            examples = files.enter_context(writing_examples(self._dataset_dir, self._settings.shard_examples))
            reject = files.enter_context(jsonl_writer(self._dataset_dir / REJECTED_FILE))
            offer = files.enter_context(jsonl_writer(self._dataset_dir / CANDIDATES_FILE))
            figures = progress_bar(
                self._selection, total=self._selection.count, title="writing examples", unit="figure"
            )
            for _, of_paper in groupby(figures, key=lambda pair: pair[0].paper.paper_id):
                pairs = list(of_paper)
                captions = self._captions([found for found, _ in pairs])
                for found, chosen in pairs:
                    ruled = chosen.ruled if isinstance(chosen, RejectedFigure) else chosen.overruled
                    if ruled is not None or isinstance(chosen, RejectedFigure):
                        offer(self._figure_candidate(found, ruled))
                    if isinstance(chosen, RejectedFigure):
                        self._reject_figure(found, chosen.reason, reject)
                    else:
                        extra_context = self._extra_context(found, captions)
                        self._use(found, chosen, extra_context, examples[chosen.split], reject, offer)
        return self._collector

    def _captions(self, figures: Sequence[PaperFigure]) -> dict[str, str]:
        """Return the first sentences of the captions of a paper, by figure_id, where prompts tell them."""
        if not self._settings.other_captions:
            return {}
        return {found.figure.figure_id: headline for found in figures if (headline := first_sentence(found.figure))}

    def _extra_context(self, found: PaperFigure, captions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        others = [caption for figure_id, caption in captions.items() if figure_id != found.figure.figure_id]
        return build_extra_context(found.figure, others, self._settings)

    def _use(
        self,
        found: PaperFigure,
        chosen: SelectedFigure,
        extra_context: tuple[tuple[str, str], ...],
        write: _Write,
        reject: _Write,
        offer: _Offer,
    ) -> None:
        kind, paper_id = found.figure.figure_type, found.paper.paper_id
        headline_paper, other = self._headlines.get(kind, ("", None))
        figure_context = build_context(
            found.figure,
            found.paper,
            self._settings.max_context_words,
            other if headline_paper == paper_id else None,
            extra_context,
        )
        self._headlines[kind] = paper_id, OtherCaption(figure_context.facts.caption, found.figure.kind)
        self._collector.add_cleaned(figure_context.removed)
        place = self._location(found, chosen)
        composed = list(build_examples(figure_context, place, self._settings, self._decisions))
        for each in composed:
            offer(each.candidate)
            self._place(each, found, chosen.split, write, reject)
        if any(isinstance(each.result, Example) for each in composed):
            self._collector.use_figure(chosen.split, found.paper.paper_id)
            self._collector.add_printed_words(found.figure)
        else:
            rules = sorted({each.result.rule for each in composed if isinstance(each.result, RejectReason)})
            self._reject_figure(found, RejectReason("no_example", ", ".join(rules)), reject)

    def _location(self, found: PaperFigure, chosen: SelectedFigure) -> FigureLocation:
        region = found.figure.region_box
        panels = None
        if self._settings.panel_images and region is not None:
            crop = self._content_dir / str(found.figure.crop)
            panels = PanelImages(self._dataset_dir, crop, region, self._settings)
        return FigureLocation(
            figure_id=found.figure.figure_id,
            paper_id=found.paper.paper_id,
            image=self._image(found),
            image_sha256=chosen.image_sha256,
            source=found.source,
            panels=panels,
            split=chosen.split,
            key=figure_key(found.figure, found.paper),
        )

    def _place(self, composed: BuildResult, found: PaperFigure, split: Split, write: _Write, reject: _Write) -> None:
        self._keep_image(composed.candidate.image)
        if isinstance(composed.result, Example):
            write(composed.result)
            self._keep_image(composed.result.image)
            self._collector.add_example(split, composed.result, shortened=composed.shortened)
        else:
            reject(self._rejection(composed.example_id, composed.result, composed.task, found))
            self._collector.reject_example(composed.result.rule)

    def _keep_image(self, image: str) -> None:
        if image.startswith(f"{IMAGES_FOLDER}/"):
            self.stored_images.add(bytes.fromhex(Path(image).stem))

    def _reject_figure(self, found: PaperFigure, reason: RejectReason, reject: _Write) -> None:
        reject(self._rejection(found.figure.figure_id, reason, "", found))
        self._collector.reject_figure(reason.rule)

    def _figure_candidate(self, found: PaperFigure, ruled: RejectReason | None) -> Candidate:
        image = self._image(found) if found.figure.crop else ""
        self._keep_image(image)
        return Candidate(
            key=figure_key(found.figure, found.paper),
            item_id=found.figure.figure_id,
            figure_id=found.figure.figure_id,
            split="",
            rule=ruled.rule if ruled else "",
            detail=ruled.detail if ruled else "",
            acceptable=ruled is None or ruled.rule in JUDGEMENTS,
            prompt="",
            image=image,
            source=found.source,
            kind=found.figure.kind,
            quality=None,
        )

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
