"""Weights that each mode trains, freezes, keeps and gives back, on tiny models of several families."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from figtune.batching.loss import per_example_loss
from figtune.batching.tokenization import tokenize_prompt
from figtune.core.errors import ResourceError
from figtune.core.jsonl import read_json, write_json
from figtune.inference.generate import generate_answers
from figtune.inference.settings import Decoding
from figtune.models.family import FEATURES, ImageInputs
from figtune.models.feature_cache import encode_image, image_files, prepared_features
from figtune.models.full_finetune import FullFinetuneModel
from figtune.models.loading import LoadedModel, load_base_model, load_tuned_model
from figtune.models.lora import save_adapter
from figtune.models.records import AdapterMode, Dtype, ModelRecord, ParameterTable, Part
from figtune.models.setup import parameter_table, set_up_model
from tests.models.tuned import (
    CPU,
    PROMPT,
    TINY_NAMES,
    batch_of,
    choice,
    features_of,
    joined,
    loss_sum,
    pictures,
    rows_of,
)
from tests.rows import each_row

pytestmark = pytest.mark.slow

NAMES = tuple(name for name in TINY_NAMES if name != "tiny-paligemma")


def set_up(
    folder: Path,
    name: str,
    mode: AdapterMode,
    targets: tuple[str, ...] = ("decoder",),
    *,
    freeze: tuple[Part, ...] = (),
    dtype: Dtype = "float32",
) -> None:
    asked = choice(name, targets, dtype=dtype)
    adapter = dataclasses.replace(asked.adapter, mode=mode, freeze=freeze)
    set_up_model(folder, dataclasses.replace(asked, adapter=adapter))


def to_train(folder: Path) -> LoadedModel:
    return load_tuned_model(folder, CPU, "setup", trainable=True)


def to_test(folder: Path) -> LoadedModel:
    return load_tuned_model(folder, CPU, "setup")


def seen(loaded: LoadedModel) -> list[ImageInputs]:
    return features_of(loaded)


def loss_of(loaded: LoadedModel, given: list[ImageInputs]) -> Tensor:
    return loss_sum(loaded, batch_of(loaded, rows_of(loaded)), given)


def in_part(loaded: LoadedModel, part: Part) -> list[str]:
    """Names of trained weights."""
    return [name for name in trained(loaded) if loaded.family.parts.part_of(name) == part]


def trained(loaded: LoadedModel) -> dict[str, torch.nn.Parameter]:
    return {name: each for name, each in loaded.peft_model.named_parameters() if each.requires_grad}


def learn(loaded: LoadedModel, steps: int = 2) -> list[float]:
    """A few steps on three examples; returns the losses before each."""
    optimizer = torch.optim.AdamW(list(trained(loaded).values()), lr=3e-3)
    given, losses = seen(loaded), []
    for _ in range(steps):
        loss = loss_of(loaded, given)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def gradients_of(loaded: LoadedModel, given: list[ImageInputs]) -> dict[str, Tensor]:
    loaded.peft_model.zero_grad()
    loss_of(loaded, given).backward()  # type: ignore[no-untyped-call]
    return {name: each.grad for name, each in trained(loaded).items() if each.grad is not None}


def losses_of(loaded: LoadedModel, given: list[ImageInputs]) -> list[float]:
    return per_example_loss(loaded, rows_of(loaded), [image.tensors for image in given])


def answers_of(loaded: LoadedModel, given: list[ImageInputs]) -> list[str]:
    decoding = Decoding(max_new_tokens=6, temperature=0.0, top_p=1.0, seed=0)
    return [answer.text for answer in generate_answers(loaded, [PROMPT] * len(given), given, decoding)]


@each_row("name", NAMES)
def test_lora_in_the_vision_encoder_is_asked_for_by_name(tmp_path: Path, name: str) -> None:
    set_up(tmp_path, name, "lora", ("decoder+vision",))
    loaded = to_train(tmp_path)
    in_vision = in_part(loaded, "vision")
    layers = loaded.model.config.vision_config.num_hidden_layers
    assert len(in_vision) == 2 * len(loaded.family.parts.vision_layers.names) * layers  # A and B
    assert all("lora_" in each for each in trained(loaded))
    assert len(in_vision) + len(in_part(loaded, "text")) == len(trained(loaded)) > len(in_vision)
    table = read_json(tmp_path / "parameters.json", ParameterTable, "setup")
    assert table == parameter_table(loaded.peft_model, loaded.family.parts)
    counted = {part.part: part.trained for part in table.parts}
    assert counted["LoRA in the vision encoder"] == sum(trained(loaded)[each].numel() for each in in_vision)


@each_row("name", NAMES)
def test_plain_names_of_layers_reach_into_the_decoder_alone(tmp_path: Path, name: str) -> None:
    """peft itself would put LoRA into the vision encoder's q_proj too."""
    set_up(tmp_path, name, "lora", ("q_proj",))
    loaded = to_train(tmp_path)
    assert in_part(loaded, "text") == list(trained(loaded))


@each_row("freeze", [(), ("vision",), ("vision", "text"), ("projector",)])
def test_full_mode_trains_every_weight_that_is_not_frozen(tmp_path: Path, freeze: tuple[Part, ...]) -> None:
    set_up(tmp_path, "tiny-gemma3", "full", freeze=freeze, dtype="bfloat16")
    loaded = to_train(tmp_path)
    for each, parameter in loaded.model.named_parameters():
        frozen = loaded.family.parts.part_of(each) in freeze
        assert parameter.requires_grad is not frozen
        assert parameter.dtype == (torch.bfloat16 if frozen else torch.float32)
    table = read_json(tmp_path / "parameters.json", ParameterTable, "setup")
    assert table == parameter_table(loaded.peft_model, loaded.family.parts)
    assert table.total == sum(each.numel() for each in loaded.model.parameters())


@each_row("name", NAMES)
def test_a_model_trained_whole_is_saved_loaded_and_switched_off_like_an_adapter(tmp_path: Path, name: str) -> None:
    set_up(tmp_path, name, "full")
    loaded = to_train(tmp_path)
    base = losses_of(loaded, seen(loaded))
    first, *_, last = learn(loaded, 4)
    assert last < first
    tuned = losses_of(loaded, seen(loaded))
    save_adapter(loaded.peft_model, tmp_path / "adapter")
    again = to_test(tmp_path)
    given = seen(again)
    assert losses_of(again, given) == tuned
    said = answers_of(again, given)
    with again.peft_model.disable_adapter():
        assert losses_of(again, given) == base
        answers_of(again, given)
    assert losses_of(again, given) == tuned
    assert answers_of(again, given) == said


def test_the_weights_of_a_model_trained_whole_load_in_plain_transformers(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-gemma3", "full", freeze=("vision",))
    loaded = to_train(tmp_path)
    learn(loaded)
    save_adapter(loaded.peft_model, tmp_path / "adapter")
    plain: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert plain.load_state_dict(weights, strict=False).unexpected_keys == []
    ours = dict(loaded.model.named_parameters())
    assert all(torch.equal(each, ours[name]) for name, each in plain.named_parameters())
    assert not any("vision_tower" in name for name in weights)


def test_training_a_whole_model_goes_on_from_a_checkpoint_to_the_bit(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-paligemma", "full", freeze=("vision",), dtype="bfloat16")
    loaded = to_train(tmp_path)
    learn(loaded)
    save_adapter(loaded.peft_model, tmp_path / "checkpoint")
    resumed = to_train(tmp_path)
    resumed.peft_model.load_adapter(tmp_path / "checkpoint", "default", is_trainable=True)
    assert {each.dtype for each in trained(resumed).values()} == {torch.float32}
    assert trained(resumed).keys() == trained(loaded).keys()
    assert all(torch.equal(each, trained(resumed)[name]) for name, each in trained(loaded).items())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    set_up(tmp_path / "first", "tiny-paligemma", "full", freeze=("text",))
    set_up(tmp_path / "second", "tiny-paligemma", "full")
    save_adapter(to_train(tmp_path / "first").peft_model, tmp_path / "second" / "adapter")
    with pytest.raises(ResourceError, match="are of another model"):
        to_test(tmp_path / "second")


def test_the_base_model_is_not_kept_beside_a_whole_model_in_training(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-gemma3", "full")
    with pytest.raises(RuntimeError, match="not kept"), to_train(tmp_path).peft_model.disable_adapter():
        pass


def test_a_whole_model_computes_in_bfloat16_on_float32_weights(tmp_path: Path) -> None:
    set_up(tmp_path / "exact", "tiny-gemma3", "full")
    set_up(tmp_path / "rough", "tiny-gemma3", "full", dtype="bfloat16")
    exact, rough = to_train(tmp_path / "exact"), to_train(tmp_path / "rough")
    computed: set[torch.dtype] = set()
    for layer in rough.model.get_submodule(rough.family.parts.text_decoder).modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda *seen: computed.add(seen[-1].dtype))
    wanted, found = loss_of(exact, seen(exact)), loss_of(rough, seen(rough))
    assert computed == {torch.bfloat16}
    assert found.item() == pytest.approx(wanted.item(), rel=0.03)
    assert found.item() != wanted.item()
    found.backward()  # type: ignore[no-untyped-call]
    gradients = {each: parameter.grad for each, parameter in trained(rough).items()}
    assert {rough.family.parts.part_of(each) for each, gradient in gradients.items() if gradient is not None} == {
        "vision",
        "projector",
        "text",
    }
    assert {gradient.dtype for gradient in gradients.values() if gradient is not None} == {torch.float32}


@each_row("name", NAMES)
def test_qlora_keeps_the_decoders_layers_in_four_bits_and_nothing_else(tmp_path: Path, name: str) -> None:
    """`llm_int8_skip_modules` takes the place of the library's own exceptions and is matched from the name's start."""
    set_up(tmp_path, name, "qlora", ("decoder", "projector"))
    loaded = to_train(tmp_path)
    quantised = {each for each, parameter in loaded.model.named_parameters() if parameter.dtype == torch.uint8}
    path = f".{loaded.family.parts.decoder_layers.path}."
    exact = load_base_model(tmp_path / "base", loaded.family, torch.float32, CPU, "sdpa")
    assert len(quantised) == sum(path in each and weight.ndim == 2 for each, weight in exact.named_parameters())
    assert all(path in each for each in quantised)
    assert {parameter.dtype for parameter in trained(loaded).values()} == {torch.float32}
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32, torch.uint8}


def test_evaluation_changes_no_gradient_in_four_bits(tmp_path: Path) -> None:
    """On a CPU with AVX512-BF16 bitsandbytes would lay weights out anew, where no gradient goes back through them."""
    set_up(tmp_path, "tiny-gemma3", "qlora")
    loaded = to_train(tmp_path)
    given = seen(loaded)
    before = gradients_of(loaded, given)
    losses_of(loaded, given)
    assert all(torch.equal(each, before[name]) for name, each in gradients_of(loaded, given).items())


@each_row("name", NAMES)
def test_qlora_learns_answers_and_switches_off(tmp_path: Path, name: str) -> None:
    set_up(tmp_path, name, "qlora", ("decoder", "projector"))
    loaded = to_train(tmp_path)
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    base = losses_of(loaded, seen(loaded))
    first, *_, last = learn(loaded, 4)
    assert last < first
    save_adapter(loaded.peft_model, tmp_path / "adapter")
    again = load_tuned_model(tmp_path, CPU, "setup", encoder=False)
    given = seen(again)
    tuned = losses_of(again, given)
    assert tuned != base
    assert answers_of(again, given) == answers_of(loaded, given)
    with again.peft_model.disable_adapter():
        assert losses_of(again, given) == pytest.approx(base, rel=1e-5)


def test_four_bits_are_close_to_the_full_weights(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-gemma3", "lora")
    full = to_test(tmp_path)
    record = read_json(tmp_path / "model.json", ModelRecord, "setup")
    write_json(
        tmp_path / "model.json", dataclasses.replace(record, adapter=dataclasses.replace(record.adapter, mode="qlora"))
    )
    given = seen(full)
    assert losses_of(to_test(tmp_path), given) == pytest.approx(losses_of(full, given), rel=0.1)


def test_checkpointing_changes_no_gradient_of_a_four_bit_model(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-gemma3", "qlora", ("decoder",))
    loaded = to_train(tmp_path)
    loaded.peft_model.train()
    given, found = seen(loaded), []
    for checkpointing in (False, True):
        if checkpointing:
            loaded.model.activation_checkpointing_enable({"use_reentrant": False})
        loss_of(loaded, given).backward()  # type: ignore[no-untyped-call]
        found.append({each: parameter.grad for each, parameter in trained(loaded).items()})
        loaded.peft_model.zero_grad()
    torch.testing.assert_close(found[0], found[1])


@each_row("name", NAMES)
def test_pixels_give_the_losses_and_gradients_of_kept_features(tmp_path: Path, name: str) -> None:
    set_up(tmp_path, name, "lora", ("decoder", "projector"))
    loaded = to_train(tmp_path)
    learn(loaded)
    features = seen(loaded)
    asked = dataclasses.replace(loaded.record.adapter, targets=("decoder", "projector", "vision"))
    uncached = dataclasses.replace(loaded, record=dataclasses.replace(loaded.record, adapter=asked))
    pixels = seen(uncached)
    assert all(FEATURES not in each.tensors for each in pixels)
    found = []
    for given in (features, pixels):
        loss = loss_of(loaded, given)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), {each: parameter.grad for each, parameter in trained(loaded).items()}))
        loaded.peft_model.zero_grad()
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@each_row("name", NAMES)
def test_a_trained_vision_encoder_is_given_pixels_and_switched_off_with_the_rest(tmp_path: Path, name: str) -> None:
    set_up(tmp_path, name, "lora", ("vision",))
    loaded = load_tuned_model(tmp_path, CPU, "setup", trainable=True, encoder=False)
    assert in_part(loaded, "vision") == list(trained(loaded))
    base = losses_of(loaded, seen(loaded))
    first, *_, last = learn(loaded, 4)
    assert last < first
    tuned, said = losses_of(loaded, seen(loaded)), answers_of(loaded, seen(loaded))
    save_adapter(loaded.peft_model, tmp_path / "adapter")
    again = load_tuned_model(tmp_path, CPU, "setup", encoder=False)
    assert losses_of(again, seen(again)) == pytest.approx(tuned, rel=1e-5)
    assert answers_of(again, seen(again)) == said
    with again.peft_model.disable_adapter():
        assert losses_of(again, seen(again)) == pytest.approx(base, rel=1e-5)
    assert tuned != pytest.approx(base, rel=1e-3)


def test_nothing_is_kept_of_a_vision_encoder_that_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(tmp_path / "model", "tiny-gemma3", "lora", ("decoder+vision",))
    loaded = to_train(tmp_path / "model")
    files = {}
    for number, picture in enumerate(pictures()):
        files[str(number)] = tmp_path / f"{number}.png"
        picture.save(files[str(number)])
    store = prepared_features(tmp_path / "features", loaded, image_files(loaded, files))
    assert capsys.readouterr().err.count("features: off, since the vision encoder is trained") == 1
    for number, picture in enumerate(pictures()):
        torch.testing.assert_close(store.tensors(str(number)), encode_image(loaded, picture).tensors, rtol=0, atol=0)
    assert not (tmp_path / "features").exists()


def test_the_decoder_of_paligemma2_caps_its_attention_as_the_library_does(tmp_path: Path) -> None:
    """sdpa cannot; the halves of the model get a kernel each, and the library refuses sdpa for both."""
    set_up(tmp_path, "tiny-paligemma2", "lora")
    with pytest.raises(ValueError, match="does not support an attention implementation"):
        AutoModelForImageTextToText.from_pretrained(tmp_path / "base", attn_implementation="sdpa")
    loaded = to_test(tmp_path)
    assert loaded.model.config.text_config._attn_implementation == "eager"
    assert loaded.model.config.vision_config._attn_implementation == "sdpa"
    eager = load_base_model(tmp_path / "base", loaded.family, torch.float32, CPU, "eager")
    given = seen(loaded)
    with loaded.peft_model.disable_adapter():
        ours = losses_of(loaded, given)
    other = dataclasses.replace(
        loaded,
        model=eager,
        peft_model=FullFinetuneModel(eager, loaded.peft_model.peft_config["default"], loaded.family.parts, ()),
    )
    assert losses_of(other, given) == pytest.approx(ours, rel=1e-5)
    capping = {layer.self_attn.attn_logit_softcapping for layer in eager.model.language_model.layers}
    assert capping == {50.0}
    for layer in eager.model.language_model.layers:
        layer.self_attn.attn_logit_softcapping = 0.5
    assert losses_of(other, given) != pytest.approx(ours, rel=1e-3)


def test_paligemma2_answers_with_the_likeliest_token_again_and_again(tmp_path: Path) -> None:
    set_up(tmp_path, "tiny-paligemma2", "lora", ("decoder", "projector"))
    loaded = to_train(tmp_path)
    learn(loaded)
    loaded.peft_model.eval()
    picture = seen(loaded)[:1]
    embeddings = loaded.family.image_embeddings(loaded.model, joined(picture))
    row = tokenize_prompt(loaded.family, loaded.processor, PROMPT, picture[0].layout)
    ids, prefix = list(row.input_ids), list(row.bidirectional)
    for _ in range(6):
        # Without cache and padding: the whole row again for every token.
        with torch.no_grad():
            output = loaded.peft_model(
                input_ids=torch.tensor([ids]),
                token_type_ids=1 - torch.tensor([prefix]).long(),
                mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=embeddings)},
            )
        ids.append(int(output.logits[0, -1].argmax()))
        prefix.append(False)
    said = loaded.processor.tokenizer.decode(ids[len(row.input_ids) :], skip_special_tokens=True)
    assert answers_of(loaded, picture) == [said.strip()]
