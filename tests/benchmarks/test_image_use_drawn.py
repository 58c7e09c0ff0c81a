"""The measurement on drawings: its data sets, its table, and a run that carries on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.drawings import draw
from benchmarks.image_use_drawn import ALL_TASKS, WAYS, draw_all, examples_of, main, split_of, table_lines
from figtune.core.io import sha256_of
from figtune.core.jsonl import read_records
from figtune.dataset.records import Example, Split, Task
from figtune.metrics.records import Choice, ModelResult, Prediction

QUICK = ("--drawings", "60", "--rows", "80", "--encoder_epochs", "1")


def prediction(number: int, task: Task, *, is_right: bool) -> Prediction:
    """Return a prediction of a model that is right given the right picture, and never given grey."""
    answer = "red" if is_right else "blue"
    result = ModelResult(loss=1.0, answer=answer, answer_tokens=1, ended_with_eos=True, chrf=0.0, rouge_l=0.0)
    losses = (1.0, 2.0, 2.0, 2.0, 2.0) if is_right else (3.0, 2.0, 2.5, 2.5, 2.5)
    grey = (3.0, 2.0, 2.0, 2.0, 2.0)
    return Prediction(
        example_id=f"drawing{number}-{task}-highest",
        split="test",
        task=task,
        kind="lines",
        group=f"lines-{number % 3}",
        source="",
        image="",
        wrong_image="other",
        prompt="",
        reference="red",
        tokens=2,
        base=result,
        tuned=result,
        wrong_image_loss=1.5,
        grey_image_loss=1.25,
        guesses=(),
        choice=Choice(
            negatives=("a", "b", "c", "d"),
            rules=("any",) * 4,
            losses=losses,
            wrong_image_losses=grey,
            grey_image_losses=grey,
        )
        if task == "caption"
        else None,
        grey_answer="blue",
    )


def test_the_table_states_gain_choice_and_answers() -> None:
    tasks: tuple[Task, ...] = ("caption", "question", "read")
    made = [prediction(number, task, is_right=number % 4 > 0) for number in range(12) for task in tasks]
    cells = {line[:20].strip(): line[20:].split() for line in table_lines(made)}
    assert cells["caption gain"] == ["12", *("0.500", "(0.500", "to", "0.500)"), *("0.250", "(0.250", "to", "0.250)")]
    assert [cells["right of five"][at] for at in (1, 5, 9, 13)] == ["0.750", "0.000", "0.000", "0.20"]
    assert [cells["question highest"][at] for at in (0, 1, 5, 9)] == ["12", "0.750", "0.000", "1.00"]
    assert [cells["read recall"][at] for at in (0, 1, 5)] == ["12", "0.750", "0.000"]


@pytest.mark.slow
def test_all_drawings_of_a_layout_are_in_one_split(tmp_path: Path) -> None:
    splits: dict[str, Split] = {each.drawing.layout: each.split for each in draw_all(tmp_path, 300)}
    assert all(split_of(layout) == split for layout, split in splits.items())
    shares = Counter(split_of(draw(number)[0].layout) for number in range(300))
    assert set(splits.values()) == set(shares) == {"train", "val", "test"}
    assert 0.1 < shares["test"] / 300 < 0.3


def test_examples_name_the_picture_that_they_are_about(tmp_path: Path) -> None:
    one, other, *_ = draw_all(tmp_path, 20)
    examples = list(examples_of(one.drawing, ALL_TASKS, one, "there"))
    assert [each.task for each in examples] == ["caption", "question", "question", "question", "read"]
    assert {(each.image, each.image_sha256) for each in examples} == {(f"there/{one.file}", one.sha256)}
    assert sha256_of(tmp_path / one.file) == one.sha256
    assert examples[0].completion == one.drawing.caption
    assert tuple(examples[-1].completion.split()) == one.drawing.words
    (shuffled,) = examples_of(one.drawing, ("caption",), other, "there")
    assert (shuffled.completion, shuffled.image_sha256) == (one.drawing.caption, other.sha256)


def test_pictures_are_drawn_once(tmp_path: Path) -> None:
    first = draw_all(tmp_path, 20)
    (tmp_path / first[3].file).write_bytes(b"kept")
    assert draw_all(tmp_path, 20) == first
    assert (tmp_path / first[3].file).read_bytes() == b"kept"


@pytest.mark.slow
def test_a_way_is_trained_and_tested_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = (str(tmp_path), *QUICK, "--ways", "shuffled")
    assert main(places) == 0
    told, _, table = capsys.readouterr().out.partition("\nshuffled: ")
    assert "encoder: words right in" in told
    assert "right of five" in table
    assert "question kind" in table
    made = (tmp_path / "shuffled" / "output" / "manifest.json").stat().st_mtime_ns
    assert main(places) == 0
    assert capsys.readouterr().out == f"\nshuffled: {table}"
    assert (tmp_path / "shuffled" / "output" / "manifest.json").stat().st_mtime_ns == made
    dataset = tmp_path / "shuffled" / "work" / "dataset"
    for split in ("train", "test"):
        examples = read_records(dataset / f"{split}.jsonl", Example, "")
        own = {each.source.split()[1].zfill(6) in each.image for each in examples}
        assert own == {split == "test"}
    assert WAYS["shuffled"].shuffled
