"""A model is asked as it was trained, whether the flags of its training are given again or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from config import PREPARE, Config
from figtune.core.settings import encode
from figtune.core.upstream import RESULT_SETTINGS_FILE, settings_of_result
from figtune.inference.paper_figures import ExampleSettings, PromptSpec, spec_as_trained
from tests.rows import each_row

PAPERS: Mapping[str, Mapping[str, object]] = {}
WITH_WORDS = {"prepare": {"figure_words": True, "max_context_words": 40}}
SCANS = {"data": {"source": "scans.jsonl", "prompt": "Report on this scan."}}


def _config(output: Path, changed: Mapping[str, Mapping[str, object]]) -> Config:
    config = Config(output_dir=output)
    return replace(config, **{name: replace(getattr(config, name), **of_it) for name, of_it in changed.items()})


def _spec(config: Config) -> PromptSpec:
    trained = settings_of_result(config.output_dir, config)
    given, of_training = ExampleSettings(config.data, config.prepare), ExampleSettings(trained.data, trained.prepare)
    return spec_as_trained(config.task, config.prompt, given, of_training, PREPARE)


@each_row(
    ("trained", "asked", "prompt", "words", "context"),
    [
        (PAPERS, PAPERS, None, False, 100),
        (WITH_WORDS, PAPERS, None, True, 40),
        (WITH_WORDS, {"prepare": {"max_context_words": 70}}, None, True, 70),
        (SCANS, PAPERS, "Report on this scan.", False, 100),
        (SCANS, {"data": {"source": "x", "prompt": "Name it."}}, "Name it.", False, 100),
        (PAPERS, SCANS, "Report on this scan.", False, 100),
    ],
)
def test_prompts_are_those_of_training_but_for_what_is_given(
    trained: Mapping[str, Mapping[str, object]],
    asked: Mapping[str, Mapping[str, object]],
    prompt: str | None,
    words: bool,
    context: int,
    tmp_path: Path,
) -> None:
    (tmp_path / RESULT_SETTINGS_FILE).write_bytes(encode(_config(tmp_path, trained)))
    spec = _spec(_config(tmp_path, asked))
    assert spec.dataset_prompt == prompt
    assert (spec.prepare.figure_words, spec.prepare.max_context_words) == (words, context)


@each_row("content", [None, b"{", b'{"gone": 1}'])
def test_without_readable_settings_beside_the_model_those_given_hold(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / RESULT_SETTINGS_FILE).write_bytes(content)
    config = _config(tmp_path, {**SCANS, **WITH_WORDS})
    spec = _spec(config)
    assert (spec.dataset_prompt, spec.prepare) == ("Report on this scan.", config.prepare)
