"""Content taken through selection, cleaning and tasks into the files of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from figtune.examples.choices import Choices
from figtune.examples.composition import Composed, Place, compose
from figtune.examples.content import PaperFigure
from figtune.examples.endings import Ending, finish
from figtune.examples.imagestore import prune_images
from figtune.examples.material import material_of
from figtune.examples.records import REJECTED_FILE, Example, Rejection, Split, Stats
from figtune.examples.screening import Fault
from figtune.examples.selection import Chosen, Selection, select_figures
from figtune.examples.shards import writing_examples
from figtune.examples.splits import wanted_splits
from figtune.examples.tally import Tally
from figtune.pipeline.progress import track
from figtune.pipeline.records import recording

_Write = Callable[[object], None]


def prepare_examples(content_dir: Path, dataset_dir: Path, choices: Choices) -> Stats:
    """Turn a content folder into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl` and
    `stats.json`.

    Images stay where they are: examples name them relative to the dataset folder. Figures are read one by one, twice;
    memory hardly grows with them.

    Raises:
        ArtifactMissingError: the content folder is not there or not complete.
        InputError: a line in it is no record, or a figure has no paper.
        NothingProducedError: no figure could be used, or none is left to train on; what was rejected is on disk.
    """
    with select_figures(content_dir, dataset_dir, choices) as selection:
        tally = _Writing(dataset_dir, selection).run()
    prune_images(dataset_dir, ())
    ending = Ending(
        minitrain_examples=choices.minitrain_examples, wanted=tuple(wanted_splits(choices.fractions)), data_set=""
    )
    return finish(dataset_dir, tally, ending)


class _Writing:
    """One pass over the figures, with the files it fills."""

    def __init__(self, dataset_dir: Path, selection: Selection) -> None:
        self._content_dir = selection.content_dir
        self._dataset_dir = dataset_dir
        self._selection = selection
        self._choices = selection.choices
        self._tally = Tally()

    def run(self) -> Tally:
        """Write examples and rejections in the order of the figures; return the counts."""
        with ExitStack() as files:
            examples = files.enter_context(writing_examples(self._dataset_dir, self._choices.shard_examples))
            reject = files.enter_context(recording(self._dataset_dir / REJECTED_FILE))
            figures = track(self._selection, total=self._selection.count, title="writing examples", unit="figure")
            for found, chosen in figures:
                if isinstance(chosen, Fault):
                    self._reject_figure(found, chosen, reject)
                else:
                    self._use(found, chosen, examples[chosen.split], reject)
        return self._tally

    def _use(self, found: PaperFigure, chosen: Chosen, write: _Write, reject: _Write) -> None:
        material = material_of(found.figure, found.paper, self._choices.max_context_words)
        self._tally.add_cleaned(material.removed)
        place = Place(
            figure_id=found.figure.figure_id,
            paper_id=found.paper.paper_id,
            image=self._image(found),
            image_sha256=chosen.image_sha256,
            source=found.source,
        )
        composed = list(compose(material, place, self._choices))
        for each in composed:
            self._place(each, found, chosen.split, write, reject)
        if any(isinstance(each.outcome, Example) for each in composed):
            self._tally.use_figure(chosen.split, found.paper.paper_id)
        else:
            rules = sorted({each.outcome.rule for each in composed if isinstance(each.outcome, Fault)})
            self._reject_figure(found, Fault("no_example", ", ".join(rules)), reject)

    def _place(self, composed: Composed, found: PaperFigure, split: Split, write: _Write, reject: _Write) -> None:
        if isinstance(composed.outcome, Example):
            write(composed.outcome)
            self._tally.add_example(split, composed.outcome, shortened=composed.shortened)
        else:
            reject(self._rejection(composed.example_id, composed.outcome, composed.task, found))
            self._tally.reject_example(composed.outcome.rule)

    def _reject_figure(self, found: PaperFigure, fault: Fault, reject: _Write) -> None:
        reject(self._rejection(found.figure.figure_id, fault, "", found))
        self._tally.reject_figure(fault.rule)

    def _rejection(self, item_id: str, fault: Fault, task: str, found: PaperFigure) -> Rejection:
        return Rejection(
            item_id=item_id,
            rule=fault.rule,
            detail=fault.detail,
            task=task,
            image=self._image(found) if found.figure.crop else "",
            source=found.source,
        )

    def _image(self, found: PaperFigure) -> str:
        path = self._content_dir / str(found.figure.crop)
        return Path(os.path.relpath(path, self._dataset_dir)).as_posix()
