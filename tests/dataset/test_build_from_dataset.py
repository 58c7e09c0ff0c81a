"""A data set of images and texts becomes examples whose counts add up, whatever it is stored in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figtune.core.errors import InputError, NothingProducedError
from figtune.core.io import sha256_of
from figtune.dataset.records import SPLITS
from tests.dataset.content_maker import CHOICES, picture
from tests.dataset.scans import COLUMNS, FORMS, PROMPT, TRAIN_ONLY, Scan, encoded, prepare, scan, write_parquet
from tests.rows import each_row

SCANS = [scan(number) for number in range(16)]


@each_row("form", FORMS)
def test_every_form_gives_the_same_examples(tmp_path: Path, form: str) -> None:
    prepared = prepare(FORMS[form](tmp_path, SCANS), tmp_path / "dataset")
    assert prepared.stats.figures == prepared.stats.figures_used == 16
    written = [example for split in SPLITS for example in prepared.examples[split]]
    by_id = {example.group: example for example in written}
    for each in SCANS:
        example = by_id[each.id]
        assert isinstance(each.image, bytes)
        assert (tmp_path / "dataset" / example.image).read_bytes() == each.image, "encoded images stay as they are"
        assert (example.completion, example.prompt) == (each.caption, PROMPT)
    # Golden: a row's split depends on its id alone.
    assert [len(prepared.examples[split]) for split in SPLITS] == [7, 5, 4]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two good rows, and one for each way to fail."""
    good = scan(0)
    blank = Image.new("L", (160, 120), 255)
    rows = [
        good,
        replace(good, image=b"no picture"),
        replace(good, image=encoded(picture("scan 1"))[:2000]),
        replace(good, image=None),
        replace(good, image="nowhere.png"),
        replace(good, image="https://example.org/scan.png"),
        replace(good, image=encoded(picture("small", (20, 20)))),
        replace(good, image=encoded(picture("wide", (900, 100)))),
        replace(good, image=encoded(blank)),
        replace(good, caption=None),
        replace(good, caption="  \n"),
        replace(good, caption="A scan."),
        replace(good, caption=" ".join(["word"] * 130)),
        replace(scan(1), id="last"),
    ]
    return write_parquet(tmp_path / "mixed", {"train": rows})


def test_each_rule_catches_its_row_and_counts_add_up(mixed: Path, tmp_path: Path) -> None:
    prepared = prepare(mixed, tmp_path / "dataset", TRAIN_ONLY)
    stats = prepared.stats
    expected = (
        *("unreadable_image", "unreadable_image", "no_image", "no_image", "no_image", "image_too_small"),
        *("extreme_aspect_ratio", "blank_image", "no_text", "no_text", "too_short", "no_sentence_fits"),
    )
    assert prepared.rules == {f"row-{number:06d}": rule for number, rule in enumerate(expected, start=2)}
    assert stats.figures == 14 == stats.figures_used + stats.figures_rejected
    assert stats.figure_rejections == Counter(expected)
    assert [example.example_id for example in prepared.examples["train"]] == ["row-000001", "row-000014"]


def test_the_same_picture_is_stored_once(tmp_path: Path) -> None:
    rows = [scan(0), replace(scan(0), id="other", caption="Another text about the very same scan.")]
    prepared = prepare(write_parquet(tmp_path / "twice", {"train": rows}), tmp_path / "dataset", TRAIN_ONLY)
    first, second = prepared.examples["train"]
    assert first.image == second.image == f"images/{first.image_sha256[:2]}/{first.image_sha256}.png"
    assert sha256_of(tmp_path / "dataset" / first.image) == first.image_sha256


def test_images_are_opened_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_parquet(tmp_path / "source", {"train": [*SCANS, replace(scan(99), caption="")]})
    opened = []
    really_open = Image.open
    monkeypatch.setattr(Image, "open", lambda file, **how: opened.append(file) or really_open(file, **how))  # type: ignore[func-returns-value]
    prepare(source, tmp_path / "dataset")
    assert len(opened) == len(SCANS), "and not at all where the text is unfit"


@each_row("form", ["WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_are_kept_as_png_of_the_same_pixels(tmp_path: Path, form: str) -> None:
    image = picture("scan").quantize(64).convert("L")
    row = replace(scan(0), image=encoded(image, form))
    prepared = prepare(write_parquet(tmp_path / "source", {"train": [row]}), tmp_path / "dataset", TRAIN_ONLY)
    with Image.open(tmp_path / "dataset" / prepared.examples["train"][0].image) as kept:
        assert kept.format == "PNG"
        difference = np.asarray(kept.convert("L"), dtype=int) - np.asarray(image, dtype=int)
        assert abs(difference).max() <= (40 if form == "WEBP" else 0), "WebP itself is lossy"


def test_sixteen_bits_are_not_taken_for_a_blank_page(tmp_path: Path) -> None:
    deep = Image.fromarray(np.asarray(picture("scan"), dtype=np.uint16) * 16 + 1000)
    other = Image.fromarray(np.asarray(picture("other"), dtype=np.uint16) * 16 + 1000)
    rows = [replace(scan(0), image=encoded(deep)), replace(scan(1), image=encoded(other))]
    parts = {"train": rows[:1], "test": rows[1:]}
    assert prepare(write_parquet(tmp_path / "source", parts), tmp_path / "dataset", TRAIN_ONLY).rejected == []


def test_own_splits_are_kept_and_the_lacking_one_is_drawn_from_train(tmp_path: Path) -> None:
    parts = {"train": SCANS[:10], "test": SCANS[10:13], "unlabelled": SCANS[13:]}
    prepared = prepare(write_parquet(tmp_path / "source", parts), tmp_path / "dataset")
    ids = {split: {example.example_id.split("-")[0] for example in prepared.examples[split]} for split in SPLITS}
    assert ids == {"train": {"train"}, "val": {"train"}, "test": {"test"}}
    assert len(prepared.examples["test"]) == 3
    assert prepared.stats.figures == 13


def test_a_data_set_without_a_training_part_is_refused(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "source", {"validation": SCANS[:2], "test": SCANS[2:4]})
    with pytest.raises(InputError, match='has no part "train", only validation, test'):
        prepare(source, tmp_path / "dataset")


def test_rows_of_one_id_share_a_split(tmp_path: Path) -> None:
    rows = [replace(scan(number), id=f"patient {number // 4}") for number in range(32)]
    prepared = prepare(write_parquet(tmp_path / "source", {"train": rows}), tmp_path / "dataset")
    pairs = {(example.group, split) for split in SPLITS for example in prepared.examples[split]}
    assert len(pairs) == len({group for group, _ in pairs}) == 8
    assert {split for _, split in pairs} == set(SPLITS)


def test_copies_of_training_pictures_leave_the_other_splits(tmp_path: Path) -> None:
    lossy = encoded(picture("scan 0").resize((150, 112)), "JPEG")
    parts = {
        "train": [scan(0), scan(1)],
        "validation": [replace(scan(2), image=scan(1).image), scan(3)],
        "test": [replace(scan(4), image=lossy), scan(5), replace(scan(6), image=scan(3).image)],
    }
    prepared = prepare(write_parquet(tmp_path / "source", parts), tmp_path / "dataset")
    assert prepared.rules == {
        "validation-000001": "copy_across_splits",
        "test-000001": "near_duplicate_across_splits",
        "test-000003": "copy_across_splits",
    }
    assert {each.detail for each in prepared.rejected} == {
        "the same picture as train-000002 in train",
        "nearly the same picture as train-000001 in train",
        "the same picture as validation-000002 in val",
    }


def test_own_prompts_and_without_ids_the_image_is_the_group(tmp_path: Path) -> None:
    columns = replace(COLUMNS, prompt_column="ground_truth", id_column="")
    rows = [scan(0), replace(scan(1), ground_truth=" ")]
    prepared = prepare(write_parquet(tmp_path / "source", {"train": rows}), tmp_path / "dataset", TRAIN_ONLY, columns)
    assert [example.prompt for example in prepared.examples["train"]] == ["spot 0", PROMPT]
    assert all(example.group == example.image_sha256 for example in prepared.examples["train"])


def test_long_texts_end_at_a_sentence_and_short_ones_keep_their_lines(tmp_path: Path) -> None:
    report = "FINDINGS:\n- a bright spot on the left\n- no shift"
    long = " ".join(f"The part number {number} of the scan is plain." for number in range(40))
    rows = [replace(scan(0), caption=report), replace(scan(1), caption=long)]
    settings = replace(TRAIN_ONLY, max_words=35)
    prepared = prepare(write_parquet(tmp_path / "source", {"train": rows}), tmp_path / "dataset", settings)
    first, second = (example.completion for example in prepared.examples["train"])
    assert first == report
    assert (len(second.split()), second[-9:]) == (27, "is plain.")
    assert prepared.stats.shortened == {"given": 1}


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_is_identical_and_leaves_no_image_of_the_first(mixed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    source = write_parquet(tmp_path / "source", {"train": SCANS})
    prepare(source, dataset)
    once = _files(dataset)
    prepare(mixed, dataset, TRAIN_ONLY)
    others = _files(dataset)
    assert sum(name.startswith("images/") for name in others) == 2
    prepare(source, dataset)
    assert _files(dataset) == once
    prepare(mixed, dataset, TRAIN_ONLY)
    assert _files(dataset) == others


@each_row(
    ("column", "name", "complaint"),
    [
        (
            "image_column",
            "picture",
            r'no column "picture"; it has image, id, caption, ground_truth.*--data\.image_column',
        ),
        ("target_column", "report", r'no column "report".*--data\.target_column'),
        ("prompt_column", "question", r'no column "question".*--data\.prompt_column'),
        ("id_column", "patient", r'no column "patient".*--data\.id_column'),
    ],
)
def test_a_lacking_column_names_those_there_are(tmp_path: Path, column: str, name: str, complaint: str) -> None:
    source = write_parquet(tmp_path / "source", {"train": SCANS[:1]})
    with pytest.raises(InputError, match=complaint):
        prepare(source, tmp_path / "dataset", columns=replace(COLUMNS, **{column: name}))  # type: ignore[arg-type]


def test_nothing_usable_names_the_rule_and_the_setting(tmp_path: Path) -> None:
    rows: list[Scan] = [replace(scan(number), caption="Too short.") for number in range(3)]
    source = write_parquet(tmp_path / "source", {"train": rows})
    with pytest.raises(NothingProducedError, match=r"none of 3 rows .* too_short \(3 times\).*--prepare\.min_words"):
        prepare(source, tmp_path / "dataset", CHOICES)


def test_an_empty_data_set_is_said(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,id,caption,ground_truth\n", encoding="utf-8")
    with pytest.raises(NothingProducedError, match=r"has no rows.*--data\.source"):
        prepare(tmp_path / "rows.csv", tmp_path / "dataset")
