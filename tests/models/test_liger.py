"""The fused loss where it is installed: the real kernel, run on a CPU by the interpreter, against the plain loss."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from figtune.models import liger

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(find_spec("liger_kernel") is None, reason="Liger and Triton are for Linux")
def test_the_kernel_gives_the_loss_and_the_gradients_of_the_plain_way(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.models.liger_on_cpu", str(tmp_path)]
    # The interpreter is chosen when Triton is imported.
    surroundings = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("liger-kernel") == 1


def test_a_cpu_has_no_fused_loss() -> None:
    assert liger.fused_loss(torch.device("cpu")) is None
