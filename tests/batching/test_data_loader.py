"""Reading ahead changes when things are read, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from figtune.batching.data_loader import Prefetcher


def test_elements_come_in_order_and_end() -> None:
    ahead = Prefetcher(iter(range(50)), depth=3)
    assert list(ahead) == list(range(50))
    assert list(ahead) == [], "and go on being over"


def test_elements_are_read_before_they_are_asked_for_and_no_more_than_that() -> None:
    read: list[int] = []
    enough = threading.Event()

    def source() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            if len(read) == 6:
                enough.set()
            yield number

    ahead = Prefetcher(source(), depth=4)
    assert next(ahead) == 0
    assert enough.wait(30), "four stand ready beside the one that is taken and the one in hand"
    ahead.close()
    assert len(read) == 6


def test_what_the_source_raises_is_raised_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    ahead = Prefetcher(source(), depth=4)
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(ahead)


def test_closing_ends_the_thread() -> None:
    ahead = Prefetcher(iter(range(1000)), depth=1)
    next(ahead)
    reader = next(thread for thread in threading.enumerate() if thread.name.startswith("prefetch"))
    ahead.close()
    reader.join(30)
    assert not reader.is_alive()
