"""Levels of logging: by default, with --quiet and with --verbose; who speaks among several processes."""

from __future__ import annotations

import logging

import pytest

from figtune.core.log import configure_logging, print_result, progress_bar
from tests.rows import each_row

logger = logging.getLogger("figtune.somewhere")


def _say_everything() -> None:
    logger.debug("debug")
    logger.info("info")
    logger.warning("warning")
    logger.error("error")
    print_result("data")


@each_row(
    ("quiet", "verbose", "said"),
    [
        (False, False, ["info", "warning", "error"]),
        (True, False, ["warning", "error"]),
        (False, True, [f"figtune.somewhere: {level}" for level in ("debug", "info", "warning", "error")]),
    ],
)
def test_levels(quiet: bool, verbose: bool, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for variable in ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY"):
            patched.setenv(variable, "warning")
        configure_logging(quiet=quiet, verbose=verbose)
        _say_everything()
    printed = capsys.readouterr()
    assert printed.err.splitlines() == said
    assert printed.out == "data\n"


def test_configuring_again_says_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(quiet=True)
    configure_logging()
    logger.info("once")
    assert capsys.readouterr().err == "once\n"


@each_row("quiet", [False, True])
def test_a_progress_bar_is_shown_unless_quiet(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(quiet=quiet)
    assert list(progress_bar(range(3), total=3, title="reading", unit="paper")) == [0, 1, 2]
    assert ("reading" in capsys.readouterr().err) is not quiet


def test_only_rank_zero_speaks_unless_said_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    _say_everything()
    logger.error("from here too", extra={"on_all_ranks": True})
    printed = capsys.readouterr()
    assert printed.err == "from here too\n"
    assert printed.out == ""
