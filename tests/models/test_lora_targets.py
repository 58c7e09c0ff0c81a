"""Parts that the settings of an adapter train, and settings that are refused before anything else is done."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import MODEL
from figtune.core.errors import FigtuneError, ResourceError, UsageError
from figtune.models.availability import check_setup
from figtune.models.families import TINY_TYPES, family_of
from figtune.models.lora_targets import PARTS, Targets, targets_of, trains_vision
from figtune.models.model_parts import DECODER_LAYERS, SIGLIP_LAYERS
from figtune.models.records import AdapterMode, Dtype, Part
from figtune.models.settings import AdapterSettings, SetupSettings
from figtune.models.tiny import TINY_MODELS
from tests.hub_server import COMMIT, serving
from tests.rows import each_row


def adapter(*targets: str, mode: AdapterMode = "lora", freeze: tuple[Part, ...] = ()) -> AdapterSettings:
    return AdapterSettings(mode=mode, rank=4, alpha=8, dropout=0.0, targets=targets or ("decoder",), freeze=freeze)


def choice(name: str, of: AdapterSettings, dtype: Dtype = "auto") -> SetupSettings:
    model = replace(MODEL, name=name, dtype=dtype, max_length=64)
    return SetupSettings(model=model, adapter=of, seed=0)


@each_row(
    ("asked", "wanted"),
    [
        (("decoder",), Targets(decoder=DECODER_LAYERS)),
        (("decoder+projector",), Targets(decoder=DECODER_LAYERS, fully_trained_parts=("projector",))),
        (("projector", "decoder"), Targets(decoder=DECODER_LAYERS, fully_trained_parts=("projector",))),
        (("decoder", "+vision"), Targets(decoder=DECODER_LAYERS, vision=SIGLIP_LAYERS)),
        (("decoder+vision",), Targets(decoder=DECODER_LAYERS, vision=SIGLIP_LAYERS)),
        (("v_proj", "q_proj"), Targets(decoder=("q_proj", "v_proj"))),
        (("vision", "up_proj"), Targets(decoder=("up_proj",), vision=SIGLIP_LAYERS)),
        (("projector",), Targets(fully_trained_parts=("projector",))),
    ],
)
@each_row("mode", ["lora", "qlora"])
def test_targets_are_names_and_words_joined_by_plus_or_spaces(
    mode: AdapterMode, asked: tuple[str, ...], wanted: Targets
) -> None:
    assert targets_of(adapter(*asked, mode=mode), family_of("gemma3", "")) == wanted


@given(st.sets(st.sampled_from(PARTS), max_size=2))
def test_full_mode_trains_what_is_not_frozen(frozen: set[Part]) -> None:
    targets = targets_of(adapter(mode="full", freeze=tuple(frozen)))
    assert set(targets.parts) == set(targets.fully_trained_parts) == set(PARTS) - frozen
    assert trains_vision(adapter(mode="full", freeze=tuple(frozen))) is ("vision" not in frozen)


@each_row(
    ("asked", "message"),
    [
        (adapter("decoder", "projector", freeze=("projector",)), "freeze projector contradicts --adapter.targets"),
        (adapter("q_proj", freeze=("text",)), "freeze text contradicts --adapter.targets"),
        (adapter("decoder+vision", freeze=("vision", "text")), "freeze vision text contradicts"),
        (adapter(mode="projector", freeze=("projector",)), "contradicts --adapter.mode projector"),
        (adapter(mode="full", freeze=PARTS), "nothing is left to train"),
        (adapter("encoder"), "no encoder to adapt; .*decoder projector vision q_proj"),
        (adapter("+"), "names nothing to train"),
        (adapter("fc1"), "no fc1 to adapt"),
    ],
)
def test_contradictions_are_refused(asked: AdapterSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        targets_of(asked)


@each_row("asked", [adapter(freeze=("vision", "projector")), adapter(mode="projector", freeze=("vision", "text"))])
def test_freezing_what_is_not_trained_anyway_is_no_contradiction(asked: AdapterSettings) -> None:
    assert not set(targets_of(asked).parts) & set(asked.freeze)


@each_row(
    ("name", "of", "dtype", "error", "message"),
    [
        ("google/gemma-3-4b-pt", adapter("nothing"), "auto", UsageError, "no nothing to adapt"),
        ("tiny-gemma3", adapter(), "float16", UsageError, "Gemma 3 overflows in float16"),
        ("folder", adapter(), "float16", UsageError, "Gemma 3 overflows in float16"),
        ("other", adapter(), "auto", ResourceError, 'a "llava" model, which is not supported'),
        ("cached/gemma", adapter(), "float16", UsageError, "Gemma 3 overflows in float16"),
    ],
)
def test_what_can_be_known_is_refused_before_anything_is_fetched(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    of: AdapterSettings,
    dtype: Dtype,
    error: type[FigtuneError],
    message: str,
) -> None:
    for folder, model_type in (("folder", "gemma3"), ("other", "llava")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    monkeypatch.chdir(tmp_path)
    with serving(monkeypatch, tmp_path) as server:
        kept = tmp_path / "cache" / "models--cached--gemma"
        (kept / "snapshots" / COMMIT).mkdir(parents=True)
        (kept / "refs").mkdir()
        (kept / "refs" / "main").write_text(COMMIT)
        (kept / "snapshots" / COMMIT / "config.json").write_text('{"model_type": "gemma3"}')
        with pytest.raises(error, match=message):
            check_setup(choice(name, of, dtype))
        assert server.asked == []


@each_row("name", ["google/gemma-3-4b-pt", "nowhere", "tiny-paligemma", "not a name"])
def test_what_cannot_be_known_yet_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with serving(monkeypatch, tmp_path) as server:
        check_setup(choice(name, adapter(), "float16"))
        assert server.asked == []


def test_checking_needs_no_torch() -> None:
    code = "import sys, setup_model; from figtune.models.availability import check_setup; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_all_tiny_models_are_known_without_building_them() -> None:
    assert set(TINY_TYPES) == set(TINY_MODELS)
