"""Damage every file of every artifact in several ways, run the next stage, and say how many cases held.

A case holds where the stage ends in one line that says what to type, or makes the same bytes as without the damage,
since it does not read that file. Takes about ten minutes:

    python -m tests.damage FOLDER
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from figtune.core.io import sha256_of
from figtune.core.log import print_result

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["figtune.training.train", "figtune.evaluation.evaluate", "figtune.dataset.build_from_papers", "main", __name__]
)
SMALL = ("--train.epochs", "1", "--train.evaluations", "1", "--train.answers", "0", "--test.max_new_tokens", "2")
_CLEAN = (3, 4, 5, 6)
_LONGEST = 180.0  # seconds
_MANY = 3
"""Files of one folder that are damaged: crops are all alike."""


def _truncate(file: Path) -> None:
    _rewrite(file, file.read_bytes()[: file.stat().st_size // 2])


def _cut_at_a_line(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    _rewrite(file, b"".join(lines[: len(lines) // 2]))


def _garble(file: Path) -> None:
    _rewrite(file, bytes(byte ^ 0x55 for byte in file.read_bytes()))


def _empty(file: Path) -> None:
    _rewrite(file, b"")


def _remove(file: Path) -> None:
    file.unlink()


def _put_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _put_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _rewrite(file: Path, data: bytes) -> None:
    # Another file in its place: the copies of a run share their files with it.
    file.unlink()
    file.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut in half": _truncate,
    "cut at a line end": _cut_at_a_line,
    "garbled": _garble,
    "emptied": _empty,
    "removed": _remove,
    "a folder in its place": _put_folder,
    "a pipe in its place": _put_pipe,
}


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A stage that reads an artifact, and the file of its own that shows whether it made the same."""

    artifact: str
    script: str
    result: str


READERS = (
    Reader(artifact="work/content", script="prepare_data", result="work/dataset/train.jsonl"),
    Reader(artifact="work/dataset", script="train_model", result="output/adapter/adapter_model.safetensors"),
    Reader(artifact="work/model", script="train_model", result="output/adapter/adapter_model.safetensors"),
    Reader(artifact="output", script="test_model", result="output/evaluation/predictions.jsonl"),
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """End of a stage."""

    code: int | None
    """None where it did not end."""
    said: str
    result: str
    """The sha256 of what it made; empty without."""
    rejected: bool = False
    """A picture that is damaged and as large as before is rejected with its reason, and counted."""


def run_stage(folder: Path, script: str, result: str, *flags: str) -> Ended:
    """Run a stage of a run in `folder` in a process of its own."""
    log = folder / "said.txt"
    arguments = ("--preset", "demo", "--work_dir", f"{folder}/work", "--output_dir", f"{folder}/output", *SMALL, *flags)
    process = _FORKS.Process(target=_enter, args=(script, arguments, log))
    process.start()
    process.join(_LONGEST)
    if process.is_alive():
        process.kill()
        process.join()
        return Ended(code=None, said="did not end", result="")
    made, rejections = folder / result, folder / "work" / "dataset" / "rejected.jsonl"
    return Ended(
        code=process.exitcode,
        said=log.read_text(errors="replace"),
        result=sha256_of(made) if made.is_file() else "",
        rejected=script == "prepare_data" and rejections.is_file() and b"unreadable_crop" in rejections.read_bytes(),
    )


def _enter(script: str, arguments: tuple[str, ...], log: Path) -> None:
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(opened, sys.stdout.fileno())
    os.dup2(opened, sys.stderr.fileno())
    sys.exit(importlib.import_module(script).main(arguments))


def holds(ended: Ended, wanted: Ended) -> bool:
    """Return True for a clean end, or the same result as without damage."""
    if ended.code == 0:
        return ended.result == wanted.result or ended.rejected
    errors = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    return ended.code in _CLEAN and len(errors) == 1 and "Traceback" not in ended.said


def copy_of(run: Path, target: Path) -> Path:
    """Copy a run without its data: every file is the same one until it is replaced."""
    shutil.copytree(run, target, copy_function=os.link)
    return target


def files_of(artifact: Path) -> Iterator[Path]:
    """Yield files of an artifact, some of each folder with many, and none of another artifact below it."""
    taken: dict[Path, int] = {}
    for file in sorted(artifact.rglob("*")):
        below = file.relative_to(artifact).parts
        if (
            not file.is_file()
            or below[0] in ("evaluation", "tensorboard", ".papers", "checkpoints")
            or ".lock" in below
        ):
            continue
        folder = file.parent if len(below) < 3 else file.parent.parent
        taken[folder] = taken.get(folder, 0) + 1
        if len(below) < 3 or taken[folder] <= _MANY:
            yield file


def main(folder: Path) -> int:
    """Make a small run in `folder`, damage copies of it, and print what did not hold."""
    run = folder / "run"
    if not run.exists():
        made = run_stage_all(run)
        if made.code != 0:
            print_result(made.said)
            return 1
    held = cases = 0
    for reader in READERS:
        wanted = run_stage(copy_of(run, folder / "whole"), reader.script, reader.result, "--force")
        shutil.rmtree(folder / "whole")
        for file in files_of(run / reader.artifact):
            name = file.relative_to(run)
            for what, damage in DAMAGES.items():
                copy = copy_of(run, folder / "case")
                damage(copy / name)
                ended = run_stage(copy, reader.script, reader.result, "--force")
                shutil.rmtree(copy)
                cases += 1
                if holds(ended, wanted):
                    held += 1
                else:
                    print_result(f"{name} {what}, {reader.script}: code {ended.code}\n{ended.said[-1500:]}")
        print_result(f"{reader.artifact}: {held} of {cases} held so far")
    print_result(f"{held} of {cases} held")
    return 0 if held == cases else 1


def run_stage_all(run: Path) -> Ended:
    """Run all stages."""
    run.mkdir(parents=True)
    return run_stage(run, "main", "output/evaluation/predictions.jsonl")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
