"""The benchmark for whoever gets a card: tried with tiny models, and with rows and processes that fail."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import card
from benchmarks.card_device import device_name
from benchmarks.card_models import described_model
from benchmarks.card_results import (
    DeviceFacts,
    Estimate,
    Measured,
    Results,
    Row,
    read_results,
    write_results,
    write_table,
)
from benchmarks.card_rows import Job
from benchmarks.full_size_model import OFFLINE
from benchmarks.training_ways import random_model
from figtune.core.errors import ExitCode, UsageError
from figtune.models.loading import resolve_device
from tests.rows import each_row

CPU = torch.device("cpu")
GB = 10**9
FACTS = DeviceFacts(
    name="a card",
    memory=80 * GB,
    free=79 * GB,
    driver="1.2",
    versions={"torch": "2.13", "bitsandbytes": ""},
    dtype="bfloat16",
    matmul_tflops=700.0,
    copy_gb=3000.0,
    peak_tflops=1000.0,
)


def row(title: str, batch: int, measured: Measured | None, **named: object) -> Row:
    return Row(
        **{  # type: ignore[arg-type]
            "name": f"m lora, batch {batch}, {title}",
            "kind": "training",
            "model": "m",
            "batch": batch,
            "title": title,
            "state": "done",
            "measured": measured,
            **named,
        }
    )


def raised(failure: Exception) -> Measured:
    raise failure


@pytest.mark.slow
@each_row(
    ("failure", "state", "reason"),
    [
        (ImportError("cannot import name 'X' from 'peft'"), "skipped", "ImportError: cannot import name 'X'"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), "failed", "Tried (out of memory)"),
        (ValueError("wrong | shape"), "failed", "ValueError: wrong / shape"),
    ],
)
def test_a_row_that_fails_is_written_with_its_reason(failure: Exception, state: str, reason: str) -> None:
    found, lost = card._measured(Job(row=row("a", 1, None), measure=lambda: raised(failure)), CPU)
    assert (found.state, lost) == (state, False)
    assert reason in found.reason


def test_a_row_is_skipped_where_a_library_is_missing() -> None:
    job = Job(row=row("a", 1, None), measure=lambda: raised(AssertionError()), needs=("torch", "no_such_library"))
    found, _ = card._measured(job, CPU)
    assert (found.state, found.reason) == ("skipped", "no_such_library not installed")


def test_a_row_is_skipped_where_transformers_is_too_old() -> None:
    job = Job(row=row("a", 1, None), measure=lambda: raised(AssertionError()), transformers=(99, 1))
    found, _ = card._measured(job, CPU)
    assert (found.state, found.reason) == ("skipped", f"needs transformers 99.1, not {transformers.__version__}")


@pytest.mark.slow
def test_a_card_that_takes_no_more_work_is_noticed() -> None:
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    job = Job(row=row("a", 1, None), measure=lambda: raised(broken))
    assert [card._measured(job, torch.device(name))[1] for name in ("cuda", "cpu")] == [True, False]


def test_the_table_compares_with_stock_and_fair_and_projects_an_epoch(tmp_path: Path) -> None:
    measured = Measured(
        per_second=10.0,
        tokens_per_second=4000.0,
        tflops=30.0,
        step_seconds=0.1,
        peak=9 * GB,
        reserved=11 * GB,
        loss=2.5,
    )
    rows = (
        row("stock: s", 4, replace(measured, per_second=2.0)),
        row("fair: f", 4, replace(measured, per_second=5.0)),
        row("+ ours", 4, replace(measured, encoder=GB), estimated=True),
        row("+ ours", 1, None, state="failed", reason="OutOfMemoryError: too much"),
        replace(row("", 1, Measured(per_second=16.0)), name="m: encoding", kind="encoding"),
    )
    estimates = (Estimate(row=rows[2].name, tensors=7 * GB, total=8 * GB),)
    results = Results(size="full", device=FACTS, rows=rows, estimates=estimates)
    write_table(tmp_path, results, [*rows, row("+ later", 1, None, state="running")], price=3.0, papers=1000)
    table = (tmp_path / "card.md").read_text()
    assert "- driver 1.2, torch 2.13, bitsandbytes is not installed" in table
    assert "| 4 | no | + ours | 10.00 | 5.00 | 2.00 | 4,000 | 30.0 | 9.00 | 11.00 | 8.00 | 2.5000 |" in table
    assert "| m: encoding | 16.00 images | - |" in table
    # 17,800 examples at 10 a second, and 6,200 images at 16 a second.
    assert "| m lora, batch 4, + ours | 6.5 | 29.7 | 1.81 |" in table
    assert "| m lora, batch 1, + ours | failed: OutOfMemoryError: too much |" in table
    assert "| m lora, batch 1, + later | not reached: run the same command again |" in table


def test_losses_that_differ_between_ways_are_pointed_out(tmp_path: Path) -> None:
    rows = (
        row("stock: s", 4, Measured(per_second=2.0, loss=2.5)),
        row("+ ours", 4, Measured(per_second=2.0, loss=2.6)),
    )
    write_table(tmp_path, Results(size="full", device=FACTS, rows=rows), rows, price=0.0, papers=1)
    assert "Wrong: losses of batch 4 differ: from 2.5000 to 2.6000" in (tmp_path / "card.md").read_text()


def test_nothing_is_begun_after_the_time_limit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert card.main([str(tmp_path), "--size", "tiny", "--models", "gemma3", "--minutes", "0"]) == 1
    rows = read_results(tmp_path, "tiny").rows
    assert {(row.state, row.reason) for row in rows} == {
        ("not reached", "time was up after 0 minutes: run the same command again")
    }
    assert "| gemma3: generation, batch 1 | not reached: time was up" in capfd.readouterr().out


def test_results_of_another_size_or_device_are_not_mixed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path, Results(size="full", device=FACTS))
    assert card.main([str(tmp_path), "--size", "tiny"]) == ExitCode.USAGE
    assert "is of the size full; give another folder" in capfd.readouterr().err
    options = card._parse([str(tmp_path), "--measure_until", str(time.time())])
    with pytest.raises(UsageError, match="has results of a card; give another folder"):
        card._measure(options)


DYING = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from benchmarks.card import _jobs, _parse
from benchmarks.card_results import Measured, read_results, write_results

folder, how = Path(sys.argv[1]), sys.argv[2]
rows = [job.row for job in _jobs(_parse([str(folder), "--size", "tiny", "--models", "gemma3", "--batches", "1"]))]
results = read_results(folder, "tiny")
if not results.rows:
    results = results.with_row(replace(rows[0], state="done", measured=Measured(per_second=1.0)))
    write_results(folder, results.with_row(rows[1]))
    if how == "dies":
        os._exit(9)
    time.sleep(600)
for row in rows:
    if not results.finished(row.name):
        results = results.with_row(replace(row, state="skipped", reason="enough"))
write_results(folder, results)
"""


@pytest.mark.slow
@each_row(("how", "seconds", "reason"), [("dies", 120, "exit code 9"), ("hangs", 1, "not done in 1 s")])
def test_a_process_that_dies_or_hangs_costs_one_row(tmp_path: Path, how: str, seconds: float, reason: str) -> None:
    arguments = [str(tmp_path), "--size", "tiny", "--models", "gemma3", "--batches", "1"]
    options = replace(card._parse(arguments), row_seconds=seconds)
    supervisor = card.Supervisor(options, [sys.executable, "-c", textwrap.dedent(DYING), str(tmp_path), how])
    supervisor.run()
    assert supervisor.finished
    first, second, *others = read_results(tmp_path, "tiny").rows
    assert (first.state, second.state) == ("done", "failed")
    assert reason in second.reason
    assert {row.state for row in others} == {"skipped"}


def test_rows_that_were_not_reached_are_written_as_such_and_are_measured_by_the_next_command(tmp_path: Path) -> None:
    options = card._parse([str(tmp_path), "--size", "tiny", "--models", "gemma3", "--batches", "1", "--minutes", "0"])
    supervisor = card.Supervisor(options, [])
    first, second, *others = supervisor._planned
    done = replace(first, state="done", measured=Measured(per_second=1.0))
    write_results(tmp_path, Results(size="tiny", device=FACTS, rows=(done, second)))
    supervisor.run()
    results = read_results(tmp_path, "tiny")
    assert [row.name for row in results.rows] == [first.name, second.name, *(row.name for row in others)]
    assert [row.state for row in results.rows] == ["done", *("not reached" for _ in (second, *others))]
    assert [results.finished(row.name) for row in results.rows] == [True, *(False for _ in (second, *others))]


@pytest.mark.slow
def test_a_process_ends_itself_when_time_is_up(tmp_path: Path) -> None:
    write_results(tmp_path, Results(size="tiny", device=replace(FACTS, name=device_name(resolve_device("auto")))))
    script = (
        "import sys, time; from benchmarks import card; card._jobs = lambda _: time.sleep(60); card.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, str(tmp_path), "--size", "tiny", "--measure_until", str(time.time() + 1)]
    assert subprocess.run(command, check=False).returncode == card.DEVICE_LOST


class Allocations(TorchDispatchMode):
    """Records the largest number of elements of new tensors, by device and dtype."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest: dict[tuple[str, torch.dtype], int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                key = (tensor.device.type, tensor.dtype)
                self.largest[key] = max(self.largest.get(key, 0), tensor.numel())
        return result


@pytest.mark.slow
@each_row("name", sorted(OFFLINE))
def test_weights_of_full_size_are_drawn_on_the_device_alone_and_never_in_float32(name: str) -> None:
    with Allocations() as found:
        model = random_model(OFFLINE[name].config(), torch.device("meta"))
    assert sum(weight.numel() for weight in model.parameters()) > 2.5e9
    assert found.largest["meta", torch.bfloat16] > 5e8
    assert all(size < 1e6 for key, size in found.largest.items() if key != ("meta", torch.bfloat16))


@each_row("name", sorted(OFFLINE))
def test_full_size_is_described_without_network(tmp_path: Path, name: str) -> None:
    folder = described_model(tmp_path, name, "full")
    assert not list(folder.glob("*.safetensors"))
    assert described_model(tmp_path, name, "full") == folder


@pytest.mark.slow
def test_every_row_is_measured_with_tiny_models_and_only_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [str(tmp_path), "--size", "tiny", "--models", "gemma3", "--batches", "2", "--price", "2"]
    assert card.main([*command, "--minutes", "20"]) == ExitCode.DONE
    results = read_results(tmp_path, "tiny")
    assert [(row.name, row.state, row.reason) for row in results.rows if row.state != "done"] == []
    assert {row.kind for row in results.rows} == {"training", "run", "encoding", "generation", "loading"}
    lora = [row.measured for row in results.rows if row.kind == "training" and row.mode == "lora"]
    losses = [found.loss for found in lora if found is not None and found.loss is not None]
    assert len(losses) == 12
    assert max(losses) == pytest.approx(min(losses), rel=1e-4)
    assert {each.row for each in results.estimates} == {row.name for row in results.rows if row.estimated}
    before = (tmp_path / "card.json").read_bytes()
    assert card.main([*command, "--minutes", "0"]) == ExitCode.DONE
    assert (tmp_path / "card.json").read_bytes() == before
    assert "## One epoch of 258 papers, projected" in capfd.readouterr().out
    assert card.main([*command, "--minutes", "0", "--again", "generation"]) == 1
    assert "| gemma3: generation, batch 8 | not reached" in capfd.readouterr().out
