"""Damaged images of every format: each row is used or rejected with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.damaged_images import main


@pytest.mark.slow
def test_every_damaged_image_is_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "images"), "--images", "60"]) == 0
    assert "74 of 74 rows accounted for" in capsys.readouterr().out
