"""Examples to evaluate, each with a mismatched image and hard negatives: wrong completions beside its reference.

A negative is the completion of an example of the same task (of a data set with several prompts: of the same prompt)
about another image. Candidates are taken in the order of `NEGATIVE_RULES`, by each rule those of the nearest length
first, ties broken by a hash; the choice depends on the examples alone.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figtune.batching.tokenization import check_room, log_too_long
from figtune.core import commands
from figtune.core.errors import InputError, NothingProducedError
from figtune.core.jsonl import read_records
from figtune.dataset.records import CUSTOM_TASK, MINITRAIN_FILE, QUESTION_TASK, Example
from figtune.dataset.shards import stream_examples
from figtune.metrics.records import NEGATIVE_RULES, NEGATIVES, EvaluatedSplit, NegativeRule
from figtune.metrics.text_metrics import word_count
from figtune.models.family import Family, Processor

_SIMILAR_LENGTH = 2.0
"""Largest ratio of the numbers of words of two texts of similar length. Chosen, not measured."""
_NO_TEXT = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True)
class Negative:
    """A negative and the rule by which it was chosen."""

    example: Example
    rule: NegativeRule


@dataclass(frozen=True)
class _Candidate:
    example: Example
    text: str
    """Completion in lower case without punctuation: texts that differ in these alone are the same."""
    key: tuple[int, bytes]
    """Number of words, then a hash of the id."""


class NegativePool:
    """Examples that negatives are chosen from, indexed by what each rule asks for."""

    def __init__(self, examples: Iterable[Example]) -> None:
        """Index the examples.

        Args:
            examples: of one split; those of one id count once.
        """
        unique = {example.example_id: example for example in examples}
        self._index: dict[tuple[NegativeRule, Hashable], list[_Candidate]] = defaultdict(list)
        for candidate in sorted(map(_candidate, unique.values()), key=lambda each: each.key):
            for rule in NEGATIVE_RULES:
                self._index[rule, _asked_for(rule, candidate.example)].append(candidate)

    def negatives(self, example: Example) -> tuple[Negative, ...]:
        """Return `NEGATIVES` negatives of an example of the pool; none where there are fewer, or for a short question.

        Texts are distinct, and none contains the reference or is contained in it, which could not be called wrong.
        """
        if example.task == QUESTION_TASK:
            return ()
        own, chosen, texts = _candidate(example), list[Negative](), set[str]()
        for rule in NEGATIVE_RULES:
            for other in self._nearest(rule, own):
                if len(chosen) == NEGATIVES:
                    return tuple(chosen)
                is_wrong = other.text and other.text not in own.text and own.text not in other.text
                if is_wrong and other.text not in texts and other.example.image_sha256 != example.image_sha256:
                    chosen.append(Negative(example=other.example, rule=rule))
                    texts.add(other.text)
        return tuple(chosen) if len(chosen) == NEGATIVES else ()

    def _nearest(self, rule: NegativeRule, own: _Candidate) -> Iterator[_Candidate]:
        """Yield the candidates of a rule, nearest length first."""
        found = self._index[rule, _asked_for(rule, own.example)]
        above = bisect_left(found, own.key, key=lambda each: each.key)
        below = above - 1
        while below >= 0 or above < len(found):
            take_below = above == len(found) or (below >= 0 and _ratio(own, found[below]) <= _ratio(own, found[above]))
            candidate = found[below if take_below else above]
            if rule != NEGATIVE_RULES[-1] and _ratio(own, candidate) > _SIMILAR_LENGTH:
                return
            yield candidate
            below, above = (below - 1, above) if take_below else (below, above + 1)


def _candidate(example: Example) -> _Candidate:
    digest = hashlib.sha256(example.example_id.encode()).digest()
    return _Candidate(
        example=example,
        text=_NO_TEXT.sub(" ", example.completion.casefold()).strip(),
        key=(word_count(example.completion), digest),
    )


def _asked_for(rule: NegativeRule, example: Example) -> Hashable:
    """Return what two examples have in common by a rule."""
    request = (example.task, example.prompt if example.task == CUSTOM_TASK else "")
    match rule:
        case "group and kind":
            return (*request, example.group, example.kind)
        case "group":
            return (*request, example.group)
        case "kind":
            return (*request, example.kind)
        case "length" | "any":
            return request


def _ratio(one: _Candidate, other: _Candidate) -> float:
    """Return the ratio of the longer text to the shorter one, in words."""
    words = sorted((max(1, one.key[0]), max(1, other.key[0])))
    return words[1] / words[0]


@dataclass(frozen=True, kw_only=True)
class EvalItem:
    """Example of a split, with another example of the split that has another image, if there is one."""

    split: EvaluatedSplit
    example: Example
    mismatched: Example | None
    negatives: tuple[Negative, ...] = ()
    """Wrong completions for choice accuracy; none for short questions, or with too few texts."""


def read_eval_items(dataset_dir: Path) -> list[EvalItem]:
    """Read the test examples, then the minitrain examples (for memorisation), in file order.

    Raises:
        ArtifactMissingError: there is no data set.
        InputError: a line of it cannot be read.
        NothingProducedError: both splits are empty.
    """
    evaluated = []
    read: dict[EvaluatedSplit, list[Example]] = {
        "test": list(stream_examples(dataset_dir, "test")),
        "minitrain": read_records(dataset_dir / MINITRAIN_FILE, Example, commands.PREPARE),
    }
    for split, examples in read.items():
        others, pool = mismatched_images(examples), NegativePool(examples)
        evaluated += [
            EvalItem(
                split=split,
                example=example,
                mismatched=others.get(example.image_sha256),
                negatives=pool.negatives(example),
            )
            for example in examples
        ]
    if not evaluated:
        raise NothingProducedError(
            f"{dataset_dir} has neither test nor training examples", f"prepare more papers with: {commands.PREPARE}"
        )
    return evaluated


def fitting(items: Sequence[EvalItem], family: Family, processor: Processor, max_length: int) -> list[EvalItem]:
    """Return the items whose prompt leaves room for a completion, and log the others.

    Raises:
        NothingProducedError: no item is left.
    """
    kept = []
    misfits: dict[str, InputError] = {}
    for item in items:
        try:
            check_room(family, processor, item.example.prompt, max_length)
        except InputError as misfit:
            misfits[item.example.example_id] = misfit
            continue
        kept.append(item)
    log_too_long(misfits)
    if not kept:
        raise NothingProducedError("no prompt leaves room for an answer", "raise --model.max_length and train again")
    return kept


def mismatched_images(examples: Sequence[Example]) -> Mapping[str, Example]:
    """Map each image, by its sha256, to an example with another image; every image is used once.

    Pairing by sorted hash: deterministic and effectively random. Empty if there is only one image.
    """
    by_image = {example.image_sha256: example for example in reversed(examples)}
    images = sorted(by_image)
    if len(images) < 2:
        return {}
    return {image: by_image[other] for image, other in zip(images, [*images[1:], images[0]], strict=True)}


def image_paths(evaluated: Sequence[EvalItem], dataset_dir: Path) -> dict[str, Path]:
    """Return the files of all images, right and mismatched ones, by sha256."""
    examples = [example for item in evaluated for example in (item.example, item.mismatched) if example is not None]
    return {example.image_sha256: dataset_dir / example.image for example in examples}
