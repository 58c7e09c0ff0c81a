"""A run on the CPU leaves the cards alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os, sys
import torch

def touched(*_):
    raise AssertionError("CUDA was initialized")

# A machine with a card, as torch reports it: in sight unless the environment hides it.
torch.cuda.is_available = lambda: os.environ.get("CUDA_VISIBLE_DEVICES") != ""
torch.cuda._lazy_init = touched
assert torch.cuda.is_available()

import main
code = main.main([
    "--preset", "demo", "--device", "cpu", "--steps", "extract", "prepare", "setup", "train",
    "--work_dir", sys.argv[1], "--output_dir", sys.argv[2],
    "--train.epochs", "0.2", "--train.evaluations", "1", "--train.answers", "1", "--train.trackers",
])
assert not torch.cuda.is_initialized()
assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
sys.exit(code)
"""


def test_a_run_on_the_cpu_takes_no_memory_of_a_card(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "work"), str(tmp_path / "output")]
    # Tests that ran here before have hidden the cards of this process.
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
