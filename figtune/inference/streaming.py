"""Streaming: the answers of tuned and base model side by side, token by token.

Both are one model, with its adapter on or off, so they alternate: `generate` runs in a thread that blocks after every
token until the next one is requested.
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

from figtune.core.errors import ResourceError
from figtune.inference.generate import Question, check_prompt_length, generate_answers
from figtune.inference.settings import Decoding
from figtune.models.family import ImageInputs
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""Decoded from the first bytes of a character while the others are missing."""
_FORWARD_LOCK = threading.Lock()
"""Held during a forward pass: an abandoned answer may still compute its last token when the next one begins."""


@dataclass(frozen=True, kw_only=True)
class AnswerPair:
    """Two growing answers."""

    tuned: str
    base: str
    finished: bool
    """True if both have ended."""


def stream_answers(loaded: LoadedModel, question: Question, decoding: Decoding) -> Generator[AnswerPair]:
    """Yield both answers whenever either has grown; the last pair is `finished` and equals what `predict` returns.

    Close the generator early to stop generation. Several may be open at a time.

    Raises:
        UsageError, InputError: an empty prompt, or one that is too long.
        ResourceError: the GPU has too little memory.
    """
    check_prompt_length(loaded.family, loaded.processor, question.prompt, loaded.record.max_length)
    with _FORWARD_LOCK:
        image = encode_image(loaded, question.image)
    tuned, base = (_stream_one(loaded, question.prompt, image, decoding) for _ in range(2))
    texts = {"tuned": "", "base": ""}
    running = {"tuned": tuned, "base": base}
    try:
        while running:
            for name, answer in list(running.items()):
                text = _next(loaded, answer, tuned=name == "tuned")
                if text is None:
                    del running[name]
                else:
                    texts[name] = text
            yield AnswerPair(tuned=texts["tuned"], base=texts["base"], finished=not running)
    except torch.OutOfMemoryError:
        raise ResourceError("the image does not fit into GPU memory", "serve with --device cpu") from None
    finally:
        tuned.close()
        base.close()


def _next(loaded: LoadedModel, answer: Generator[str], *, tuned: bool) -> str | None:
    with _FORWARD_LOCK, nullcontext() if tuned else loaded.peft_model.disable_adapter():
        return next(answer, None)


class _StreamClosedError(Exception):
    """The consumer has closed the stream."""


class _TokenStream(BaseStreamer):
    """Streamer that passes on one token at a time, and blocks `generate` until the next one is requested."""

    def __init__(self) -> None:
        self.received: queue.SimpleQueue[int | str | Exception] = queue.SimpleQueue()
        """Tokens; then the whole answer, or the exception that ended it."""
        self.requested = threading.Semaphore(0)
        self.abandoned = False
        self._is_prompt = True

    def put(self, value: Tensor) -> None:
        """Receive the prompt first, then the next token."""
        if self._is_prompt:
            self._is_prompt = False
            return
        self.received.put(int(value[0]))
        self.requested.acquire()
        if self.abandoned:
            raise _StreamClosedError

    def end(self) -> None:
        """Do nothing: the answer that `generate` returns marks the end."""


def _stream_one(loaded: LoadedModel, prompt: str, image: ImageInputs, decoding: Decoding) -> Generator[str]:
    """Yield one growing answer, computed only while its next part is waited for."""
    stream = _TokenStream()

    def run() -> None:
        try:
            stream.received.put(generate_answers(loaded, [prompt], [image], decoding, stream)[0].text)
        except _StreamClosedError:
            return
        except Exception as failure:  # noqa: BLE001 - raised again in the consumer
            stream.received.put(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ids: list[int] = []
    try:
        while isinstance(given := stream.received.get(), int):
            ids.append(given)
            yield loaded.processor.tokenizer.decode(ids, skip_special_tokens=True).strip().rstrip(_UNFINISHED)
            stream.requested.release()
        if isinstance(given, Exception):
            raise given
        yield given
    finally:
        stream.abandoned = True
        stream.requested.release()
        thread.join()
