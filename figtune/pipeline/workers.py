"""Work that may crash, hang or eat all memory, done in worker processes that may die of it.

Each worker has a pipe of its own, so it is always known which task a dead worker had, and a worker killed while it
sends cannot garble what others send. That, and telling a crash from a hang every time, is what the pools of the
standard library and of pebble do not give.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Generic, Literal, TypeVar

import psutil

Task = TypeVar("Task")
Result = TypeVar("Result")

FailureKind = Literal["crash", "time", "memory"]

_POLL_SECONDS = 0.05
_GOODBYE_SECONDS = 5.0
_MEGABYTE = 1 << 20
_TASKS_OF_A_WORKER = 64  # libraries leak: PyMuPDF 2.0 about 1 MB a paper


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one task may use."""

    seconds: float
    """Of wall-clock time."""
    megabytes: int
    """Of resident memory of the worker, what its libraries take included."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task has no result."""

    kind: FailureKind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Done(Generic[Task, Result]):
    """A task and what became of it."""

    task: Task
    outcome: Result | Failure


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, limits: Limits
) -> Generator[Done[Task, Result]]:
    """Yield every task once, as they finish, each run by `function` in one of up to `workers` processes.

    `function` must be picklable by name and must not raise; a raise counts as a crash. Close the iterator early to
    stop all workers.

    Raises:
        RuntimeError: a worker died before it was ready for its first task.
    """
    waiting = deque(tasks)
    workers = min(workers, len(tasks))
    busy: list[_Worker[Task, Result]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_Worker(function))
            wait([worker.connection for worker in busy], timeout=_POLL_SECONDS)
            for worker in busy:
                done = worker.advance(waiting, limits)
                if done is not None:
                    yield done
            busy = [worker for worker in busy if not worker.ended]
    finally:
        for worker in busy:
            worker.kill()


class Guard(Generic[Task, Result]):
    """A worker process that is kept for one task after another, replaced whenever a task has cost it its life."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        self._function = function
        self._worker: _Worker[Task, Result] | None = None

    def outcome(self, task: Task, limits: Limits) -> Result | Failure:
        """What becomes of the task; see `run_tasks`."""
        waiting = deque([task])
        if self._worker is not None and not self._worker.process.is_alive():
            self._worker.kill()  # it died between two tasks
        while True:
            if self._worker is None or self._worker.ended:
                self._worker = _Worker(self._function)
            if self._worker.idle:
                self._worker.hand_out(waiting, limits)
                continue
            wait([self._worker.connection], timeout=_POLL_SECONDS)
            done = self._worker.news(limits)
            if done is not None:
                return done.outcome


class _Worker(Generic[Task, Result]):
    """One process, its pipe and the task it has."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.ended = False
        self.idle = False
        """It waits for a task; until it has started it does not."""
        self._tasks: deque[Task] = deque(maxlen=1)
        self._since = 0.0
        self._handed_out = 0

    def advance(self, waiting: deque[Task], limits: Limits) -> Done[Task, Result] | None:
        """Take a result if there is one, enforce the limits, hand out the next task."""
        done = self.news(limits)
        if self.idle:
            self.hand_out(waiting, limits)
        return done

    def news(self, limits: Limits) -> Done[Task, Result] | None:
        """Take a result if there is one, enforce the limits."""
        return self._received() if self.connection.poll() else self._overrun(limits)

    def hand_out(self, waiting: deque[Task], limits: Limits) -> None:
        """Give the next task to the process, or let it end."""
        self.idle = False
        if not waiting or self._handed_out == _TASKS_OF_A_WORKER:
            self._dismiss()
            return
        self._tasks.append(waiting.popleft())
        self._handed_out += 1
        self._since = time.monotonic()
        try:
            self.connection.send((self._tasks[0], limits.seconds))
        except ConnectionError:  # it died idle; the closed pipe is read as a crash in the next round
            return

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self._reap()

    def _received(self) -> Done[Task, Result] | None:
        """What became of the task; None where the worker says that it is ready for its first."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionError):
            self._reap()
            if not self._tasks:
                raise RuntimeError(f"a worker process cannot start ({self._ending()})") from None
            return self._failed("crash", f"the process reading it died ({self._ending()})")
        self.idle = True
        return Done(task=self._tasks.pop(), outcome=message) if self._tasks else None

    def _overrun(self, limits: Limits) -> Done[Task, Result] | None:
        if not self._tasks:
            return None
        # What takes too much memory is slow for that, so memory comes first.
        if self._resident() > limits.megabytes * _MEGABYTE:
            self.kill()
            return self._failed("memory", f"needs more than {limits.megabytes} MB of memory")
        if time.monotonic() - self._since > limits.seconds:
            self.kill()
            return self._failed("time", f"takes longer than {limits.seconds:g} seconds")
        return None

    def _failed(self, kind: FailureKind, reason: str) -> Done[Task, Result]:
        return Done(task=self._tasks.pop(), outcome=Failure(kind=kind, reason=reason))

    def _resident(self) -> int:
        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:  # it has just died; its pipe will say so
            return 0

    def _dismiss(self) -> None:
        """Let the process end by itself, which it does once its pipe is closed."""
        self.connection.close()
        self.process.join(_GOODBYE_SECONDS)
        self.kill()

    def _reap(self) -> None:
        self.process.join()
        self.connection.close()
        self.ended = True

    def _ending(self) -> str:
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(connection: Connection, function: Callable[[Task], Result]) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection.send(None)  # ready
    with Path(os.devnull).open("w") as nowhere:
        while True:
            try:
                task, seconds = connection.recv()
            except EOFError:
                return
            # Should the parent have been killed meanwhile, nobody else would end a hanging task.
            faulthandler.dump_traceback_later(2 * seconds + 10, exit=True, file=nowhere)
            connection.send(function(task))
            faulthandler.cancel_dump_traceback_later()
