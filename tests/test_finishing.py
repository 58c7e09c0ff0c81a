"""--merge and --push_to_hub as users type them, on a model that is trained already."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Demo
from tests.hub_server import serving


def test_merging_trains_nothing_again_and_is_done_once(demo: Demo) -> None:
    trained = (demo.output_dir / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    shutil.rmtree(demo.output_dir / "merged", ignore_errors=True)  # another test may have merged it
    ran = demo.run("--steps", "train", "--merge")
    assert ran.code == 0, ran.stderr
    merged = demo.output_dir / "merged"
    assert "train    up to date" in ran.stderr
    assert "merged model agrees with the adapter: over " in ran.stderr
    assert f"vllm serve {merged}" in ran.stderr
    assert (demo.output_dir / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == trained
    assert demo.run("--steps", "train", "--merge", "--dry_run").stdout.splitlines() == [
        "train: up to date",
        "merge: up to date",
    ]
    (merged / "config.json").write_text("{}")
    told = demo.run("--steps", "train", "--merge", "--dry_run", "--train.epochs", "41").stdout.splitlines()
    assert told[1] == "merge: made anew: train"


def test_gguf_follows_the_merge_and_needs_a_tokenizer_that_llama_cpp_reads(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text("")
    asked = ("--steps", "train", "--gguf", str(tmp_path))
    planned = demo.run(*asked, "--dry_run").stdout.splitlines()
    assert [line.partition(":")[0] for line in planned] == ["train", "merge", "gguf"]
    assert planned[2] == "gguf: not made yet"
    ran = demo.run(*asked)
    assert (ran.code, "tiny-gemma3 has no tokenizer.model" in ran.stderr) == (3, True), ran.stderr
    assert not list((demo.output_dir / "gguf").glob("*.gguf"))
    assert not (demo.output_dir / ".partial-gguf").exists()
    assert demo.run(*asked, "--dry_run").stdout.splitlines()[1] == "merge: up to date"


def test_pushing_needs_no_training_and_says_where_it_went(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(monkeypatch, tmp_path) as hub:
        for name, value in {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        ran = demo.run("--steps", "train", "--push_to_hub", "someone/figures")
        assert ran.code == 0, ran.stderr
        assert f"push: {hub.address}/someone/figures" in ran.stderr
        assert "adapter/adapter_model.safetensors" in hub.models["someone/figures"]
        assert "hf_secret" not in ran.stderr + "".join(map(str, hub.models["someone/figures"].values()))
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "nobody"))
        refused = demo.run("--force", "--push_to_hub", "someone/figures")
        assert (refused.code, "no Hub token on this machine" in refused.stderr) == (6, True), (
            "before anything is trained"
        )


def test_several_processes_are_told_that_one_is_enough(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    ran = demo.run("--merge", "--dry_run")
    assert ran.code == 2
    assert "without a launcher" in ran.stderr
