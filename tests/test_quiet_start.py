"""Libraries say nothing of their own on a run's screen, except what is a warning indeed."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

import figtune
from tests.conftest import ROOT

_NOISE = "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please make sure ..."


@pytest.mark.slow
def test_importing_what_training_imports_prints_nothing() -> None:
    code = "import figtune.models.loading, bitsandbytes"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_only_the_one_known_message_is_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    assert figtune.__doc__, "imported, which sets the filter"
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.warning(_NOISE, "No module named 'kernels'")
    logger.warning("Failed to load the CPU library")
    assert [record.getMessage() for record in caplog.records] == ["Failed to load the CPU library"]
