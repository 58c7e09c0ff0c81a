"""Measure training, encoding and generation on a card in a few minutes, and project an epoch's time and price.

    python -m benchmarks.card build/card --price 2.5
    python -m benchmarks.card build/card --minutes 4 --models gemma3 --batches 4 16
    python -m benchmarks.card build/card --size tiny --minutes 5

Needs no network: Gemma 3 4B and PaliGemma 3B have random weights that are drawn on the card, and small tokenizers.
Writes FOLDER/card.json after every row and FOLDER/card.md, a table, beside it; 15 GB of model files go there too, for
the rows that load from disk. Rows are the steps of LoRA training in each way of `benchmarks.training` at several batch
sizes, with peak memory beside its estimate, the same of QLoRA, encoding, loading, generation, and short runs of the
Trainer.

Rows run in a process of their own, the longest first. One that fails, out of memory say, is written with its reason and
the next one follows, in a new process where the old one has died. All ends within `--minutes`, whatever hangs: rows
that were not reached by then are written as such, and the same command again measures them; `--again TEXT` also those
with TEXT in their name or state, such as `failed`. `--size tiny` tries all this with tiny models, on a CPU too.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.card_device import device_facts, device_name
from benchmarks.card_models import MODELS, ModelStore, accept_older_transformers, adapter, described_model
from benchmarks.card_results import (
    RESULTS_FILE,
    TABLE_FILE,
    Estimate,
    Results,
    Row,
    read_results,
    write_results,
    write_table,
)
from benchmarks.card_rows import AMOUNTS, Job, jobs
from config import TRAIN
from figtune.core.cli import ended_by_signals, run_cli
from figtune.core.errors import ResourceError, UsageError
from figtune.models.loading import resolve_device
from figtune.models.precision import Precision
from figtune.training.memory_budget import BatchShape
from figtune.training.memory_estimate import describe_model, memory_use
from figtune.training.oom import is_out_of_memory, release_memory

BATCHES = (1, 4, 8, 16)
PAPERS = 258
POLL_SECONDS = 0.2
DEVICE_LOST = 75
"""Exit code of a process whose card takes no more work."""
TABLE_SECONDS = 5
"""Seconds kept for writing the table and for ending what hangs."""
_LOST = ("CUDA error", "device-side assert", "unspecified launch failure")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    folder: Path
    size: str
    models: tuple[str, ...]
    batches: tuple[int, ...]
    minutes: float
    row_seconds: float
    price: float
    papers: int
    again: str
    measure_until: float
    """End of the measuring process in seconds since the epoch; 0 in the process that started it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 once every row has been measured, failed or skipped, 1 if time ran out before."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parse(given)
    finished: list[bool] = []
    code = run_cli(lambda: finished.append(_run(options, given)))
    return code or int(not all(finished))


def _parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where results and models go")
    parser.add_argument("--size", choices=sorted(AMOUNTS), default="full")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="examples of a forward pass")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no row goes on")
    parser.add_argument("--row_seconds", type=float, default=120.0, help="after which a row has failed")
    parser.add_argument("--price", type=float, default=0.0, help="of an hour of the card, in any currency")
    parser.add_argument("--papers", type=int, default=PAPERS, help="to project an epoch for")
    parser.add_argument("--again", default="", metavar="TEXT", help="measure rows with it in their name or state again")
    parser.add_argument("--measure_until", type=float, default=0.0, help=argparse.SUPPRESS)
    given = vars(parser.parse_args(arguments))
    return Options(**{**given, "models": tuple(given["models"]), "batches": tuple(given["batches"])})


def _run(options: Options, arguments: Sequence[str]) -> bool:
    """Return whether all rows are finished."""
    accept_older_transformers()
    if options.measure_until:
        # Whatever it is doing then, and though nobody may be there to end it.
        timer = threading.Timer(max(0.0, options.measure_until - time.time()), os._exit, (DEVICE_LOST,))
        timer.daemon = True
        timer.start()
        return _measure(options)
    supervisor = Supervisor(options, [sys.executable, "-m", "benchmarks.card", *arguments])
    with ended_by_signals():
        supervisor.run()
    return supervisor.finished


def _jobs(options: Options) -> list[Job]:
    device = torch.device("cpu") if not options.measure_until else resolve_device("auto")
    store = ModelStore(options.folder, options.size, device)
    return jobs(store, options.models, options.batches, AMOUNTS[options.size])


def _measure(options: Options) -> bool:
    """Measure the rows that are missing, in this process."""
    device = resolve_device("auto")
    results = read_results(options.folder, options.size)
    if results.device is None:
        results = replace(results, device=device_facts(device, AMOUNTS[options.size].matrix))
        write_results(options.folder, results)
    elif results.device.name != device_name(device):
        raise UsageError(f"{options.folder} has results of {results.device.name}", "give another folder")
    for job in _jobs(options):
        if results.finished(job.row.name):
            continue
        if time.time() > options.measure_until:
            return False
        write_results(options.folder, results.with_row(job.row))
        row, lost = _measured(job, device)
        results = results.with_row(row)
        write_results(options.folder, results)
        speed = f"{row.measured.per_second:.2f} a second" if row.measured else f"{row.state}: {row.reason}"
        sys.stdout.write(f"{row.name}: {speed}\n")
        sys.stdout.flush()
        if lost:
            os._exit(DEVICE_LOST)
    return True


def _measured(job: Job, device: torch.device) -> tuple[Row, bool]:
    """Return the row with its numbers or with the reason for having none, and whether the card is lost."""
    if reason := job.missing():
        return replace(job.row, state="skipped", reason=reason), False
    try:
        return replace(job.row, state="done", measured=job.measure()), False
    except ImportError as failure:
        return replace(job.row, state="skipped", reason=_one_line(failure)), False
    except Exception as failure:  # noqa: BLE001 - the next row may well succeed
        memory = " (out of memory)" if is_out_of_memory(failure) else ""
        row = replace(job.row, state="failed", reason=f"{_one_line(failure)}{memory}")
        lost = device.type == "cuda" and any(text in str(failure) for text in _LOST)
    if not lost:
        # Outside the handler: the exception no longer holds the failed step's tensors.
        release_memory()
    return row, lost


def _one_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines() or [""]
    return f"{type(failure).__name__}: {lines[0][:200].replace('|', '/')}"


class Supervisor:
    """Starts the process that measures, ends it in time, and meanwhile estimates the memory of what was measured."""

    def __init__(self, options: Options, command: Sequence[str]) -> None:
        """Args: command: starts the process that measures; how long it may do so is added."""
        self._options = options
        self._command = command
        self._until = time.time() + max(0.0, 60 * options.minutes - TABLE_SECONDS)
        self._estimates: dict[str, Estimate] = {}
        self._without_estimate: set[str] = set()
        self._planned = [job.row for job in _jobs(options)]
        self._file = options.folder / RESULTS_FILE

    @property
    def finished(self) -> bool:
        """Return whether every row has been measured, failed or skipped."""
        results = self._results()
        return all(results.finished(row.name) for row in self._planned)

    def run(self) -> None:
        """Measure until all is done, or time is up.

        Raises:
            UsageError: the folder holds results of another size.
            ResourceError: the process that measures cannot begin.
        """
        self._options.folder.mkdir(parents=True, exist_ok=True)
        results = self._results()
        if results.size != self._options.size:
            raise UsageError(f"{self._file} is of the size {results.size}", "give another folder")
        for model in self._options.models:
            described_model(self._options.folder, model, self._options.size)
        again = self._options.again
        kept = [row for row in results.rows if not (again and (again in row.name or again == row.state))]
        self._write(replace(results, rows=tuple(kept)))
        while not self.finished and time.time() < self._until:
            self._run_process()
        while (row := self._unestimated()) is not None and self._estimate(row):
            pass
        self._write(self._with_unreached(self._results()))
        sys.stdout.write((self._options.folder / TABLE_FILE).read_text(encoding="utf-8"))

    def _run_process(self) -> None:
        """Run one process to its end, and write what became of the row that it was in."""
        process = subprocess.Popen([*self._command, "--measure_until", str(self._until)])
        overrun = False
        try:
            while process.poll() is None and time.time() < self._until and not overrun:
                row = self._unestimated()
                if row is not None:
                    self._estimate(row)
                else:
                    time.sleep(POLL_SECONDS)
                overrun = self._is_overrun()
        finally:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                # A process that hangs in the card's driver ends when that lets go of it.
                process.wait(TABLE_SECONDS / 2)
        results = self._results()
        running = next((row for row in results.rows if row.state == "running"), None)
        if running is None and process.returncode and not overrun and time.time() < self._until:
            raise ResourceError("the process that measures ended before its first row", "see its last words above")
        if running is not None and (overrun or time.time() < self._until):
            reason = f"not done in {self._options.row_seconds:g} s" if overrun else f"exit code {process.returncode}"
            results = results.with_row(replace(running, state="failed", reason=f"its process was ended: {reason}"))
        self._write(results)

    def _is_overrun(self) -> bool:
        """Return whether a row has run for too long. The file is written when a row begins and when it ends."""
        running = any(row.state == "running" for row in self._results().rows)
        return running and time.time() - self._file.stat().st_mtime > self._options.row_seconds

    def _results(self) -> Results:
        return read_results(self._options.folder, self._options.size)

    def _with_unreached(self, results: Results) -> Results:
        """Return the results with a row for each that there was no time for."""
        reason = f"time was up after {self._options.minutes:g} minutes: run the same command again"
        for row in self._planned:
            if not results.finished(row.name):
                results = results.with_row(replace(row, state="not reached", reason=reason))
        return results

    def _write(self, results: Results) -> None:
        rows = tuple(row for row in results.rows if row.state != "running")
        estimates = {each.row: each for each in results.estimates} | self._estimates
        whole = replace(results, rows=rows, estimates=tuple(estimates.values()))
        write_results(self._options.folder, whole)
        write_table(self._options.folder, whole, self._planned, self._options.price, self._options.papers)

    def _unestimated(self) -> Row | None:
        results = self._results()
        known = {each.row for each in results.estimates} | self._estimates.keys() | self._without_estimate
        rows = (row for row in results.rows if row.estimated and row.measured is not None)
        return next((row for row in rows if row.name not in known), None)

    def _estimate(self, row: Row) -> bool:
        """Estimate the memory of a row from its model's configuration, as setup does: no card is asked for anything.

        Returns:
            False if time was up before.
        """
        try:
            with _ended_at(self._until):
                self._estimates[row.name] = self._estimated(row)
        except TimeoutError:
            return False
        except Exception as failure:  # noqa: BLE001 - its row counts without
            sys.stderr.write(f"{row.name}: no estimate: {_one_line(failure)}\n")
            self._without_estimate.add(row.name)
        return True

    def _estimated(self, row: Row) -> Estimate:
        measured, facts = row.measured, self._results().device
        assert measured is not None
        assert measured.text_tokens
        assert measured.target_tokens
        assert facts is not None
        dtype = torch.bfloat16 if facts.dtype == "bfloat16" else torch.float32
        model = describe_model(
            described_model(self._options.folder, row.model, self._options.size),
            row.model,
            Precision(dtype=dtype, four_bit=row.mode == "qlora", note=None),
            adapter(row.mode),
        )
        shape = BatchShape(examples=row.batch, text_tokens=measured.text_tokens, target_tokens=measured.target_tokens)
        use = memory_use(model, replace(TRAIN, activation_checkpointing=row.checkpointing), shape)
        return Estimate(row=row.name, tensors=use.training - use.overhead, total=use.training)


@contextmanager
def _ended_at(moment: float) -> Iterator[None]:
    """Raise TimeoutError at a moment, in seconds since the epoch, or at once if that has passed."""

    def end(*_: object) -> None:
        raise TimeoutError

    if moment <= time.time():
        raise TimeoutError
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, moment - time.time())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
