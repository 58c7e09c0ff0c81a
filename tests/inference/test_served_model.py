"""Servers that answer otherwise than they should: the run ends in time, with what is wrong in one line."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from figtune.core.errors import ResourceError
from figtune.inference import served_model
from figtune.inference.served_model import connect
from tests.inference.trained_model import greedy

BODY = json.dumps({"choices": [{"message": {"content": "A plot."}, "finish_reason": "stop"}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@contextmanager
def serving(pieces: Iterable[bytes], pause: float = 0.0) -> Iterator[str]:
    """Answer each request with the pieces one after another, then close the connection; yield the address."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 20)
                    for piece in pieces:
                        connection.sendall(piece)
                        if ended.wait(pause):
                            return
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def _ask(address: str, seconds: float) -> str:
    with connect(address, "figures", seconds) as served:
        return served.ask(Image.new("RGB", (8, 8)), "Describe this figure.", greedy(8)).text


def test_an_answer_may_come_in_pieces() -> None:
    with serving((HEAD + b"\r\n", BODY[:9], BODY[9:]), pause=0.02) as address:
        assert _ask(address, 20.0) == "A plot."


def test_an_answer_that_trickles_is_not_waited_for_longer_than_allowed() -> None:
    pieces = itertools.chain((HEAD + b"\r\n",), itertools.repeat(b" "))
    with serving(pieces, pause=0.05) as address, pytest.raises(ResourceError, match="did not answer in time"):
        _ask(address, 0.5)


def test_an_answer_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_model, "_LARGEST_ANSWER", 2_000_000)
    pieces = itertools.chain((HEAD + b"\r\n",), itertools.repeat(bytes(1 << 16)))
    with serving(pieces) as address, pytest.raises(ResourceError, match="answered more than 2 MB"):
        _ask(address, 60.0)


def test_an_answer_that_breaks_off_is_tried_again_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_model, "_RETRY_SECONDS", (0.0, 0.0))
    pieces = (HEAD + b"Content-Length: 1000\r\n\r\n", BODY)
    with serving(pieces) as address, pytest.raises(ResourceError, match=r"the connection to .* broke: .*log"):
        _ask(address, 20.0)
