"""Content taken through selection, cleaning and tasks into the files of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from figtune.examples.choices import Choices
from figtune.examples.composition import Composed, Place, compose
from figtune.examples.endings import Ending, finish
from figtune.examples.imagestore import prune_images
from figtune.examples.material import material_of
from figtune.examples.records import REJECTED_FILE, SPLITS, Example, Rejection, Split, Stats, examples_file
from figtune.examples.screening import Fault
from figtune.examples.selection import Chosen, Selection, figures_of, select_figures
from figtune.examples.splits import wanted_splits
from figtune.examples.tally import Tally
from figtune.figures.records import PAPERS_FILE, FigureRecord, PaperRecord
from figtune.pipeline import scripts
from figtune.pipeline.errors import InputError
from figtune.pipeline.progress import track
from figtune.pipeline.records import read_records, recording

_Write = Callable[[object], None]


def prepare_examples(content_dir: Path, dataset_dir: Path, choices: Choices) -> Stats:
    """Turn a content folder into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl` and
    `stats.json`.

    Images stay where they are: examples name them relative to the dataset folder.

    Raises:
        ArtifactMissingError: the content folder is not there or not complete.
        InputError: a line in it is no record, or a figure has no paper.
        NothingProducedError: no figure could be used, or none is left to train on; what was rejected is on disk.
    """
    papers = {paper.paper_id: paper for paper in read_records(content_dir / PAPERS_FILE, PaperRecord, scripts.EXTRACT)}
    selection = select_figures(content_dir, choices)
    writing = _Writing(content_dir, dataset_dir, papers, selection, choices)
    tally = writing.run()
    prune_images(dataset_dir, ())
    ending = Ending(
        minitrain_examples=choices.minitrain_examples, wanted=tuple(wanted_splits(choices.fractions)), data_set=""
    )
    return finish(dataset_dir, tally, ending)


class _Writing:
    """One pass over the figures, with the files it fills."""

    def __init__(
        self,
        content_dir: Path,
        dataset_dir: Path,
        papers: dict[str, PaperRecord],
        selection: Selection,
        choices: Choices,
    ) -> None:
        self._content_dir = content_dir
        self._dataset_dir = dataset_dir
        self._papers = papers
        self._selection = selection
        self._choices = choices
        self._tally = Tally()

    def run(self) -> Tally:
        """Write examples and rejections in the order of the figures; return the counts."""
        with ExitStack() as files:
            examples = {
                split: files.enter_context(recording(self._dataset_dir / examples_file(split))) for split in SPLITS
            }
            reject = files.enter_context(recording(self._dataset_dir / REJECTED_FILE))
            figures = figures_of(self._content_dir)
            for figure in track(figures, total=len(self._selection), title="writing examples", unit="figure"):
                chosen = self._selection[figure.figure_id]
                if isinstance(chosen, Fault):
                    self._reject_figure(figure, chosen, reject)
                else:
                    self._use(figure, chosen, examples[chosen.split], reject)
        return self._tally

    def _use(self, figure: FigureRecord, chosen: Chosen, write: _Write, reject: _Write) -> None:
        material = material_of(figure, self._paper_of(figure), self._choices.max_context_words)
        self._tally.add_cleaned(material.removed)
        place = Place(
            figure_id=figure.figure_id,
            paper_id=figure.paper_id,
            image=self._image(figure),
            image_sha256=chosen.image_sha256,
            source=self._source(figure),
        )
        composed = list(compose(material, place, self._choices))
        for each in composed:
            self._place(each, figure, chosen.split, write, reject)
        if any(isinstance(each.outcome, Example) for each in composed):
            self._tally.use_figure(chosen.split, figure.paper_id)
        else:
            rules = sorted({each.outcome.rule for each in composed if isinstance(each.outcome, Fault)})
            self._reject_figure(figure, Fault("no_example", ", ".join(rules)), reject)

    def _place(self, composed: Composed, figure: FigureRecord, split: Split, write: _Write, reject: _Write) -> None:
        if isinstance(composed.outcome, Example):
            write(composed.outcome)
            self._tally.add_example(split, composed.outcome, shortened=composed.shortened)
        else:
            reject(self._rejection(composed.example_id, composed.outcome, composed.task, figure))
            self._tally.reject_example(composed.outcome.rule)

    def _reject_figure(self, figure: FigureRecord, fault: Fault, reject: _Write) -> None:
        reject(self._rejection(figure.figure_id, fault, "", figure))
        self._tally.reject_figure(fault.rule)

    def _rejection(self, item_id: str, fault: Fault, task: str, figure: FigureRecord) -> Rejection:
        return Rejection(
            item_id=item_id,
            rule=fault.rule,
            detail=fault.detail,
            task=task,
            image=self._image(figure) if figure.crop else "",
            source=self._source(figure),
        )

    def _paper_of(self, figure: FigureRecord) -> PaperRecord:
        try:
            return self._papers[figure.paper_id]
        except KeyError:
            raise InputError(
                f"{self._content_dir / PAPERS_FILE} lacks the paper {figure.paper_id} of {figure.figure_id}",
                f"make it again with: {scripts.EXTRACT} --force",
            ) from None

    def _image(self, figure: FigureRecord) -> str:
        path = self._content_dir / str(figure.crop)
        return Path(os.path.relpath(path, self._dataset_dir)).as_posix()

    def _source(self, figure: FigureRecord) -> str:
        name = f"{figure.figure_type} {figure.name}" if figure.name else f"{figure.figure_type} without a caption"
        return f"{self._paper_of(figure).file}, page {figure.page}, {name}"
