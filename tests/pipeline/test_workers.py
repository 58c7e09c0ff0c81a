"""Tasks in worker processes: each has one outcome, whatever becomes of its process."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from contextlib import closing

import pytest

from figtune.pipeline import workers
from figtune.pipeline.workers import Failure, Guard, Limits, run_tasks

LIMITS = Limits(seconds=60, megabytes=1000)


def double(number: int) -> int:
    """A task that ends well."""
    return 2 * number


def pid_of_worker(number: int) -> int:
    """A task that tells who did it."""
    return os.getpid()


def die_on_odd(number: int) -> int:
    """A task that takes its process with it every second time."""
    if number % 2:
        ctypes.string_at(0)
    return number


def sleep_on_odd(number: int) -> int:
    """A task that never ends every second time."""
    time.sleep(1000 * (number % 2))
    return number


def sleep_and_tell_on_odd(number: int) -> int:
    """A task that never ends every second time, and else tells who did it."""
    return pid_of_worker(sleep_on_odd(number))


def test_every_task_is_done_once() -> None:
    done = {done.task: done.outcome for done in run_tasks(double, range(20), workers=2, limits=LIMITS)}
    assert done == {number: 2 * number for number in range(20)}


def test_no_task_starts_no_process() -> None:
    assert list(run_tasks(double, [], workers=2, limits=LIMITS)) == []


def test_a_death_is_that_of_the_task_that_was_being_done() -> None:
    for done in run_tasks(die_on_odd, range(8), workers=2, limits=LIMITS):
        if done.task % 2:
            assert done.outcome == Failure(kind="crash", reason="the process reading it died (SIGSEGV)")
        else:
            assert done.outcome == done.task


def test_an_endless_task_is_ended() -> None:
    limits = Limits(seconds=0.3, megabytes=1000)
    outcomes = {done.task: done.outcome for done in run_tasks(sleep_on_odd, range(4), workers=2, limits=limits)}
    late = Failure(kind="time", reason="takes longer than 0.3 seconds")
    assert outcomes == {0: 0, 1: late, 2: 2, 3: late}


def test_a_worker_that_is_too_large_is_ended() -> None:
    limits = Limits(seconds=60, megabytes=1)
    (done,) = run_tasks(sleep_on_odd, [1], workers=1, limits=limits)
    assert done.outcome == Failure(kind="memory", reason="needs more than 1 MB of memory")


def test_workers_are_renewed_before_leaks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_TASKS_OF_A_WORKER", 2)
    pids = [done.outcome for done in run_tasks(pid_of_worker, range(6), workers=1, limits=LIMITS)]
    assert len(set(pids)) == 3


def test_leaving_early_ends_all_workers() -> None:
    with closing(run_tasks(double, range(100), workers=2, limits=LIMITS)) as tasks:
        next(tasks)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_a_guard_keeps_its_process_until_a_task_takes_it() -> None:
    limits = Limits(seconds=0.5, megabytes=1000)
    guard = Guard(sleep_and_tell_on_odd)
    first = guard.outcome(0, LIMITS)
    assert isinstance(first, int)
    assert guard.outcome(0, LIMITS) == first
    assert guard.outcome(1, limits) == Failure(kind="time", reason="takes longer than 0.5 seconds")
    second = guard.outcome(0, LIMITS)
    assert isinstance(second, int)
    assert second != first
    os.kill(second, signal.SIGKILL)
    multiprocessing.active_children()[0].join()
    assert guard.outcome(0, LIMITS) not in (first, second), "what dies between two tasks is no fault of the next one"


def test_a_guard_renews_its_process_before_leaks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_TASKS_OF_A_WORKER", 2)
    guard = Guard(pid_of_worker)
    assert len({guard.outcome(number, LIMITS) for number in range(4)}) == 2


def test_a_function_that_cannot_be_loaded_is_no_endless_loop() -> None:
    def local(number: int) -> int:
        return number

    with pytest.raises((AttributeError, RuntimeError)):
        list(run_tasks(local, [1], workers=1, limits=LIMITS))
