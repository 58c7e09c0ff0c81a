"""Preparation of a data set: rows are filtered, checked for copies across splits, and written as examples.

Rows are read once and their images decoded once. Candidates wait on disk, since it is known only after the last row
which of two copies goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from figtune.core import commands
from figtune.core.io import TEMPORARY_PREFIX
from figtune.core.jsonl import jsonl_writer, stream_records, write_records
from figtune.core.log import progress_bar
from figtune.dataset.candidates import Candidate, row_candidate
from figtune.dataset.dataset_rows import rows_of
from figtune.dataset.decisions import REJECTED_IN_REVIEW, AppliedDecisions, DecisionKey, row_key
from figtune.dataset.dedup import ImageIndex, IndexedImage, open_index
from figtune.dataset.filters import CandidateExample, RejectReason, RowFilter, near_duplicate
from figtune.dataset.finalize import FinalizeOptions, StatsCollector, finalize_dataset
from figtune.dataset.hub_dataset import open_source
from figtune.dataset.image_store import prune_images
from figtune.dataset.records import CANDIDATES_FILE, REJECTED_FILE, SPLITS, Example, Rejection, Split, Stats
from figtune.dataset.settings import DataSettings, PrepareSettings
from figtune.dataset.shards import writing_examples
from figtune.dataset.split_assignment import assign_splits

_WAITING_FILE = f"{TEMPORARY_PREFIX}candidates.jsonl"


def prepare_rows(
    data: DataSettings, dataset_dir: Path, settings: PrepareSettings, decisions: AppliedDecisions | None = None
) -> Stats:
    """Turn a data set into `train.jsonl`, `val.jsonl`, `test.jsonl`, `minitrain.jsonl`, `rejected.jsonl`,
    `candidates.jsonl`, `stats.json` and `images/`.

    Args:
        decisions: decisions of a person on rows that the row filter lets through.

    Raises:
        InputError: it is no data set, breaks off, or lacks a column.
        ResourceError: it cannot be had from the Hub.
        NothingProducedError: no row could be used, or none is left to train on; what was rejected is on disk.
    """
    opened = open_source(data)
    dealt = assign_splits([part.name for part in opened.parts], settings, data.source)
    row_filter = RowFilter(
        source=opened,
        dataset_dir=dataset_dir,
        splits=dealt,
        settings=settings,
        needs_ids=bool(data.id_column),
    )
    with open_index(dataset_dir) as pictures:
        preparation = _Preparation(row_filter, data, pictures, decisions or AppliedDecisions())
        collector = preparation.run()
        prune_images(dataset_dir, preparation)
    ending = FinalizeOptions(
        minitrain_examples=settings.minitrain_examples,
        expected_splits=dealt.expected_splits,
        data_set=opened.name,
        decisions=preparation.decisions.counts(),
    )
    return finalize_dataset(dataset_dir, collector, ending)


class _Preparation:
    """Two passes: over the rows, then over the candidates that came of them."""

    def __init__(
        self, row_filter: RowFilter, data: DataSettings, pictures: ImageIndex, decisions: AppliedDecisions
    ) -> None:
        self.decisions = decisions
        self._collector = StatsCollector()
        self._pictures = pictures
        self._rejected_images: set[bytes] = set()
        self._row_filter = row_filter
        self._data = data

    def __contains__(self, image_sha256: object) -> bool:
        """Tell whether an image is of a candidate."""
        return image_sha256 in self._rejected_images or image_sha256 in self._pictures

    def run(self) -> StatsCollector:
        """Write examples and rejections in the order of the rows; return the counts."""
        folder = self._row_filter.dataset_dir
        waiting = folder / _WAITING_FILE
        try:
            with jsonl_writer(folder / REJECTED_FILE) as write, jsonl_writer(folder / CANDIDATES_FILE) as offer:
                count = write_records(waiting, self._candidates(write, offer))
                self._place(stream_records(waiting, CandidateExample, commands.PREPARE), count, write, offer)
        finally:
            waiting.unlink(missing_ok=True)
        return self._collector

    def _candidates(
        self, write: Callable[[object], None], offer: Callable[[Candidate], None]
    ) -> Iterator[CandidateExample]:
        parts = {part.name: part for part in self._row_filter.source.parts}
        for name in self._row_filter.splits.own:
            rows = rows_of(parts[name], self._data)
            for row in progress_bar(rows, total=parts[name].count, title=f"Reading {name}", unit="row"):
                for judged in self._row_filter.filter_row(row, name):
                    if isinstance(judged, Rejection):
                        self._reject(judged, write)
                    elif self._is_rejected(judged):
                        # It is in no split, so that it keeps no copy of its picture out of one.
                        offer(_offered(judged, None))
                        self._rejected_images.add(bytes.fromhex(judged.example.image_sha256))
                        self._reject(_rejection(judged, RejectReason(REJECTED_IN_REVIEW, "")), write)
                    else:
                        self._see(judged)
                        yield judged

    def _see(self, candidate: CandidateExample) -> None:
        example = candidate.example
        self._pictures.add(
            IndexedImage(
                key=bytes.fromhex(example.image_sha256),
                split=candidate.split,
                rank=SPLITS.index(candidate.split),
                tie="",
                name=example.example_id,
                perceptual_hash=int(candidate.perceptual_hash, 16),
            )
        )

    def _place(
        self,
        candidates: Iterator[CandidateExample],
        count: int,
        reject: Callable[[object], None],
        offer: Callable[[Candidate], None],
    ) -> None:
        settings = self._row_filter.settings
        self._pictures.find_near_duplicates(settings.near_duplicate_bits)
        with writing_examples(self._row_filter.dataset_dir, settings.shard_examples) as write:
            for candidate in progress_bar(candidates, total=count, title="writing examples", unit="row"):
                reason = self._fault_of(candidate.example.image_sha256, candidate.split)
                offer(_offered(candidate, reason))
                if reason:
                    self._reject(_rejection(candidate, reason), reject)
                else:
                    example = self._edited(candidate.example)
                    write[candidate.split](example)
                    self._collector.use_figure(candidate.split, example.group)
                    is_short = candidate.shortened and example == candidate.example
                    self._collector.add_example(candidate.split, example, shortened=is_short)
                    self._collector.add_remarks(candidate.remarks)

    def _fault_of(self, image_sha256: str, split: Split) -> RejectReason | None:
        """Check for copies: a picture stays in the earliest split that has it, and near copies in later splits go."""
        kept = self._pictures.kept(bytes.fromhex(image_sha256))
        if split != kept.split:
            return RejectReason("copy_across_splits", f"the same picture as {kept.name} in {kept.split}")
        return near_duplicate(*kept.near_duplicate) if kept.near_duplicate else None

    def _is_rejected(self, candidate: CandidateExample) -> bool:
        decision = self.decisions.about(_decision_key(candidate.example))
        return decision is not None and decision.verdict == "reject"

    def _edited(self, example: Example) -> Example:
        decision = self.decisions.about(_decision_key(example))
        return replace(example, completion=decision.text) if decision is not None and decision.text else example

    def _reject(self, rejection: Rejection, write: Callable[[object], None]) -> None:
        write(rejection)
        self._collector.reject_figure(rejection.rule)


def _decision_key(example: Example) -> DecisionKey:
    return row_key(example.image_sha256, example.task, example.prompt, example.completion)


def _offered(candidate: CandidateExample, reason: RejectReason | None) -> Candidate:
    rule, detail = (reason.rule, reason.detail) if reason else ("", "")
    return row_candidate(candidate.example, candidate.split, _decision_key(candidate.example), rule, detail)


def _rejection(candidate: CandidateExample, reason: RejectReason) -> Rejection:
    example = candidate.example
    return Rejection(
        item_id=example.example_id,
        rule=reason.rule,
        detail=reason.detail,
        task="",
        image=example.image,
        source=example.source,
    )
