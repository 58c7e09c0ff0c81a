"""One evaluation from the data set to the report: what it writes, how it is carried on, what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from config import TEST
from figtune.batching.loss import per_example_loss
from figtune.batching.tokenization import tokenize_example
from figtune.core.errors import ArtifactMissingError, InputError, NothingProducedError
from figtune.core.image_decoding import read_image
from figtune.core.jsonl import read_json, read_records, write_json, write_records
from figtune.dataset.records import MINITRAIN_FILE, Example, examples_file
from figtune.evaluation.eval_items import EvalItem, mismatched_images
from figtune.evaluation.evaluate import evaluate, token_batches
from figtune.evaluation.predictor import Predictor
from figtune.inference.generate import generate_answers
from figtune.metrics.records import EvaluationSummary, Prediction
from figtune.models.family import ImageInputs, TokenizedExample
from figtune.models.feature_cache import encode_image
from figtune.models.loading import LoadedModel, load_tuned_model
from figtune.models.records import BASE_FOLDER, ModelRecord
from tests.inference.trained_model import write_dataset, write_trained_model

pytestmark = pytest.mark.slow

TRIAL = replace(TEST, max_new_tokens=6, batch_size=3, bootstrap_samples=100)


class House:
    """A data set, a trained model, and where features go."""

    def __init__(self, root: Path) -> None:
        self.dataset = root / "dataset"
        self.output = root / "output"
        self.features = root / "features"

    @property
    def evaluation(self) -> Path:
        return self.output / "evaluation"

    def evaluate(self) -> EvaluationSummary:
        return evaluate(self.dataset, self.output, self.features, TRIAL, seed=0, device="cpu")

    def predictions(self) -> list[Prediction]:
        return read_records(self.evaluation / "predictions.jsonl", Prediction, "test")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.evaluation.iterdir())}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Evaluated once for all tests that only look."""
    house = House(tmp_path_factory.mktemp("finished"))
    write_dataset(house.dataset, test_papers=2)
    write_trained_model(house.output)
    house.evaluate()
    return house


@pytest.fixture
def house(finished: House, tmp_path: Path) -> House:
    """A copy that has not been evaluated yet."""
    copy = House(tmp_path)
    shutil.copytree(finished.dataset, copy.dataset)
    shutil.copytree(finished.output, copy.output, ignore=shutil.ignore_patterns("evaluation"))
    return copy


def test_every_example_has_its_prediction_in_order(finished: House) -> None:
    examples = [
        (split, example)
        for split, file in (("test", examples_file("test")), ("minitrain", MINITRAIN_FILE))
        for example in read_records(finished.dataset / file, Example, "prepare")
    ]
    predictions = finished.predictions()
    assert [(each.split, each.example_id, each.group) for each in predictions] == [
        (split, example.example_id, example.group) for split, example in examples
    ]
    assert sorted(finished.files()) == ["metrics.json", "predictions.jsonl", "report.html"]


def row_of(loaded: LoadedModel, each: Prediction, image: ImageInputs) -> TokenizedExample:
    family, processor = loaded.family, loaded.processor
    return tokenize_example(family, processor, each.prompt, each.reference, image.layout, loaded.record.max_length)


def loss_of(loaded: LoadedModel, each: Prediction, image: ImageInputs) -> float:
    return per_example_loss(loaded, [row_of(loaded, each, image)], [image.tensors])[0]


def test_the_numbers_are_those_of_each_example_alone(finished: House) -> None:
    loaded = load_tuned_model(finished.output, torch.device("cpu"), "train")
    for each in finished.predictions():
        right = encode_image(loaded, read_image(finished.dataset / each.image))
        grey = encode_image(loaded, Image.new("RGB", (64, 64), (128, 128, 128)))
        losses = [loss_of(loaded, each, image) for image in (right, grey)]
        assert [each.tuned.loss, each.grey_image_loss] == pytest.approx(losses, abs=2e-4)
        assert (each.wrong_image is None) == (each.wrong_image_loss is None) == (each.split == "minitrain")
        if each.wrong_image is not None:
            wrong = encode_image(loaded, read_image(finished.dataset / each.wrong_image))
            assert each.wrong_image_loss == pytest.approx(loss_of(loaded, each, wrong), abs=2e-4)
        assert each.tuned.answer == generate_answers(loaded, [each.prompt], [right], TRIAL)[0].text
        with loaded.peft_model.disable_adapter():
            assert each.base.loss == pytest.approx(loss_of(loaded, each, right), abs=2e-4)
            assert each.base.answer == generate_answers(loaded, [each.prompt], [right], TRIAL)[0].text
        assert each.tokens == row_of(loaded, each, right).num_target_tokens


def test_a_qlora_adapter_is_evaluated_over_four_bits_or_over_the_whole_base_model(tmp_path: Path) -> None:
    house = House(tmp_path)
    write_dataset(house.dataset, test_papers=1)
    write_trained_model(house.output, mode="qlora")
    losses = {}
    for whole, words in ((False, "in 4 bits (NF4), computed in float32"), (True, "unquantized, in float32")):
        summary = evaluate(
            house.dataset,
            house.output,
            house.features,
            replace(TRIAL, base_weights="full" if whole else "trained"),
            seed=0,
            device="cpu",
        )
        assert summary.base_weights == words
        assert f"its weights {words}" in (house.evaluation / "report.html").read_text(encoding="utf-8")
        loaded = load_tuned_model(house.output, torch.device("cpu"), "train", unquantized=whole)
        for each in house.predictions():
            image = encode_image(loaded, read_image(house.dataset / each.image))
            assert each.tuned.loss == pytest.approx(loss_of(loaded, each, image), abs=2e-4)
        losses[whole] = [each.tuned.loss for each in house.predictions()]
    assert losses[True] != losses[False], "4 bits are another model"


def test_the_summary_on_disk_is_the_one_returned(finished: House, house: House) -> None:
    summary = house.evaluate()
    assert read_json(house.evaluation / "metrics.json", EvaluationSummary, "test") == summary
    assert summary.demo
    assert summary.verdict.notes[0].startswith("This is the demo model")
    assert [part.examples for part in summary.slices if part.by == "all"] == [4, 2]
    assert house.files()["predictions.jsonl"] == finished.files()["predictions.jsonl"]


def test_an_interrupted_run_is_carried_on_to_the_same_bytes(
    finished: House, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Sequence[EvalItem]] = []
    predict = Predictor.predict

    def interrupted_at_the_second(self: Predictor, items: Sequence[EvalItem]) -> list[Prediction]:
        made.append(items)
        if len(made) == 2:
            raise KeyboardInterrupt
        return predict(self, items)

    monkeypatch.setattr(Predictor, "predict", interrupted_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        house.evaluate()
    (journal,) = house.evaluation.iterdir()
    assert journal.read_bytes().count(b"\n") == 3
    with journal.open("ab") as file:  # a batch that was being written, its last line torn
        file.write(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]) + b'{"schema":1,"exam')
    house.evaluate()
    assert [len(items) for items in made] == [3, 3, 3]
    assert house.files() == finished.files()


def test_a_run_killed_while_it_counts_has_its_predictions_still(
    finished: House, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("figtune.evaluation.evaluate.aggregate", Mock(side_effect=KeyboardInterrupt))
        house.evaluate()
    monkeypatch.setattr(Predictor, "predict", Mock(side_effect=AssertionError("asked again")))
    house.evaluate()
    assert house.files() == finished.files()


def test_predictions_of_another_model_are_not_carried_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.evaluation.mkdir()
    stale = house.evaluation / ".unfinished-0123456789abcdef-predictions.jsonl"
    stale.write_bytes(b"not even a prediction\n")
    house.evaluate()
    assert not stale.exists()
    assert len(house.predictions()) == 6


def test_without_held_out_papers_only_training_figures_are_evaluated(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    write_records(house.dataset / examples_file("test"), [])
    summary = house.evaluate()
    assert {part.split for part in summary.slices} == {"minitrain"}
    assert "no example is held out for the test: only some that were trained on" in capsys.readouterr().err
    assert "No paper was held out" in " ".join(summary.verdict.notes)


def test_a_prompt_that_is_too_long_is_left_out_and_told_of(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    test = house.dataset / examples_file("test")
    first, *others = read_records(test, Example, "prepare")
    write_records(test, [replace(first, prompt="word " * 200), *others])
    assert house.evaluate().left_out == 1
    assert f"{first.example_id} left out: the prompt takes" in capsys.readouterr().err
    assert first.example_id not in {each.example_id for each in house.predictions()}


def test_a_model_that_cannot_see_is_found_out(house: House) -> None:
    weights = house.output / BASE_FOLDER / "model.safetensors"
    blinded = {name: tensor * ("multi_modal_projector" not in name) for name, tensor in load_file(weights).items()}
    save_file(blinded, weights, metadata={"format": "pt"})
    summary = house.evaluate()
    for part in summary.slices:
        assert part.grey_gain is not None
        assert part.grey_gain.value == 0
        assert part.image_gain is None or part.image_gain.value == 0
    assert summary.verdict.image_use == "ignores"
    assert summary.verdict.headline in (house.evaluation / "report.html").read_text(encoding="utf-8")


def test_losses_that_are_no_numbers_are_named_and_counted(house: House) -> None:
    weights = house.output / "adapter" / "adapter_model.safetensors"
    poisoned = {name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}
    save_file(poisoned, weights, metadata={"format": "pt"})
    summary = house.evaluate()
    predictions = house.predictions()
    assert len(predictions) == 6
    assert {each.tuned.loss for each in predictions} == {None}
    assert None not in {each.base.loss for each in predictions}
    assert summary.not_finite == tuple(sorted(each.example_id for each in predictions))
    assert [part.not_finite for part in summary.slices] == [part.examples for part in summary.slices]
    assert "no loss is finite" in summary.verdict.sentence


def test_baselines_answer_from_training_examples_of_other_papers(house: House) -> None:
    trained = read_records(house.dataset / examples_file("train"), Example, "prepare")
    house.evaluate()
    for each in house.predictions():
        (wanted,) = (example.completion for example in trained if example.task == each.task)
        said = {guess.baseline: guess.answer for guess in each.guesses}
        assert said["typical text"] == wanted
        assert ("nearest picture" in said) == ("nearest prompt" in said) == (each.split == "test")
        assert said.get("nearest picture", wanted) == said.get("nearest prompt", wanted) == wanted


def test_nothing_to_evaluate_is_an_error(house: House) -> None:
    for file in (examples_file("test"), MINITRAIN_FILE):
        write_records(house.dataset / file, [])
    with pytest.raises(NothingProducedError, match="has neither test nor training examples"):
        house.evaluate()


def test_a_data_set_that_is_not_there_names_the_command(house: House) -> None:
    (house.dataset / examples_file("test")).unlink()
    with pytest.raises(ArtifactMissingError, match=r"test\.jsonl is not there; make it with: python prepare_data\.py"):
        house.evaluate()


def test_a_missing_adapter_names_the_command(house: House) -> None:
    shutil.rmtree(house.output / "adapter")
    with pytest.raises(
        ArtifactMissingError, match=r"no trained adapter in .*python train_model\.py and the same flags"
    ):
        house.evaluate()


def test_an_adapter_of_another_base_model_is_refused(house: House) -> None:
    record = read_json(house.output / "model.json", ModelRecord, "train")
    write_json(house.output / "model.json", replace(record, base="google/gemma-3-4b-pt"))
    with pytest.raises(InputError, match=r"was trained on base, not on google/gemma-3-4b-pt"):
        house.evaluate()


def test_a_broken_picture_is_named(house: House) -> None:
    (house.dataset / "images" / "paper 1.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(InputError, match=r"paper 1\.png is no image"):
        house.evaluate()


def test_a_picture_broken_after_training_only_leaves_the_baselines(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that nobody is asked about: the nearest pictures are looked for among the others."""
    gone = read_records(house.dataset / examples_file("train"), Example, "prepare")[0]
    write_records(house.dataset / MINITRAIN_FILE, [])
    (house.dataset / gone.image).write_bytes(b"GIF89a and no more")
    house.evaluate()
    assert "unseen by the baselines: " in (said := capsys.readouterr().err)
    assert said.count(Path(gone.image).name) == 1
    assert all(len(each.guesses) == 4 for each in house.predictions())


def test_features_that_another_model_has_left_are_not_taken(house: House, tmp_path: Path) -> None:
    """A work folder set up for one family, then an output folder of another."""
    house.evaluate()
    other, fresh = House(tmp_path / "other"), House(tmp_path / "fresh")
    write_trained_model(other.output, name="tiny-paligemma")
    shutil.copytree(other.output, fresh.output)
    found = [
        evaluate(house.dataset, run.output, features, TRIAL, seed=0, device="cpu")
        for run, features in ((other, house.features), (fresh, fresh.features))
    ]
    assert found[0] == found[1]
    assert other.files()["predictions.jsonl"] == fresh.files()["predictions.jsonl"]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12))
def test_every_picture_takes_the_place_of_one_other(pictures: list[str]) -> None:
    examples = [
        Example(
            example_id=str(number),
            task="caption",
            image=f"{picture}.png",
            image_sha256=picture,
            prompt="p",
            completion="c",
            group="g",
            source="s",
            kind="",
        )
        for number, picture in enumerate(pictures)
    ]
    mismatched = mismatched_images(examples)
    if len(set(pictures)) == 1:
        assert mismatched == {}
    else:
        assert {other.image_sha256 for other in mismatched.values()} == set(mismatched) == set(pictures)
        assert all(picture != other.image_sha256 for picture, other in mismatched.items())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 8))
def test_batches_have_no_more_tokens_than_so_many_of_the_longest(lengths: list[int], size: int) -> None:
    batches = token_batches(lengths, size)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    padded = [len(batch) * max(lengths[place] for place in batch) for batch in batches]
    assert max(padded) <= size * max(lengths)
    longest_first = [lengths[place] for batch in batches for place in batch]
    assert longest_first == sorted(lengths, reverse=True)
    # The next example would have been too much for each batch.
    for tokens, batch in zip(padded[:-1], batches, strict=False):
        assert tokens + max(lengths[place] for place in batch) > size * max(lengths)
