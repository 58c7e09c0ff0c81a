"""GGUF files by llama.cpp's own converter answer as the merged model, or are not written.

$FIGTUNE_LLAMA_CPP names a folder of llama.cpp; its server, built there or on the PATH, and `pip install -r
requirements-gguf.txt` are needed too. Without it, what goes before and after the conversion is tried.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from config import Config
from figtune.batching.tokenization import tokenize_prompt
from figtune.core.errors import InputError, ResourceError, UsageError
from figtune.export.gguf import GgufCheck, compare_answers, export_gguf
from figtune.export.llama_cpp import LlamaCpp, check_convertible, find_llama_cpp
from figtune.export.merge import export_merged
from figtune.export.merge_check import MergeCheckExample, completion_logits, sample_examples
from figtune.export.post_training import post_training_stages
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.served_model import ChosenToken, ServedAnswer
from figtune.models.families import family_of
from figtune.models.gemma3 import Gemma3
from figtune.models.loading import load_base_model
from figtune.models.records import GGUF_CONTENTS, Quantization
from figtune.models.setup import set_up_model
from tests.conftest import run_script
from tests.inference.trained_model import write_dataset, write_trained_model
from tests.models.hub_layout import write_gguf_base
from tests.models.tuned import choice

pytestmark = pytest.mark.slow

LLAMA_CPP = os.environ.get("FIGTUNE_LLAMA_CPP")
CPU = torch.device("cpu")
needs_llama_cpp = pytest.mark.skipif(LLAMA_CPP is None, reason="$FIGTUNE_LLAMA_CPP names no folder of llama.cpp")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data set, base model in the Hub's layout, and OUTPUT with LoRA everywhere, merged."""
    folder = tmp_path_factory.mktemp("gguf")
    write_gguf_base(folder / "base")
    set_up_model(folder / "output", choice(str(folder / "base"), ("decoder", "projector", "vision")))
    weights = folder / "output" / "adapter" / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(5)
    moved = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in _sorted(weights)}
    save_file(moved, weights, metadata={"format": "pt"})
    write_dataset(folder / "dataset", test_papers=2)
    export_merged(folder / "dataset", folder / "output", folder / "output" / "merged", "cpu")
    return folder


def _sorted(weights: Path) -> list[tuple[str, torch.Tensor]]:
    return sorted(load_file(weights).items())


def exported(work: Path, folder: Path, programs: LlamaCpp, quantization: Quantization = "bf16") -> GgufCheck | None:
    folder.mkdir()
    merged = work / "output" / "merged"
    return export_gguf(work / "dataset", work / "output", merged, folder, programs, quantization)


@needs_llama_cpp
@pytest.mark.parametrize(("quantization", "allowed"), [("bf16", 0.05), ("q8_0", 0.1)])
def test_llama_cpp_answers_as_the_merged_model(
    work: Path, tmp_path: Path, quantization: Quantization, allowed: float
) -> None:
    programs = find_llama_cpp(Path(str(LLAMA_CPP)), quantization)
    assert programs.server is not None, "a llama-server in the folder or on the PATH"
    folder = tmp_path / "gguf"
    (tmp_path / "made").touch()
    found = exported(work, folder, programs, quantization)
    assert found is not None
    assert found.passes
    assert found.tokens > 20
    assert found.difference < allowed
    assert {path.name for path in folder.iterdir()} == set(GGUF_CONTENTS)
    assert found.sentence in (folder / "README.md").read_text()
    assert {path.stat().st_mode & 0o444 for path in folder.iterdir()} == {(tmp_path / "made").stat().st_mode & 0o444}
    contents = (folder / "text.gguf").read_bytes() + (folder / "mmproj.gguf").read_bytes()
    assert str(work).encode() not in contents


@needs_llama_cpp
def test_another_layout_than_the_trained_one_is_found(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Gemma3.gguf_template
    monkeypatch.setattr(Gemma3, "gguf_template", lambda *given: template(*given).replace("\n\n", ""))
    programs = find_llama_cpp(Path(str(LLAMA_CPP)), "bf16")
    with pytest.raises(ResourceError, match="the GGUF files disagree with the merged model"):
        exported(work, tmp_path / "gguf", programs)


@needs_llama_cpp
def test_without_a_server_it_is_said_that_nothing_was_checked(work: Path, tmp_path: Path) -> None:
    programs = replace(find_llama_cpp(Path(str(LLAMA_CPP)), "q8_0"), server=None)
    assert exported(work, tmp_path / "gguf", programs, "q8_0") is None
    assert "Not checked" in (tmp_path / "gguf" / "README.md").read_text()


@pytest.mark.parametrize("turns", [False, True])
def test_the_template_of_llama_cpp_lays_out_as_in_training(work: Path, turns: bool) -> None:
    family = family_of("gemma3", "")
    processor: Any = family.load_processor(work / "output" / "processor")
    if turns:
        processor.chat_template = "<start_of_turn>"
        processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    template = jinja2.Environment(autoescape=False).from_string(family.gguf_template(processor))
    marker, prompt = "<__media_x1__>", "Describe this figure. The paper says: a__>b."
    image = "<start_of_image>" + "<image_soft_token>" * processor.image_seq_length + "<end_of_image>"
    trained = tokenize_prompt(family, processor, prompt, family.image_layout(processor, (10, 10))).input_ids
    for content in (f"{marker}{prompt}", f"{marker}\n\n{prompt} ", f" {prompt}{marker}"):
        text = template.render(bos_token="<bos>", messages=[{"role": "user", "content": content}])
        assert tuple(processor.tokenizer.encode(text.replace(marker, image), add_special_tokens=False)) == trained


def test_answers_are_compared_token_by_token(work: Path) -> None:
    record = read_adapter_record(work / "output")
    family = family_of(record.family, record.name)
    examples = sample_examples(work / "dataset", family, family.load_processor(work / "output" / "processor"), record)
    model = load_base_model(work / "output" / "merged", family, torch.float32, CPU, "sdpa")
    answers = [ServedAnswer(text="", tokens=5, ended_with_eos=False, chosen=_greedy(model, each)) for each in examples]
    same = compare_answers(model, examples, answers, 0.95)
    assert (same.agreement, same.passes, same.tokens) == (1.0, True, 5 * len(examples))
    assert same.difference < 1e-4
    swapped = compare_answers(model, examples, answers[::-1], 0.95)
    assert not swapped.passes
    mute = [replace(answer, chosen=()) for answer in answers]
    with pytest.raises(ResourceError, match="does not tell the tokens"):
        compare_answers(model, examples, mute, 0.95)


def _greedy(model: torch.nn.Module, example: MergeCheckExample) -> tuple[ChosenToken, ...]:
    chosen: list[ChosenToken] = []
    for _ in range(5):
        ids = [token.id or 0 for token in chosen]
        (logits,) = completion_logits(model, [example.answered_by([*ids, 0])])
        logs = F.log_softmax(logits[-1], dim=-1)
        chosen.append(ChosenToken(id=int(logs.argmax()), logprob=float(logs.max())))
    return tuple(chosen)


def _program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script)
    file.chmod(0o755)


def test_programs_are_found_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UsageError, match=r"has no convert_hf_to_gguf\.py; give a folder of llama\.cpp"):
        find_llama_cpp(tmp_path, "q8_0")
    _program(tmp_path, "convert_hf_to_gguf.py", "")
    assert find_llama_cpp(tmp_path, "q8_0").server is None
    with pytest.raises(UsageError, match="q4_k_m needs llama-quantize"):
        find_llama_cpp(tmp_path, "q4_k_m")
    _program(tmp_path, "build/bin/llama-quantize", "#!/bin/sh\n")
    _program(tmp_path, "path/llama-server", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    found = find_llama_cpp(tmp_path, "q4_k_m")
    assert found.quantizer == tmp_path / "build" / "bin" / "llama-quantize"
    assert found.server == tmp_path / "path" / "llama-server"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys; sys.exit('BPE pre-tokenizer was not recognized')", "converter failed: BPE pre-tokenizer"),
        ("import no_such_package", r"lacks a package: .*no_such_package.*pip install -r requirements-gguf\.txt"),
    ],
)
def test_a_converter_that_fails_is_quoted(work: Path, tmp_path: Path, script: str, told: str) -> None:
    _program(tmp_path, "convert_hf_to_gguf.py", script)
    with pytest.raises(ResourceError, match=told):
        exported(work, tmp_path / "gguf", find_llama_cpp(tmp_path, "q8_0"))
    assert list((tmp_path / "gguf").iterdir()) == []


def test_models_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    programs = LlamaCpp(converter=tmp_path / "none", quantizer=None, server=None)
    write_dataset(tmp_path / "dataset", test_papers=1)
    write_trained_model(tmp_path / "output", name="tiny-paligemma")
    with pytest.raises(UsageError, match="PaliGemma cannot become GGUF"):
        exported(tmp_path, tmp_path / "gguf", programs)
    write_trained_model(tmp_path / "output", name="tiny-gemma3")
    with pytest.raises(UsageError, match="cuts no tiles"):
        check_convertible(replace(read_adapter_record(tmp_path / "output"), tiles=4))
    (tmp_path / "output" / "merged").mkdir()
    with pytest.raises(InputError, match=r"has no tokenizer\.model"):
        exported(tmp_path, tmp_path / "again", programs)


def test_a_model_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    write_trained_model(tmp_path / "model", name="tiny-paligemma")
    settings = Config(work_dir=tmp_path, gguf=tmp_path)
    (_, gguf) = post_training_stages(settings, "tiny-paligemma")
    with pytest.raises(UsageError, match="PaliGemma cannot become GGUF"):
        gguf.check(settings)
    (_, of_another_model) = post_training_stages(settings, "tiny-gemma3")
    of_another_model.check(settings)


def test_what_is_typed_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    ran = run_script("train_model.py", "--work_dir", str(tmp_path), "--gguf", str(tmp_path / "nowhere"))
    assert (ran.code, "has no convert_hf_to_gguf.py" in ran.stderr) == (2, True)
