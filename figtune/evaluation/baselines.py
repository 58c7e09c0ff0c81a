"""Model-free baselines: answers built from the training examples of a data set alone."""

from __future__ import annotations

import hashlib
import heapq
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from figtune.core.errors import InputError
from figtune.core.log import progress_bar
from figtune.dataset.image_store import inspect_image
from figtune.dataset.records import Example
from figtune.dataset.shards import stream_examples
from figtune.metrics.records import BASELINES, Baseline, BaselineAnswer
from figtune.metrics.text_metrics import cider_words, sentence_scores

logger = logging.getLogger(__name__)

_MAX_EXAMPLES = 5_000
"""Training examples that baselines are fitted to, sampled by a hash of their ids: hashing every image of a large
data set would take longer than the evaluation."""


@dataclass(frozen=True, kw_only=True)
class BaselineExample:
    """Fields of an example that baselines read."""

    task: str
    group: str
    prompt: str
    text: str
    image_hash: int | None
    """Perceptual hash of the image; None if the image cannot be read."""


@dataclass(frozen=True)
class TfidfIndex:
    """Cosine similarity of TF-IDF vectors (Salton & Buckley 1988), by an inverted index."""

    texts: Sequence[str]

    def similarities(self, text: str) -> NDArray[np.float64]:
        """Return the similarity of every indexed text to this one, float64[N] in [0, 1]."""
        found = np.zeros(len(self.texts))
        for word, weight in self._weights(Counter(cider_words(text))).items():
            places, weights = self._postings[word]
            found[places] += weight * weights
        return found

    @cached_property
    def centrality(self) -> NDArray[np.float64]:
        """Sum of each text's similarities to all texts, float64[N]."""
        found = np.zeros(len(self.texts))
        for places, weights in self._postings.values():
            found[places] += weights.sum() * weights
        return found.round(9)

    @cached_property
    def _counts(self) -> list[Counter[str]]:
        return [Counter(cider_words(text)) for text in self.texts]

    @cached_property
    def _idf(self) -> dict[str, float]:
        """Inverse document frequency by word; 0 for words in every text."""
        frequency = Counter(word for counts in self._counts for word in counts)
        return {word: math.log(len(self.texts) / texts) for word, texts in frequency.items()}

    @cached_property
    def _postings(self) -> dict[str, tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Inverted index: word -> (positions of texts, weights in them)."""
        gathered: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, counts in enumerate(self._counts):
            for word, weight in self._weights(counts).items():
                gathered[word].append((place, weight))
        return {
            word: (np.array([place for place, _ in pairs]), np.array([weight for _, weight in pairs]))
            for word, pairs in gathered.items()
        }

    def _weights(self, counts: Counter[str]) -> dict[str, float]:
        """Return L2-normalised weights of the indexed words with an idf above 0."""
        rarity = self._idf
        weights = {word: count * rarity[word] for word, count in counts.items() if rarity.get(word)}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {word: weight / norm for word, weight in weights.items()}


class TaskBaselines:
    """Baselines of one task."""

    def __init__(self, known: Sequence[BaselineExample]) -> None:
        """Index the training examples of a task.

        Args:
            known: at least one example.
        """
        self._examples = known
        self._prompts = TfidfIndex([each.prompt for each in known])
        self._central = TfidfIndex([each.text for each in known]).centrality
        self._groups = np.array([each.group for each in known])
        self._constant: dict[Baseline, str] = {
            "frequent words": frequent_words([each.text for each in known]),
            "typical text": known[int(np.argmax(self._central))].text,
        }

    def answers(self, asked: BaselineExample) -> dict[Baseline, str]:
        """Return the answer of each baseline; nearest neighbours only where an example of another group exists."""
        answers = dict(self._constant)
        others = self._groups != asked.group
        if others.any():
            if asked.image_hash is not None:
                answers["nearest picture"] = self._nearest(-self._hash_distances(asked.image_hash), others)
            answers["nearest prompt"] = self._nearest(self._prompts.similarities(asked.prompt).round(9), others)
        return answers

    def _hash_distances(self, picture_hash: int) -> NDArray[np.float64]:
        return np.array(
            [
                math.inf if each.image_hash is None else (each.image_hash ^ picture_hash).bit_count()
                for each in self._examples
            ]
        )

    def _nearest(self, nearness: NDArray[np.float64], allowed: NDArray[np.bool_]) -> str:
        """Return the text of the nearest example; ties go to the text with the highest centrality."""
        nearest = allowed & (nearness == nearness[allowed].max())
        return self._examples[int(np.argmax(np.where(nearest, self._central, -1.0)))].text


def fit_baselines(known: Sequence[BaselineExample]) -> Mapping[str, TaskBaselines]:
    """Build the baselines of each task."""
    by_task: defaultdict[str, list[BaselineExample]] = defaultdict(list)
    for each in known:
        by_task[each.task].append(each)
    return {task: TaskBaselines(members) for task, members in by_task.items()}


def frequent_words(texts: Sequence[str]) -> str:
    """Return the most frequent words by descending frequency, as many as the median text has."""
    words = [cider_words(text) for text in texts]
    counts = Counter(word for of_text in words for word in of_text)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return " ".join(ordered[: median_low([len(of_text) for of_text in words])])


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
        drawn = heapq.nsmallest(
            _MAX_EXAMPLES,
            stream_examples(dataset_dir, "train"),
            key=lambda each: hashlib.sha256(each.example_id.encode()).digest(),
        )
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
                **sentence_scores(answers[baseline], example.completion),
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
