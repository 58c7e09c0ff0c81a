"""A model behind a server that speaks the OpenAI protocol: vLLM, llama.cpp's server, Ollama, transformers serve.

Requests go to the given address alone: no proxy of the environment, no redirection. Protocol:
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from PIL import Image

from figtune.core.errors import ResourceError, UsageError
from figtune.inference.settings import Decoding

KEY_VARIABLE = "FIGTUNE_SERVER_KEY"
"""Environment variable with the server's API key."""

_CONNECT_SECONDS = 10.0
_RETRY_SECONDS = (0.5, 2.0)
_BUSY = 429
_SERVER_ERROR = 500
_LARGEST_ANSWER = 16_000_000
"""Bytes; an answer of 256 tokens with all that is told of each takes a hundredth."""
_SHOWN = 300
"""Characters of a server's words in a message."""

Body = dict[str, object]


class UnansweredError(ResourceError):
    """A server that answers, but not to this request: the next one may be answered."""


Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class ChosenToken:
    """A token that the server chose."""

    id: int | None = None
    """Id of the model; None where the server does not tell it."""
    logprob: float = 0.0
    """Natural logarithm of its probability."""


@dataclass(frozen=True, kw_only=True)
class ServedAnswer:
    """Answer of a served model."""

    text: str
    tokens: int
    """Number of tokens as the server counts them; 0 where it does not."""
    ended_with_eos: bool
    """True if it ended by itself, False at the maximum length."""
    chosen: tuple[ChosenToken, ...] = ()
    """Tokens of the answer, if they were asked for and the server tells them."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Logprobs(msgspec.Struct):
    content: tuple[ChosenToken, ...] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: tuple[_Choice, ...]
    usage: _Usage | None = None


class _ModelName(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: tuple[_ModelName, ...]


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model of a server."""

    address: str
    """Address of the protocol, ending in /v1."""
    name: str
    client: httpx2.Client = field(repr=False, compare=False)
    timeout_seconds: float
    """Seconds that an answer may take."""

    def ask(self, image: Image.Image, prompt: str, decoding: Decoding, *, tokens: bool = False) -> ServedAnswer:
        """Answer a prompt about an RGB image.

        Raises:
            UnansweredError: the server refuses this request.
            ResourceError: the server does not answer, or not as the protocol says.
        """
        content = [
            {"type": "image_url", "image_url": {"url": data_url(image)}},
            {"type": "text", "text": prompt.strip()},
        ]
        body: Body = {
            "model": self.name,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": decoding.seed,
        } | ({"logprobs": True, "top_logprobs": 1} if tokens else {})
        told = _read(self.address, self.request("/chat/completions", body), _Completion)
        if not told.choices:
            raise ResourceError(f"{self.address} answered without a choice", "look at the server's log")
        (choice, *_) = told.choices
        return ServedAnswer(
            text=(choice.message.content or "").strip(),
            tokens=told.usage.completion_tokens if told.usage else 0,
            ended_with_eos=choice.finish_reason == "stop",
            chosen=(choice.logprobs.content or ()) if choice.logprobs else (),
        )

    def request(self, path: str, body: Body | None) -> bytes:
        """Return the content of an answer; what may pass is tried again.

        Raises:
            UnansweredError: the server refuses this request.
            ResourceError: the server does not answer, or none of its kind.
        """
        address = self.address
        failure: ResourceError
        for wait in (*_RETRY_SECONDS, None):
            try:
                response = self._response(path, body)
            except httpx2.ConnectError:
                failure = ResourceError(
                    f"nothing answers at {address}", "start the server, or correct the address given with --test.server"
                )
                if body is None:
                    raise failure from None
            except httpx2.TimeoutException:
                # A server that is slow once is slow again: the work that it still has only grows.
                raise ResourceError(
                    f"{address} did not answer in time",
                    "raise --test.server_timeout, or give the server a faster machine",
                ) from None
            except httpx2.HTTPError as broken:
                failure = ResourceError(f"the connection to {address} broke: {broken}", "look at the server's log")
            else:
                if response.status_code == httpx2.codes.OK:
                    return response.content
                failure = _refusal(address, response)
                if response.status_code != _BUSY and response.status_code < _SERVER_ERROR:
                    raise failure
            if wait is not None:
                time.sleep(wait)
        raise failure

    def _response(self, path: str, body: Body | None) -> httpx2.Response:
        """Return a response whose content is here; one that never ends is neither waited for nor kept."""
        until, content = time.monotonic() + self.timeout_seconds, bytearray()
        with self.client.stream("POST" if body else "GET", self.address + path, json=body) as response:
            for piece in response.iter_bytes():
                content += piece
                if time.monotonic() > until:
                    raise httpx2.ReadTimeout("still answering")
                if len(content) > _LARGEST_ANSWER:
                    raise ResourceError(
                        f"{self.address} answered more than {_LARGEST_ANSWER // 1_000_000} MB", "look at its log"
                    )
        headers = {name: response.headers[name] for name in ("location",) if name in response.headers}
        return httpx2.Response(response.status_code, headers=headers, content=bytes(content))


@contextmanager
def connect(url: str, name: str, timeout_seconds: float) -> Iterator[ServedModel]:
    """Keep a connection to the server at a URL during the block.

    Args:
        url: address of the server, with or without /v1.
        name: name of the model; empty takes the only one that the server lists. A given name is not looked up there:
            servers answer to more names than they list.
        timeout_seconds: for an answer.

    Raises:
        UsageError: not an address, or the server has several models and none was named.
        ResourceError: the server does not answer.
    """
    address = protocol_address(url)
    key = os.environ.get(KEY_VARIABLE, "")
    with httpx2.Client(
        timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS)),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        trust_env=False,
        follow_redirects=False,
    ) as client:
        served = ServedModel(address=address, name=name, client=client, timeout_seconds=timeout_seconds)
        yield served if name else replace(served, name=_only_model(served))


def _only_model(served: ServedModel) -> str:
    address = served.address
    listed = [model.id for model in _read(address, served.request("/models", None), _ModelList).data]
    if len(listed) != 1:
        names = ", ".join(listed) or "it lists none"
        raise UsageError(f"{address} serves {len(listed)} models", f"name one with --test.server_model: {names}")
    return listed[0]


def protocol_address(url: str) -> str:
    """Return the address of the protocol for a server's URL.

    Raises:
        UsageError: it is no http address, or holds a user name or password, which would end up in the report.
    """
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise UsageError(f"--test.server {url!r} is not the address of a server", "give it as http://127.0.0.1:8000")
    if "@" in parts.netloc:
        raise UsageError(
            "--test.server must not hold a user name or a password", f"set the environment variable {KEY_VARIABLE}"
        )
    base = url.strip().rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def data_url(image: Image.Image) -> str:
    """Return an image as a data URL, in PNG: no pixel is changed."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _refusal(address: str, response: httpx2.Response) -> ResourceError:
    status, words = response.status_code, " ".join(response.text[:_SHOWN].split())
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return ResourceError(f"{address} wants another key", f"set the environment variable {KEY_VARIABLE}")
    if status == httpx2.codes.NOT_FOUND:
        return ResourceError(
            f"{address} answered 404: {words}",
            "give the address of a server that speaks the OpenAI protocol, and a model that it has",
        )
    if response.is_redirect:
        return ResourceError(
            f"{address} sends requests elsewhere: {response.headers.get('location', '')}",
            "give that address with --test.server",
        )
    return UnansweredError(f"{address} answered {status}: {words}", "look at the server's log")


def _read(address: str, content: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise ResourceError(
            f"{address} answered something else than the OpenAI protocol: {failure}",
            "give the address of a server that speaks it with --test.server",
        ) from None
