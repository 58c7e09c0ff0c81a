"""Answers of the model-free baselines, fitted to the training examples of a data set."""

from __future__ import annotations

import hashlib
import heapq
import logging
from dataclasses import dataclass, field
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.log import progress_bar
from figtune.dataset.image_store import inspect_image
from figtune.dataset.records import Example
from figtune.dataset.shards import stream_examples
from figtune.metrics.baselines import BaselineExample, TaskBaselines, fit_baselines
from figtune.metrics.records import BASELINES, BaselineAnswer
from figtune.metrics.text_metrics import chrf, rouge_l

logger = logging.getLogger(__name__)

_MAX_EXAMPLES = 5_000
"""Training examples that baselines are fitted to, sampled by a hash of their ids: hashing every image of a large
data set would take longer than the evaluation."""
_SCORE_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class BaselineAnswers:
    """Baselines of a data set."""

    dataset_dir: Path
    by_task: dict[str, TaskBaselines]
    """Baselines by task."""
    hashes: dict[str, int | None] = field(default_factory=dict)
    """Perceptual hashes of images by sha256, filled on demand; None for unreadable images."""

    @classmethod
    def from_dataset(cls, dataset_dir: Path) -> BaselineAnswers:
        """Fit the baselines to the training examples.

        Raises:
            ArtifactMissingError: there is no data set.
            InputError: a line of it cannot be read.
        """
        baselines = cls(dataset_dir=dataset_dir, by_task={})
        drawn = _sampled_examples(dataset_dir)
        known = [
            baselines._baseline_example(example)
            for example in progress_bar(drawn, total=len(drawn), title="baselines", unit="text")
        ]
        baselines.by_task.update(fit_baselines(known))
        return baselines

    def answer(self, example: Example) -> tuple[BaselineAnswer, ...]:
        """Return the answers of all baselines; none if the task has no training examples."""
        if example.task not in self.by_task:
            return ()
        answers = self.by_task[example.task].answers(self._baseline_example(example))
        return tuple(
            BaselineAnswer(
                baseline=baseline,
                answer=answers[baseline],
                chrf=round(chrf(answers[baseline], example.completion), _SCORE_DIGITS),
                rouge_l=round(rouge_l(answers[baseline], example.completion), _SCORE_DIGITS),
            )
            for baseline in BASELINES
            if baseline in answers
        )

    def _baseline_example(self, example: Example) -> BaselineExample:
        return BaselineExample(
            task=example.task,
            group=example.group,
            prompt=example.prompt,
            text=example.completion,
            image_hash=self._hash(example),
        )

    def _hash(self, example: Example) -> int | None:
        digest = example.image_sha256
        if digest not in self.hashes:
            try:
                self.hashes[digest] = inspect_image(self.dataset_dir / example.image).perceptual_hash
            except InputError as fault:
                logger.warning(f"unseen by the baselines: {fault.problem}")
                self.hashes[digest] = None
        return self.hashes[digest]


def _sampled_examples(dataset_dir: Path) -> list[Example]:
    examples = stream_examples(dataset_dir, "train")
    return heapq.nsmallest(_MAX_EXAMPLES, examples, key=lambda each: hashlib.sha256(each.example_id.encode()).digest())
