"""Rows of a data set taken through judgement and the search for copies into the files of a data set.

Rows are read once and their images decoded once. Candidates wait on disk, since which of two copies goes is known only
when all have been seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from figtune.examples.candidates import Candidate, Judge
from figtune.examples.choices import Choices
from figtune.examples.dealing import deal
from figtune.examples.endings import Ending, finish
from figtune.examples.imagestore import prune_images
from figtune.examples.pictures import Pictures
from figtune.examples.records import REJECTED_FILE, SPLITS, Rejection, Stats, examples_file
from figtune.examples.rows import rows_of
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
    judge = Judge(source=opened, dataset_dir=dataset_dir, deal=dealt, choices=choices)
    preparation = _Preparation(judge, source)
    preparation.run()
    prune_images(dataset_dir, preparation.pictures)
    ending = Ending(minitrain_examples=choices.minitrain_examples, wanted=dealt.wanted, data_set=opened.name)
    return finish(dataset_dir, preparation.tally, ending)


class _Preparation:
    """One pass over the rows, one over the candidates that come of them."""

    def __init__(self, judge: Judge, source: DataSource) -> None:
        self.tally = Tally()
        self.pictures = Pictures()
        self._judge = judge
        self._source = source

    def run(self) -> None:
        """Write examples and rejections in the order of the rows."""
        folder = self._judge.dataset_dir
        waiting = folder / _WAITING_FILE
        try:
            with recording(folder / REJECTED_FILE) as write:
                count = write_records(waiting, self._candidates(write))
                self._place(stream_records(waiting, Candidate, scripts.PREPARE), count, write)
        finally:
            waiting.unlink(missing_ok=True)

    def _candidates(self, write: Callable[[object], None]) -> Iterator[Candidate]:
        parts = {part.name: part for part in self._judge.source.parts}
        for name in self._judge.deal.own:
            rows = rows_of(parts[name], self._source.columns, self._source.prompt, self._source.name)
            for row in track(rows, total=parts[name].count, title=f"Reading {name}", unit="row"):
                judged = self._judge.judged(row, name)
                if isinstance(judged, Rejection):
                    self._reject(judged, write)
                else:
                    self._see(judged)
                    yield judged

    def _see(self, candidate: Candidate) -> None:
        example = candidate.example
        self.pictures.add(example.image_sha256, candidate.split, example.example_id, int(candidate.perceptual_hash, 16))

    def _place(self, candidates: Iterator[Candidate], count: int, reject: Callable[[object], None]) -> None:
        fault_of = self.pictures.judge(self._judge.choices.near_duplicate_bits)
        folder = self._judge.dataset_dir
        with ExitStack() as files:
            write = {split: files.enter_context(recording(folder / examples_file(split))) for split in SPLITS}
            for candidate in track(candidates, total=count, title="writing examples", unit="row"):
                example = candidate.example
                if fault := fault_of(example.image_sha256, candidate.split):
                    self._reject(_rejection(candidate, fault.rule, fault.detail), reject)
                else:
                    write[candidate.split](example)
                    self.tally.use_figure(candidate.split, example.group)
                    self.tally.add_example(candidate.split, example, shortened=candidate.shortened)

    def _reject(self, rejection: Rejection, write: Callable[[object], None]) -> None:
        write(rejection)
        self.tally.reject_figure(rejection.rule)


def _rejection(candidate: Candidate, rule: str, detail: str) -> Rejection:
    example = candidate.example
    return Rejection(
        item_id=example.example_id, rule=rule, detail=detail, task="", image=example.image, source=example.source
    )
