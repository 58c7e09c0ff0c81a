"""Tasks in worker processes: each has one outcome, whatever becomes of its process."""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from figtune.core import worker_pool
from figtune.core.errors import ResourceError
from figtune.core.worker_pool import PersistentWorker, TaskFailure, TaskLimits, run_tasks
from tests.rows import each_row

pytestmark = pytest.mark.slow

LIMITS = TaskLimits(seconds=60, megabytes=1000)


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


def fall_to_a_signal(folder: str) -> int:
    """A task whose worker is killed as often as its folder says."""
    left = Path(folder, "deaths")
    deaths = int(left.read_text())
    if deaths:
        left.write_text(str(deaths - 1))
        os.kill(os.getpid(), int(Path(folder, "signal").read_text()))
    return deaths


def _doomed(folder: Path, *, deaths: int, number: int = signal.SIGKILL) -> str:
    folder.mkdir()
    (folder / "deaths").write_text(str(deaths))
    (folder / "signal").write_text(str(int(number)))
    return str(folder)


class _Dying:
    """A function that takes the process with it which loads it, as often as its folder says."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number

    def __call__(self, task: int) -> int:
        return 2 * task

    def __reduce__(self) -> tuple[object, ...]:
        return _load, (str(self.folder), self.number)


def _load(folder: str, number: int) -> _Dying:
    left = Path(folder, "births")
    births = int(left.read_text())
    if births:
        left.write_text(str(births - 1))
        os.kill(os.getpid(), number)
    return _Dying(Path(folder), number)


def test_every_task_is_done_once() -> None:
    done = {done.task: done.outcome for done in run_tasks(double, range(20), workers=2, limits=LIMITS)}
    assert done == {number: 2 * number for number in range(20)}


def test_no_task_starts_no_process() -> None:
    assert list(run_tasks(double, [], workers=2, limits=LIMITS)) == []


def test_a_death_is_that_of_the_task_that_was_being_done() -> None:
    for done in run_tasks(die_on_odd, range(8), workers=2, limits=LIMITS):
        if done.task % 2:
            assert done.outcome == TaskFailure(kind="crash", reason="the process reading it died (SIGSEGV)")
        else:
            assert done.outcome == done.task


def test_an_endless_task_is_ended() -> None:
    limits = TaskLimits(seconds=2, megabytes=1000)
    outcomes = {done.task: done.outcome for done in run_tasks(sleep_on_odd, range(4), workers=2, limits=limits)}
    late = TaskFailure(kind="time", reason="takes longer than 2 seconds")
    assert outcomes == {0: 0, 1: late, 2: 2, 3: late}


def test_a_worker_that_is_too_large_is_ended() -> None:
    limits = TaskLimits(seconds=60, megabytes=1)
    (done,) = run_tasks(sleep_on_odd, [1], workers=1, limits=limits)
    assert done.outcome == TaskFailure(kind="memory", reason="needs more than 1 MB of memory")


def test_workers_are_renewed_before_leaks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_MAX_TASKS_PER_WORKER", 2)
    pids = [done.outcome for done in run_tasks(pid_of_worker, range(6), workers=1, limits=LIMITS)]
    assert len(set(pids)) == 3


def test_leaving_early_ends_all_workers() -> None:
    with closing(run_tasks(double, range(100), workers=2, limits=LIMITS)) as tasks:
        next(tasks)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def test_a_guard_keeps_its_process_until_a_task_takes_it() -> None:
    limits = TaskLimits(seconds=0.5, megabytes=1000)
    guard = PersistentWorker(sleep_and_tell_on_odd)
    first = guard.run(0, LIMITS)
    assert isinstance(first, int)
    assert guard.run(0, LIMITS) == first
    assert guard.run(1, limits) == TaskFailure(kind="time", reason="takes longer than 0.5 seconds")
    second = guard.run(0, LIMITS)
    assert isinstance(second, int)
    assert second != first
    os.kill(second, signal.SIGKILL)
    multiprocessing.active_children()[0].join()
    assert guard.run(0, LIMITS) not in (first, second), "what dies between two tasks is no fault of the next one"


def test_a_guard_renews_its_process_before_leaks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_MAX_TASKS_PER_WORKER", 2)
    guard = PersistentWorker(pid_of_worker)
    assert len({guard.run(number, LIMITS) for number in range(4)}) == 2


@each_row("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_task_whose_worker_was_killed_from_outside_is_tried_once_more(tmp_path: Path, number: int) -> None:
    tasks = [_doomed(tmp_path / str(deaths), deaths=deaths, number=number) for deaths in (1, 0, 2)]
    done = {done.task: done.outcome for done in run_tasks(fall_to_a_signal, tasks, workers=2, limits=LIMITS)}
    reason = f"the process reading it died ({signal.Signals(number).name})"
    assert done == {tasks[0]: 0, tasks[1]: 0, tasks[2]: TaskFailure(kind="killed", reason=reason)}


def test_the_second_try_has_the_machine_to_itself(tmp_path: Path) -> None:
    tasks = [_doomed(tmp_path / f"{number}", deaths=int(number < 3)) for number in range(8)]
    order = [done.task for done in run_tasks(fall_to_a_signal, tasks, workers=3, limits=LIMITS)]
    assert sorted(order[:5]) == tasks[3:]
    assert sorted(order[5:]) == tasks[:3]


def test_a_guard_tries_once_more_too(tmp_path: Path) -> None:
    guard = PersistentWorker(fall_to_a_signal)
    assert guard.run(_doomed(tmp_path / "once", deaths=1), LIMITS) == 0
    killed = guard.run(_doomed(tmp_path / "twice", deaths=2), LIMITS)
    assert isinstance(killed, TaskFailure)
    assert killed.kind == "killed"
    assert guard.run(_doomed(tmp_path / "never", deaths=0), LIMITS) == 0


@each_row("number", [signal.SIGKILL, signal.SIGSEGV])
def test_workers_that_die_before_their_first_task_are_replaced(tmp_path: Path, number: int) -> None:
    (tmp_path / "births").write_text("3")
    function = _Dying(tmp_path, number)
    done = {done.task: done.outcome for done in run_tasks(function, range(4), workers=2, limits=LIMITS)}
    assert done == {task: 2 * task for task in range(4)}


def test_workers_that_always_die_at_birth_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "births").write_text("1000")
    function = _Dying(tmp_path, signal.SIGKILL)
    with pytest.raises(ResourceError, match=r"no worker process can be started.*SIGKILL"):
        list(run_tasks(function, range(4), workers=2, limits=LIMITS))
    with pytest.raises(ResourceError, match="no worker process can be started"):
        PersistentWorker(function).run(1, LIMITS)


def test_a_system_without_room_for_processes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started = multiprocessing.process.BaseProcess.start
    refusals = iter([False, True, True, True, False, True])

    def start(process: multiprocessing.process.BaseProcess) -> None:
        if next(refusals, False):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started(process)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", start)
    done = {done.task: done.outcome for done in run_tasks(double, range(20), workers=3, limits=LIMITS)}
    assert done == {number: 2 * number for number in range(20)}
    refusals = iter([True] * 100)
    with pytest.raises(ResourceError, match="resource temporarily unavailable"):
        list(run_tasks(double, range(20), workers=3, limits=LIMITS))


def test_a_function_that_cannot_be_loaded_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_here(number: int) -> int:
        return number

    # Found by name in this process, and missing in workers, which import this module anew.
    only_here.__qualname__ = "only_here"
    monkeypatch.setitem(globals(), "only_here", only_here)
    with pytest.raises(ResourceError):
        list(run_tasks(only_here, [1], workers=1, limits=LIMITS))
