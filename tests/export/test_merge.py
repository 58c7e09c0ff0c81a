"""A merged model says what its adapter says: in float32 to the last digits, in bfloat16 as far as rounding lets it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import PreTrainedModel

from figtune.batching.tokenization import tokenize_prompt
from figtune.core.errors import ArtifactMissingError, ResourceError
from figtune.export import merge as merging
from figtune.export.merge import export_merged, load_unquantized, merge_weights
from figtune.export.merge_check import (
    MergeCheck,
    compare_logits,
    completion_logits,
    count_most_likely,
    sample_examples,
)
from figtune.inference.adapter_record import read_adapter_record
from figtune.inference.generate import generate_answers
from figtune.models.families import family_of
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_base_model, load_tuned_model
from figtune.models.lora import save_adapter
from figtune.models.records import ADAPTER_FOLDER, MERGED_CONTENTS, AdapterMode
from figtune.models.settings import AdapterSettings
from figtune.models.setup import set_up_model
from tests.inference.trained_model import greedy, write_dataset, write_trained_model
from tests.models.tuned import PROMPT, choice, of_families, pictures
from tests.rows import each_row

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
MODES: tuple[AdapterMode, ...] = get_args(AdapterMode)
NAMES = ("tiny-gemma3", "tiny-paligemma", "tiny-smolvlm2", "tiny-gemma4")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder / "dataset", test_papers=1)
    return folder / "dataset"


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUTPUT with LoRA that has moved."""
    folder = tmp_path_factory.mktemp("trained")
    write_trained_model(folder, name=request.param)
    return folder


def loaded_from(folder: Path) -> LoadedModel:
    return load_tuned_model(folder, CPU, "train")


def decoder_of(model: PreTrainedModel) -> Any:
    return model.get_submodule(family_of(model.config.model_type, "").parts.text_decoder)


def write_wholly_trained_model(folder: Path, name: str) -> None:
    """Every weight a little off the base model's."""
    record = AdapterSettings(mode="full", rank=1, alpha=1, dropout=0.0, targets=("decoder",))
    set_up_model(folder, dataclasses.replace(choice(name), adapter=record))
    tuned = load_tuned_model(folder, CPU, "setup", trainable=True).peft_model
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    save_adapter(tuned, folder / ADAPTER_FOLDER)


@each_row(("name", "mode"), product(NAMES, MODES))
def test_in_float32_logits_are_the_adapters(name: str, mode: AdapterMode, dataset: Path, tmp_path: Path) -> None:
    if mode == "full":
        write_wholly_trained_model(tmp_path, name)
    else:
        write_trained_model(tmp_path, name=name, mode=mode)
    record = read_adapter_record(tmp_path)
    family = family_of(record.family, record.name)
    examples = sample_examples(dataset, family, family.load_processor(tmp_path / "processor"), record)
    tuned = load_unquantized(record, tmp_path, family, CPU)
    with tuned.disable_adapter():
        base = completion_logits(tuned, examples)
    expected = completion_logits(tuned, examples)
    found = completion_logits(merge_weights(tuned, torch.float32), examples)
    for untrained, wanted, got in zip(base, expected, found, strict=True):
        assert (untrained - wanted).abs().max() > 0.1, "training has changed something"
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=2e-4)


@dataclasses.dataclass(frozen=True)
class Merged:
    """A merged model on the disk, and what was found about it."""

    folder: Path
    agreement: MergeCheck


@pytest.fixture(scope="module")
def written(trained: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Merged:
    folder = tmp_path_factory.mktemp("merging") / "merged"
    return Merged(folder, export_merged(dataset, trained, folder, "cpu"))


def test_what_is_written_is_bfloat16_and_close(written: Merged) -> None:
    assert written.agreement.divergence < 0.01
    assert written.agreement.passes
    with safe_open(written.folder / "model.safetensors", framework="pt") as tensors:
        names = tuple(tensors.keys())
        assert {tensors.get_slice(name).get_dtype() for name in names} == {"BF16"}
        assert not [name for name in names if "lora" in name or "base_layer" in name or "modules_to_save" in name]
    assert [path.name for path in written.folder.parent.iterdir()] == ["merged"]
    assert {path.name for path in written.folder.iterdir()} <= set(MERGED_CONTENTS)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of PaliGemma's processor
def test_the_card_loads_it_and_asks_it_as_printed(
    written: Merged,
    trained: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = (written.folder / "README.md").read_text()
    assert "vllm serve ." in card
    assert written.agreement.sentence in card
    code = card.split("```python\n")[1].split("```")[0]
    loading, _ = code.split("processor =")
    monkeypatch.chdir(written.folder)
    names: dict[str, object] = {}
    exec(loading, names)
    model = names["model"]
    assert isinstance(model, PreTrainedModel)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    loaded = loaded_from(trained)
    examples = sample_examples(dataset, loaded.family, loaded.processor, loaded.record)
    assert compare_logits(completion_logits(loaded.peft_model, examples), completion_logits(model, examples)).passes
    if packages := loaded.family.processor_packages:
        # These are not installed here, and the processor needs them.
        assert f"pip install {' '.join(packages)}" in card
        return
    picture = pictures()[0]
    picture.save(tmp_path / "figure.png")
    whole = load_base_model(written.folder, loaded.family, torch.float32, CPU, "sdpa")
    merged = dataclasses.replace(loaded, model=whole, peft_model=whole)
    (expected,) = generate_answers(merged, [PROMPT], [encode_image(merged, picture)], greedy(256))
    capsys.readouterr()
    exec(code.replace("bfloat16", "float32").replace("figure.png", str(tmp_path / "figure.png")), {})
    assert capsys.readouterr().out.strip() == expected.text


def test_conversations_are_laid_out_as_in_training(written: Merged, trained: Path) -> None:
    family = family_of(read_adapter_record(trained).family, "")
    processor: Any = family.load_processor(written.folder)
    if family.processor_packages:
        # Its own processor is not installed here; what the template says is tried beside the tokens of prompts.
        assert processor.chat_template == family.chat_template
        return
    prompt = "Write the caption of this figure. The paper says: we train it."
    content = [{"type": "image", "image": Image.new("RGB", (50, 40))}, {"type": "text", "text": prompt}]
    asked: Mapping[str, list[list[int]]] = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
    )
    told = asked["input_ids"][0]
    layout = family.image_layout(processor, (50, 40))
    assert tuple(told) == tokenize_prompt(family, processor, prompt, layout).input_ids
    before = tokenize_prompt(family, family.load_processor(trained / "processor"), prompt, layout)
    assert tuple(told) == before.input_ids, "the template changes nothing about how figtune itself asks"


@of_families("tiny-gemma3", fixture="trained")
def test_a_model_that_disagrees_is_not_left_behind(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*arguments: object, **settings: object) -> object:
        model = load_base_model(*arguments, **settings)  # type: ignore[arg-type]
        if arguments[0] == base:
            return model
        torch.nn.init.normal_(decoder_of(model).layers[0].mlp.up_proj.weight)
        return model

    base = trained / "base"
    monkeypatch.setattr(merging, "load_base_model", damaged)
    with pytest.raises(ResourceError, match="disagrees with the adapter"):
        export_merged(dataset, trained, tmp_path / "merged", "cpu")
    assert list(tmp_path.iterdir()) == []


@of_families("tiny-gemma3", fixture="trained")
def test_a_layer_that_computes_something_else_is_named(trained: Path) -> None:
    tuned = loaded_from(trained).peft_model
    layer = decoder_of(tuned.get_base_model()).layers[0].mlp.up_proj
    layer.get_delta_weight = lambda _: torch.ones_like(layer.get_base_layer().weight)
    with pytest.raises(ResourceError, match=r"up_proj cannot be merged"):
        merge_weights(tuned, torch.float32)


def test_without_an_adapter_the_command_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"python train_model\.py"):
        export_merged(dataset, tmp_path, tmp_path / "merged", "cpu")


def test_ties_that_rounding_decides_are_no_disagreement() -> None:
    first = torch.tensor([[2.0, 1.99, 0.0], [2.0, 0.0, 0.0]])
    tied = compare_logits([first], [torch.tensor([[1.99, 2.0, 0.0], [2.0, 0.0, 0.0]])])
    assert (tied.tokens, tied.top1_agreement, tied.passes) == (2, 1.0, True)
    other = compare_logits([first], [torch.tensor([[2.0, 1.99, 0.0], [0.0, 2.0, 0.0]])])
    assert (other.top1_agreement, other.passes) == (0.5, False)


@each_row(("logit", "gap", "is_tie"), [(6.75, 0.0625, True), (6.75, 0.1875, False), (1.0, 0.125, False)])
def test_logits_two_steps_of_bfloat16_apart_are_a_tie(logit: float, gap: float, is_tie: bool) -> None:
    logits = torch.tensor([[logit, logit - gap, 0.0]])
    assert torch.equal(logits.bfloat16().float(), logits)
    assert count_most_likely(logits, torch.tensor([1])) == is_tie
