"""The tuned and the base model's answers side by side, growing token by token.

Both are one model, with its adapter on or off, so they take turns: `generate` runs in a thread that stops after every
token until it is asked for the next one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from figtune.answers.answering import Question, check_length
from figtune.answers.decoding import Decoding
from figtune.answers.generation import generate_answers
from figtune.core.errors import ResourceError
from figtune.models.features import picture_features
from figtune.models.loading import LoadedModel

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What the first bytes of a character decode to while the others are still to come."""
_STEP = threading.Lock()
"""Held while the model computes: an answer given up may still be at its last token when the next one begins."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What was said so far."""

    tuned: str
    base: str
    finished: bool
    """Whether both have ended."""


def stream_answers(loaded: LoadedModel, question: Question, decoding: Decoding) -> Generator[Pair]:
    """Yield both answers every time that either has grown; the last is `finished` and what `answers_to` would say.

    Close the generator early to stop the models. Several may be open at a time.

    Raises:
        UsageError, InputError: an empty prompt, or one that is too long.
        ResourceError: memory is too small.
    """
    check_length(loaded.family, loaded.processor, question.prompt, loaded.record.max_length)
    with _STEP:
        features = picture_features(loaded, question.picture)[None]
    tuned, base = (_growing(loaded, question.prompt, features, decoding) for _ in range(2))
    said = {"tuned": "", "base": ""}
    speaking = {"tuned": tuned, "base": base}
    try:
        while speaking:
            for name, answer in list(speaking.items()):
                text = _next(loaded, answer, tuned=name == "tuned")
                if text is None:
                    del speaking[name]
                else:
                    said[name] = text
            yield Pair(tuned=said["tuned"], base=said["base"], finished=not speaking)
    except torch.OutOfMemoryError:
        raise ResourceError("the picture does not fit into the card's memory", "serve with --device cpu") from None
    finally:
        tuned.close()
        base.close()


def _next(loaded: LoadedModel, answer: Generator[str], *, tuned: bool) -> str | None:
    with _STEP, nullcontext() if tuned else loaded.tuned.disable_adapter():
        return next(answer, None)


class _AbandonedError(Exception):
    """Nobody wants the rest of an answer."""


class _Steps(BaseStreamer):
    """Hands over one token at a time, and holds `generate` until the next is wanted."""

    def __init__(self) -> None:
        self.given: queue.SimpleQueue[int | str | Exception] = queue.SimpleQueue()
        """Tokens; then the whole answer, or what went wrong."""
        self.wanted = threading.Semaphore(0)
        self.abandoned = False
        self._is_prompt = True

    def put(self, value: Tensor) -> None:
        """The prompt first, then the next token."""
        if self._is_prompt:
            self._is_prompt = False
            return
        self.given.put(int(value[0]))
        self.wanted.acquire()
        if self.abandoned:
            raise _AbandonedError

    def end(self) -> None:
        """The answer that `generate` returns says so too."""


def _growing(loaded: LoadedModel, prompt: str, features: Tensor, decoding: Decoding) -> Generator[str]:
    """The answer as it grows, computed only while the next part of it is waited for."""
    steps = _Steps()

    def speak() -> None:
        try:
            steps.given.put(generate_answers(loaded, [prompt], features, decoding, steps)[0].text)
        except _AbandonedError:
            return
        except Exception as failure:  # noqa: BLE001 - raised again where the answer is waited for
            steps.given.put(failure)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    ids: list[int] = []
    try:
        while isinstance(given := steps.given.get(), int):
            ids.append(given)
            yield loaded.processor.tokenizer.decode(ids, skip_special_tokens=True).strip().rstrip(_UNFINISHED)
            steps.wanted.release()
        if isinstance(given, Exception):
            raise given
        yield given
    finally:
        steps.abandoned = True
        steps.wanted.release()
        thread.join()
