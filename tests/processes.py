"""The processes of one run, as a launcher starts them; forked from a server that has imported what they need."""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from figtune.core.log import configure_logging

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["figtune.training.train", "figtune.evaluation.evaluate", "train_model", "test_model", __name__]
)

_TO_END = 5.0  # seconds


class Launched:
    """Processes that meet on this machine, and what they say."""

    def __init__(self, count: int, action: Callable[..., int], *arguments: object, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = log
        self.processes: Sequence[BaseProcess] = [
            _SERVER.Process(target=_enter, args=(rank, count, port, log, action, arguments)) for rank in range(count)
        ]
        for process in self.processes:
            process.start()

    def codes(self) -> list[int]:
        """Exit codes, once all have ended; as a launcher does, it ends the others when one has failed. The one that has
        said why is given the time to end with its own."""
        while any(process.is_alive() for process in self.processes):
            if any(process.exitcode for process in self.processes) and self._has_spoken():
                for process in self.processes:
                    process.join(_TO_END)
                    process.kill()
            time.sleep(0.02)
        return [process.exitcode or 0 for process in self.processes]

    def said(self) -> str:
        """By all of them, on stderr."""
        return self._log.read_text() if self._log.exists() else ""

    def _has_spoken(self) -> bool:
        return "error" in self.said()


def _enter(
    rank: int, count: int, port: int, log: Path, action: Callable[..., int], arguments: Sequence[object]
) -> None:
    if count > 1:
        os.environ.update({name: str(rank) for name in ("RANK", "LOCAL_RANK")})
        os.environ.update({name: str(count) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")})
        os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    configure_logging()
    gc.freeze()  # what the server has imported
    sys.exit(action(*arguments))
