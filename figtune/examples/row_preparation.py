"""Preparation of a data set: rows are filtered, checked for copies across splits, and written as examples.

Rows are read once and their images decoded once. Candidates wait on disk, since it is known only after the last row
which of two copies goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from figtune.examples.candidates import Candidate, Judge
from figtune.examples.choices import Choices
from figtune.examples.dealing import deal
from figtune.examples.endings import Ending, finish
from figtune.examples.imagestore import prune_images
from figtune.examples.pictures import Pictures, Seen, pictures_beside
from figtune.examples.records import REJECTED_FILE, SPLITS, Rejection, Split, Stats
from figtune.examples.rows import rows_of
from figtune.examples.screening import Fault, near_copy
from figtune.examples.shards import writing_examples
from figtune.examples.sources import DataSource, open_source
from figtune.examples.tally import Tally
from figtune.pipeline import scripts
from figtune.pipeline.files import TEMPORARY_PREFIX
from figtune.pipeline.progress import track
from figtune.pipeline.records import recording, stream_records, write_records

_WAITING_FILE = f"{TEMPORARY_PREFIX}candidates.jsonl"


def prepare_rows(source: DataSource, dataset_dir: Path, choices: Choices) -> Stats:
    """Turn a data set into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl`, `stats.json`
    and `images/`.

    Raises:
        InputError: it is no data set, breaks off, or lacks a column.
        ResourceError: it cannot be had from the Hub.
        NothingProducedError: no row could be used, or none is left to train on; what was rejected is on disk.
    """
    opened = open_source(source)
    dealt = deal([part.name for part in opened.parts], choices.fractions, source.name)
    judge = Judge(
        source=opened,
        dataset_dir=dataset_dir,
        deal=dealt,
        choices=choices,
        needs_ids=bool(source.columns.row_id),
    )
    with pictures_beside(dataset_dir) as pictures:
        tally = _Preparation(judge, source, pictures).run()
        prune_images(dataset_dir, pictures)
    ending = Ending(minitrain_examples=choices.minitrain_examples, wanted=dealt.wanted, data_set=opened.name)
    return finish(dataset_dir, tally, ending)


class _Preparation:
    """Two passes: over the rows, then over the candidates that came of them."""

    def __init__(self, judge: Judge, source: DataSource, pictures: Pictures) -> None:
        self._tally = Tally()
        self._pictures = pictures
        self._judge = judge
        self._source = source

    def run(self) -> Tally:
        """Write examples and rejections in the order of the rows; return the counts."""
        folder = self._judge.dataset_dir
        waiting = folder / _WAITING_FILE
        try:
            with recording(folder / REJECTED_FILE) as write:
                count = write_records(waiting, self._candidates(write))
                self._place(stream_records(waiting, Candidate, scripts.PREPARE), count, write)
        finally:
            waiting.unlink(missing_ok=True)
        return self._tally

    def _candidates(self, write: Callable[[object], None]) -> Iterator[Candidate]:
        parts = {part.name: part for part in self._judge.source.parts}
        for name in self._judge.deal.own:
            rows = rows_of(parts[name], self._source.columns, self._source.prompt, self._source.name)
            for row in track(rows, total=parts[name].count, title=f"Reading {name}", unit="row"):
                for judged in self._judge.judged(row, name):
                    if isinstance(judged, Rejection):
                        self._reject(judged, write)
                    else:
                        self._see(judged)
                        yield judged

    def _see(self, candidate: Candidate) -> None:
        example = candidate.example
        self._pictures.add(
            Seen(
                key=bytes.fromhex(example.image_sha256),
                split=candidate.split,
                rank=SPLITS.index(candidate.split),
                tie="",
                name=example.example_id,
                perceptual_hash=int(candidate.perceptual_hash, 16),
            )
        )

    def _place(self, candidates: Iterator[Candidate], count: int, reject: Callable[[object], None]) -> None:
        choices = self._judge.choices
        self._pictures.find_near(choices.near_duplicate_bits)
        with writing_examples(self._judge.dataset_dir, choices.shard_examples) as write:
            for candidate in track(candidates, total=count, title="writing examples", unit="row"):
                example = candidate.example
                if fault := self._fault_of(example.image_sha256, candidate.split):
                    self._reject(_rejection(candidate, fault), reject)
                else:
                    write[candidate.split](example)
                    self._tally.use_figure(candidate.split, example.group)
                    self._tally.add_example(candidate.split, example, shortened=candidate.shortened)
                    self._tally.add_remarks(candidate.remarks)

    def _fault_of(self, image_sha256: str, split: Split) -> Fault | None:
        """Check for copies: a picture stays in the earliest split that has it, and near copies in later splits go."""
        kept = self._pictures.kept(bytes.fromhex(image_sha256))
        if split != kept.split:
            return Fault("copy_across_splits", f"the same picture as {kept.name} in {kept.split}")
        return near_copy(*kept.near) if kept.near else None

    def _reject(self, rejection: Rejection, write: Callable[[object], None]) -> None:
        write(rejection)
        self._tally.reject_figure(rejection.rule)


def _rejection(candidate: Candidate, fault: Fault) -> Rejection:
    example = candidate.example
    return Rejection(
        item_id=example.example_id,
        rule=fault.rule,
        detail=fault.detail,
        task="",
        image=example.image,
        source=example.source,
    )
