"""What the baselines say to an example, from the training examples of the data set."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from pathlib import Path

from figtune.core.errors import InputError
from figtune.core.log import log, progress_bar
from figtune.dataset.images import inspect_image
from figtune.dataset.records import Example
from figtune.dataset.shards import stream_examples
from figtune.metrics.baselines import Guesser, Known, guessers
from figtune.metrics.records import BASELINES, Guess
from figtune.metrics.texts import chrf, rouge_l

_MOST = 5_000
"""Training examples that the baselines know. Of more, as many are drawn by a hash of their ids: looking at every
picture of a large data set would take longer than asking the model."""
_SCORE_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class TrainingGuesses:
    """The baselines of a data set."""

    dataset_dir: Path
    guessers: dict[str, Guesser]
    """By task."""
    hashes: dict[str, int | None] = field(default_factory=dict)
    """Perceptual hashes of the pictures seen so far, by their sha256; None for those that cannot be read."""

    @classmethod
    def of(cls, dataset_dir: Path) -> TrainingGuesses:
        """Look at the training examples.

        Raises:
            ArtifactMissingError: there is no data set.
            InputError: a line of it cannot be read.
        """
        guesses = cls(dataset_dir=dataset_dir, guessers={})
        drawn = _drawn(dataset_dir)
        known = [
            guesses._known(example) for example in progress_bar(drawn, total=len(drawn), title="baselines", unit="text")
        ]
        guesses.guessers.update(guessers(known))
        return guesses

    def to(self, example: Example) -> tuple[Guess, ...]:
        """What each baseline says to an example; nothing where its task was not trained on."""
        if example.task not in self.guessers:
            return ()
        answers = self.guessers[example.task].guesses(self._known(example))
        return tuple(
            Guess(
                baseline=baseline,
                answer=answers[baseline],
                chrf=round(chrf(answers[baseline], example.completion), _SCORE_DIGITS),
                rouge_l=round(rouge_l(answers[baseline], example.completion), _SCORE_DIGITS),
            )
            for baseline in BASELINES
            if baseline in answers
        )

    def _known(self, example: Example) -> Known:
        return Known(
            task=example.task,
            group=example.group,
            prompt=example.prompt,
            text=example.completion,
            picture_hash=self._hash(example),
        )

    def _hash(self, example: Example) -> int | None:
        picture = example.image_sha256
        if picture not in self.hashes:
            try:
                self.hashes[picture] = inspect_image(self.dataset_dir / example.image).perceptual_hash
            except InputError as fault:
                log(f"unseen by the baselines: {fault.problem}")
                self.hashes[picture] = None
        return self.hashes[picture]


def _drawn(dataset_dir: Path) -> list[Example]:
    examples = stream_examples(dataset_dir, "train")
    return heapq.nsmallest(_MOST, examples, key=lambda each: hashlib.sha256(each.example_id.encode()).digest())
