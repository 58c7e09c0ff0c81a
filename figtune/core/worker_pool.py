"""Run tasks that may crash, hang or use up the memory in worker processes, which are replaced when they die.

Each worker has a pipe of its own, so it is always known which task a dead worker had, and a worker killed while it
sends cannot garble what others send. That, and telling a crash from a hang every time, is what the pools of the
standard library and of pebble do not give.
"""

from __future__ import annotations

import faulthandler
import logging
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

from figtune.core.errors import ResourceError

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

FailureKind = Literal["crash", "killed", "time", "memory"]
"""A killed worker was ended from outside, as by the kernel when memory runs out: the task need not be at fault."""

_POLL_SECONDS = 0.05
_SHUTDOWN_SECONDS = 5.0
_MEGABYTE = 1 << 20
_MAX_TASKS_PER_WORKER = 64  # libraries leak: PyMuPDF 2.0 about 1 MB a paper
_FAILED_STARTS = 5  # in a row, before the pool gives up
_START_PAUSE_SECONDS = 0.2
_FROM_OUTSIDE = (signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM)
"""Signals that come from outside, never from a task itself."""


@dataclass(frozen=True, kw_only=True)
class TaskLimits:
    """Limits of one task."""

    seconds: float
    """Wall-clock time in seconds."""
    megabytes: int
    """Resident memory of the worker in MB, its libraries included."""


@dataclass(frozen=True, kw_only=True)
class TaskFailure:
    """Reason for a task without a result."""

    kind: FailureKind
    reason: str


@dataclass(frozen=True, kw_only=True)
class TaskResult(Generic[Task, Result]):
    """A task and its result."""

    task: Task
    outcome: Result | TaskFailure


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, limits: TaskLimits
) -> Generator[TaskResult[Task, Result]]:
    """Yield every task once, as they finish, each run by `function` in one of up to `workers` processes.

    A task whose worker was killed from outside is tried once more after all others, alone. `function` must be picklable
    by name and must not raise; a raise counts as a crash. Close the iterator early to stop all workers.

    Raises:
        ResourceError: no worker can be started, or all die before they are ready for a task.
    """
    starter = _Starter(function)
    killed: list[Task] = []
    for done in _run_side_by_side(starter, tasks, min(workers, len(tasks)), limits):
        if isinstance(done.outcome, TaskFailure) and done.outcome.kind == "killed":
            killed.append(done.task)
        else:
            yield done
    yield from _run_side_by_side(starter, killed, 1, limits)


def _run_side_by_side(
    starter: _Starter[Task, Result], tasks: Sequence[Task], workers: int, limits: TaskLimits
) -> Generator[TaskResult[Task, Result]]:
    waiting = deque(tasks)
    busy: list[_Worker[Task, Result]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = starter.start(others=len(busy))
                if worker is None:
                    break
                busy.append(worker)
            wait([worker.connection for worker in busy], timeout=_POLL_SECONDS)
            for worker in busy:
                done = worker.poll(waiting, limits)
                if done is not None:
                    yield done
            starter.count(busy)
            busy = [worker for worker in busy if not worker.ended]
    finally:
        for worker in busy:
            worker.kill()


class PersistentWorker(Generic[Task, Result]):
    """A worker process that is kept for one task after another, replaced whenever a task kills it."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        self._starter = _Starter(function)
        self._worker: _Worker[Task, Result] | None = None

    def run(self, task: Task, limits: TaskLimits) -> Result | TaskFailure:
        """Return what becomes of the task, tried twice where its worker was killed from outside; see `run_tasks`."""
        outcome = self._tried(task, limits)
        if isinstance(outcome, TaskFailure) and outcome.kind == "killed":
            return self._tried(task, limits)
        return outcome

    def _tried(self, task: Task, limits: TaskLimits) -> Result | TaskFailure:
        waiting = deque([task])
        if self._worker is not None and not self._worker.process.is_alive():
            self._worker.kill()  # it died between two tasks
            self._worker = None
        while True:
            if self._worker is None or self._worker.ended:
                self._worker = self._starter.start(others=0)
            if self._worker is None:
                continue
            if self._worker.idle:
                self._worker.submit(waiting, limits)
                continue
            wait([self._worker.connection], timeout=_POLL_SECONDS)
            done = self._worker.receive(limits)
            self._starter.count([self._worker])
            if done is not None:
                return done.outcome


class _Starter(Generic[Task, Result]):
    """Starts workers, and gives up where none comes to be ready for a task."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        self._function = function
        self._failed = 0
        """Starts in a row."""

    def start(self, *, others: int) -> _Worker[Task, Result] | None:
        """Return a new worker, or None where the system refuses one for now.

        Args:
            others: workers there are; while they work, there is no need to insist.

        Raises:
            ResourceError: too many starts have failed in a row.
        """
        if self._failed:
            time.sleep(_START_PAUSE_SECONDS)
        try:
            return _Worker(self._function)
        except OSError as error:  # out of processes, memory or open files
            if not others:
                self._fail((error.strerror or str(error)).lower())
            return None

    def count(self, workers: Sequence[_Worker[Task, Result]]) -> None:
        """Take note of those that have become ready, and of those that died before they were.

        Raises:
            ResourceError: as above.
        """
        for worker in workers:
            if worker.ready:
                self._failed = 0
            elif worker.ended:
                self._fail(worker.ending)

    def _fail(self, reason: str) -> None:
        self._failed += 1
        if self._failed == _FAILED_STARTS:
            raise ResourceError(
                f"no worker process can be started: {self._failed} in a row ended before their first task ({reason})",
                "free memory or end other processes, and run the same command again: what is finished is kept",
            )


class _Worker(Generic[Task, Result]):
    """One process, its pipe and the task it has."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_worker_main, args=(theirs, function), daemon=True)
        try:
            self.process.start()
        except OSError:
            self.connection.close()
            raise
        finally:
            theirs.close()
        logger.debug(f"worker {self.process.pid} started")
        self.ended = False
        self.idle = False
        """It waits for a task; until it has started it does not."""
        self.ready = False
        """It has been started well."""
        self._tasks: deque[Task] = deque(maxlen=1)
        self._since = 0.0
        self._handed_out = 0

    def poll(self, waiting: deque[Task], limits: TaskLimits) -> TaskResult[Task, Result] | None:
        """Take a result if there is one, enforce the limits, hand out the next task."""
        done = self.receive(limits)
        if self.idle:
            self.submit(waiting, limits)
        return done

    def receive(self, limits: TaskLimits) -> TaskResult[Task, Result] | None:
        """Take a result if there is one, enforce the limits."""
        return self._received() if self.connection.poll() else self._check_limits(limits)

    def submit(self, waiting: deque[Task], limits: TaskLimits) -> None:
        """Give the next task to the process, or let it end."""
        self.idle = False
        if not waiting or self._handed_out == _MAX_TASKS_PER_WORKER:
            self._shutdown()
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
        self._join()

    def _received(self) -> TaskResult[Task, Result] | None:
        """Return the result of the task; None where the worker reports that it is ready for its first."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionError):
            self._join()
            if not self._tasks:
                return None
            kind: FailureKind = "killed" if -(self.process.exitcode or 0) in _FROM_OUTSIDE else "crash"
            return self._failed(kind, f"the process reading it died ({self.ending})")
        self.idle = self.ready = True
        return TaskResult(task=self._tasks.pop(), outcome=message) if self._tasks else None

    def _check_limits(self, limits: TaskLimits) -> TaskResult[Task, Result] | None:
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

    def _failed(self, kind: FailureKind, reason: str) -> TaskResult[Task, Result]:
        return TaskResult(task=self._tasks.pop(), outcome=TaskFailure(kind=kind, reason=reason))

    def _resident(self) -> int:
        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:  # it has just died; its pipe will say so
            return 0

    def _shutdown(self) -> None:
        """Let the process end by itself, which it does once its pipe is closed."""
        self.connection.close()
        self.process.join(_SHUTDOWN_SECONDS)
        self.kill()

    def _join(self) -> None:
        self.process.join()
        self.connection.close()
        self.ended = True
        logger.debug(f"worker {self.process.pid} ended after {self._handed_out} tasks ({self.ending})")

    @property
    def ending(self) -> str:
        """The signal or the exit code that it ended with."""
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:  # most real-time signals have no name
            return f"signal {-code}"


def _worker_main(connection: Connection, function: Callable[[Task], Result]) -> None:
    """Run tasks in a worker process until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection.send(None)  # ready
    with Path(os.devnull).open("w") as nowhere:
        while True:
            try:
                task, seconds = connection.recv()
            except (EOFError, ConnectionError):
                return
            # Should the parent have been killed meanwhile, nobody else would end a hanging task.
            faulthandler.dump_traceback_later(2 * seconds + 10, exit=True, file=nowhere)
            result = function(task)
            try:
                connection.send(result)
            except ConnectionError:  # the parent is gone
                return
            faulthandler.cancel_dump_traceback_later()
