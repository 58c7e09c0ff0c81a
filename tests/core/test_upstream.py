"""Artifacts that a run reads and does not make are named where they differ from what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from config import Config
from figtune.core.artifacts import Dependency, Stage
from figtune.core.settings import Value
from figtune.core.stages import StageResult, plan, run_if_stale
from figtune.core.upstream import log_differences, with_upstream_settings
from tests.rows import each_row


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings of a run in which content, data set and adapter are made already."""
    settings = Config(work_dir=tmp_path / "work", output_dir=tmp_path / "output")
    _make(settings, *_stages(settings))
    return settings


def _stages(config: Config, dpi: int = 200, tasks: tuple[str, ...] = ("caption",), **prepare: Value) -> list[Stage]:
    """Return extract, prepare, train and test, with some of their settings."""
    return [
        _stage(config, "extract", {"extract.dpi": dpi}),
        _stage(config, "prepare", {"prepare.tasks": tasks, "gone": 1, **prepare}, "extract"),
        _stage(config, "train", {"train.epochs": 3}, "prepare"),
        _stage(config, "test", {}, "prepare", "train"),
    ]


def _stage(config: Config, name: str, settings: Mapping[str, Value], *needs: str) -> Stage:
    folders = config.folders
    return Stage(
        name=name,
        version=1,
        folder=folders.get(name, config.evaluation_dir),
        command=name,
        settings=settings,
        needs=tuple(Dependency(stage=need, folder=folders[need], command=need) for need in needs),
        outputs=(),
    )


def _make(config: Config, *stages: Stage) -> None:
    for stage in stages:
        run_if_stale(stage, lambda _: StageResult(counts={}), lock_folders=(config.work_dir,), force=False)


CAPTIONS = "prepare.tasks caption -> caption explain analyze describe read question"


@each_row(
    ("steps", "changed", "said"),
    [
        (
            "train",
            {},
            [f"dataset is used as it was made, with other settings: {CAPTIONS}; make it anew with: python p"],
        ),
        ("prepare train", {}, []),
        ("extract prepare train test", {"train": {"epochs": 9}}, []),
        ("prepare", {"extract": {"dpi": 90}}, ["content is used as it was made, with other settings: extract.dpi 200"]),
        ("train", {"extract": {"dpi": 90}}, ["dataset is used", "content is used"]),
        ("test", {"prepare": {"tasks": ("caption",)}, "train": {"epochs": 9}}, ["output is used as it was made, with"]),
        ("train", {"prepare": {"tasks": ("caption",)}, "data": {"source": "x"}}, ["other settings: data.source  -> x"]),
        ("train", {"prepare": {"tasks": ("caption",)}, "data": {"limit": 3}}, []),
    ],
)
def test_settings_that_no_step_of_a_run_applies_are_named(
    steps: str,
    changed: Mapping[str, Mapping[str, object]],
    said: list[str],
    config: Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    asked = replace(config, **{name: replace(getattr(config, name), **of_it) for name, of_it in changed.items()})
    chosen = [stage for stage in _stages(config) if stage.name in steps.split()]
    log_differences(plan(chosen, force=False), asked)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True)), lines


@each_row(
    ("made", "steps", "earlier"),
    [
        ("extract", "train", "dataset was made from an earlier"),
        ("extract prepare", "test", "output was made from an earlier"),
        ("", "extract train", "dataset was made from an earlier"),
        ("extract prepare train", "test", ""),
    ],
)
def test_what_was_made_from_an_earlier_artifact_is_named(
    made: str, steps: str, earlier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(work_dir=tmp_path / "work", output_dir=tmp_path / "output")
    _make(config, *_stages(config))
    again = _stages(config, dpi=300)
    _make(config, *(stage for stage in again if stage.name in made.split()))
    capsys.readouterr()
    log_differences(plan([stage for stage in again if stage.name in steps.split()], force=False), config)
    assert (f"{earlier} " if earlier else "") in capsys.readouterr().err
    assert bool(earlier) == (" from an earlier " in _said(config, steps, again, capsys))


def _said(config: Config, steps: str, stages: list[Stage], capsys: pytest.CaptureFixture[str]) -> str:
    log_differences(plan([stage for stage in stages if stage.name in steps.split()], force=False), config)
    return capsys.readouterr().err


def test_the_settings_of_a_result_are_those_of_what_it_was_made_from(config: Config) -> None:
    train = _stages(config)[2]
    asked = replace(config, train=replace(config.train, epochs=9.0), data=replace(config.data, source="scans"))
    result = with_upstream_settings(asked, train)
    assert result.prepare.tasks == ("caption",)
    assert (result.train.epochs, result.data.source) == (9.0, "")
    assert replace(result, prepare=config.prepare, train=config.train) == config


def test_a_value_that_is_none_any_more_leaves_the_settings_as_given(config: Config) -> None:
    _make(config, *_stages(config, tasks=("summarize",)))
    assert with_upstream_settings(config, _stages(config)[2]) == config
