"""Data sets as they are found: ids, texts and tables of every kind are read, or named as what they are."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

import prepare_data
from figtune.core.errors import ExitCode, InputError, NothingProducedError
from figtune.core.image_decoding import read_image
from figtune.dataset.records import SPLITS
from tests.dataset.content_maker import CHOICES, picture
from tests.dataset.scans import COLUMNS, TRAIN_ONLY, Prepared, encoded, prepare
from tests.rows import each_row

TEXT = "An axial scan of a head. A bright spot lies in the left half."
JOINED = "A family \U0001f468\u200d\U0001f469 and a\ttab stay."
UMLAUTS = "Ein Bild des Schädels von oben, gegenüber früheren Aufnahmen unverändert."
NO_ID = replace(COLUMNS, id_column="")


def pictures(folder: Path, count: int) -> list[str]:
    for number in range(count):
        (folder / f"{number}.png").write_bytes(encoded(picture(f"scan {number}")))
    return [f"{number}.png" for number in range(count)]


def jsonl(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "rows.jsonl"


def parquet(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(rows)), folder / "rows.parquet")
    return folder / "rows.parquet"


def splits_of(prepared: Prepared) -> dict[str, set[str]]:
    """Splits by group."""
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        for example in prepared.examples[split]:
            found.setdefault(example.group, set()).add(split)
    return found


@each_row("form", ["csv", "parquet"])
def test_ids_that_one_empty_cell_turns_into_floats_keep_rows_together(tmp_path: Path, form: str) -> None:
    names = pictures(tmp_path, 24)
    ids = [1000 + number // 2 for number in range(23)]
    if form == "csv":
        lines = [f"{name},{TEXT},{row_id}\n" for name, row_id in zip(names, [*ids, ""], strict=True)]
        (tmp_path / "rows.csv").write_text("image,caption,id\n" + "".join(lines), encoding="utf-8")
        source = tmp_path / "rows.csv"
    else:
        cells = zip(names, [*map(float, ids), float("nan")], strict=True)
        source = parquet(tmp_path, [{"image": name, "caption": TEXT, "id": row_id} for name, row_id in cells])
    prepared = prepare(source, tmp_path / "dataset", replace(CHOICES, near_duplicate_bits=0))
    groups = splits_of(prepared)
    assert sorted(groups) == [str(1000 + number) for number in range(12)]
    assert all(len(splits) == 1 for splits in groups.values())
    assert set.union(*groups.values()) == set(SPLITS)
    assert prepared.rules == {"row-000024": "no_id"}


def test_rows_without_an_id_stay_where_the_data_set_itself_has_splits(tmp_path: Path) -> None:
    names = pictures(tmp_path, 2)
    source = jsonl(tmp_path, [{"image": name, "caption": TEXT, "id": None} for name in names])
    prepared = prepare(source, tmp_path / "dataset", TRAIN_ONLY)
    assert all(example.group == example.image_sha256 for example in prepared.examples["train"])
    assert prepared.rejected == []


@each_row(
    ("values", "expected"),
    [
        ([1000, 1000.0, "1000", " 1000 ", "1000.0"], "1000"),
        ([True], "True"),
        ([0.5, "0.5"], "0.5"),
        (["Müller"], "Müller"),
        (["007"], "007"),
        ([10**16, 1e16], "10000000000000000"),
        (["half \ud800"], "half ?"),
    ],
)
def test_any_scalar_is_an_id(tmp_path: Path, values: list[object], expected: str) -> None:
    names = pictures(tmp_path, len(values))
    source = jsonl(
        tmp_path,
        [{"image": name, "caption": TEXT, "id": value} for name, value in zip(names, values, strict=True)],
    )
    prepared = prepare(source, tmp_path / "dataset", TRAIN_ONLY)
    assert [example.group for example in prepared.examples["train"]] == [expected] * len(values)


@each_row(
    ("value", "expected"),
    [
        (Decimal("1000.00"), "1000"),
        (Decimal("10.50"), "10.50"),
        (date(2020, 1, 31), "2020-01-31"),
        (datetime(2020, 1, 31), "2020-01-31"),
        (datetime(2020, 1, 31, 9, 30), "2020-01-31 09:30:00"),
    ],
)
def test_typed_scalars_of_parquet_are_ids(tmp_path: Path, value: object, expected: str) -> None:
    source = parquet(tmp_path, [{"image": pictures(tmp_path, 1)[0], "caption": TEXT, "id": value}])
    (example,) = prepare(source, tmp_path / "dataset", TRAIN_ONLY).examples["train"]
    assert example.group == expected


@each_row("value", [["a"], {"a": 1}, {"bytes": b"png", "path": None}, b"binary"])
def test_a_column_that_cannot_be_an_id_stops_the_run(tmp_path: Path, value: object) -> None:
    source = parquet(tmp_path, [{"image": pictures(tmp_path, 1)[0], "caption": TEXT, "id": value}])
    with pytest.raises(InputError, match=r'train row 1: the column "id" cannot be an id.*--data\.id_column'):
        prepare(source, tmp_path / "dataset", TRAIN_ONLY)


def test_every_caption_of_an_image_is_an_example(tmp_path: Path) -> None:
    one, other, empty = pictures(tmp_path, 3)
    rows = [
        {"image": one, "caption": [f"{TEXT} Caption {number}." for number in range(3)]},
        {"image": other, "caption": [TEXT, "Too short.", ""]},
        {"image": empty, "caption": []},
    ]
    prepared = prepare(jsonl(tmp_path, rows), tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    ids = [example.example_id for example in prepared.examples["train"]]
    assert ids == ["row-000001", "row-000001-2", "row-000001-3", "row-000002"]
    assert len({example.image for example in prepared.examples["train"]}) == 2
    assert prepared.rules == {"row-000002-2": "too_short", "row-000003": "no_text"}
    assert prepared.stats.figures == prepared.stats.figures_used + prepared.stats.figures_rejected == 6


@each_row(
    ("cell", "target", "prompt"),
    [
        ({"text": TEXT, "ask": "What is this?"}, "conv.text", "conv.ask"),
        ([{"text": TEXT, "ask": "What is this?"}], "conv.text", "conv.0.ask"),
        ([{"from": "human", "value": "What is this?"}, {"from": "gpt", "value": TEXT}], "conv.1.value", "conv.0.value"),
    ],
)
def test_nested_columns_are_named_with_dots(tmp_path: Path, cell: object, target: str, prompt: str) -> None:
    source = jsonl(tmp_path, [{"image": pictures(tmp_path, 1)[0], "conv": cell}])
    columns = replace(NO_ID, target_column=target, prompt_column=prompt)
    (example,) = prepare(source, tmp_path / "dataset", TRAIN_ONLY, columns).examples["train"]
    assert (example.prompt, example.completion) == ("What is this?", TEXT)


@each_row(
    ("cell", "target", "complaint"),
    [
        ({"text": TEXT}, "conv", r'"conv" holds no texts but nested values.*conv\.text with --data\.target_column'),
        ([{"raw": TEXT}], "conv", r"conv\.0\.raw with --data\.target_column"),
        (
            {"bytes": None, "path": "a.png"},
            "conv",
            r'"conv" holds no texts; name a column of texts with --data\.target',
        ),
        ({"text": TEXT}, "conv.words", r'no column "conv\.words"; it has image, conv\.text; .*--data\.target_column'),
        (
            [{"role": "user", "content": TEXT}],
            "conv.content",
            r"turns of a conversation.*conv\.0\.content",
        ),
    ],
)
def test_what_is_nested_is_named_with_what_can_be_typed(
    tmp_path: Path, cell: object, target: str, complaint: str
) -> None:
    source = jsonl(tmp_path, [{"image": pictures(tmp_path, 1)[0], "conv": cell}])
    with pytest.raises(InputError, match=complaint):
        prepare(source, tmp_path / "dataset", TRAIN_ONLY, replace(NO_ID, target_column=target))


def test_a_table_beside_many_pictures_is_named(tmp_path: Path) -> None:
    rows = [{"image": name, "caption": TEXT} for name in pictures(tmp_path, 3)]
    table = jsonl(tmp_path, rows)
    with pytest.raises(InputError, match="it has image") as refused:
        prepare(tmp_path, tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    assert str(refused.value).endswith(f"or give a table in it: --data.source {table}")
    assert len(prepare(table, tmp_path / "dataset", TRAIN_ONLY, NO_ID).examples["train"]) == 3


def test_the_annotation_file_of_coco_is_named_as_that(tmp_path: Path) -> None:
    file = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": TEXT}]}
    (tmp_path / "captions.json").write_text(json.dumps(file), encoding="utf-8")
    with pytest.raises(InputError, match=r"annotation file in the layout of COCO; give lines such as"):
        prepare(tmp_path / "captions.json", tmp_path / "dataset")


@each_row("lines", [True, False])
def test_json_files_hold_an_array_or_lines(tmp_path: Path, lines: bool) -> None:
    rows = [{"image": name, "caption": f"{TEXT} Line\u2028separators stay."} for name in pictures(tmp_path, 3)]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) if lines else json.dumps(rows, indent=1)
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    assert prepare(tmp_path / "rows.json", tmp_path / "dataset", TRAIN_ONLY, NO_ID).stats.figures_used == 3


@each_row("delimiter", [",", ";", "\t", "|"])
def test_tables_of_any_delimiter_and_encoding(tmp_path: Path, delimiter: str) -> None:
    names = pictures(tmp_path, 2)
    path = tmp_path / ("rows.tsv" if delimiter == "\t" else "rows.csv")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"):
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["image", "id", "caption", "a,b;c"])
            writer.writerows([name, number, f'{UMLAUTS}\n"Zweite; Zeile"', "x"] for number, name in enumerate(names))
        prepared = prepare(path, tmp_path / encoding, TRAIN_ONLY)
        completions = [example.completion for example in prepared.examples["train"]]
        assert completions == [f'{UMLAUTS}\n"Zweite; Zeile"'] * 2, encoding


def test_ids_of_a_table_stay_as_they_are_written(tmp_path: Path) -> None:
    names = pictures(tmp_path, 3)
    rows = "".join(f"{name},{row_id},{TEXT}\n" for name, row_id in zip(names, ("007", "12", "A7"), strict=True))
    (tmp_path / "rows.csv").write_text(f"image,id,caption\n{rows}", encoding="utf-8")
    prepared = prepare(tmp_path / "rows.csv", tmp_path / "dataset", TRAIN_ONLY)
    assert [example.group for example in prepared.examples["train"]] == ["007", "12", "A7"]


@each_row("missing", ["", "NA", "NaN", "null", "  "])
def test_missing_cells_are_no_texts(tmp_path: Path, missing: str) -> None:
    (name,) = pictures(tmp_path, 1)
    (tmp_path / "rows.csv").write_text(f"image,caption\n{name},{missing}\n{name},{TEXT}\n", encoding="utf-8")
    prepared = prepare(tmp_path / "rows.csv", tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    assert prepared.rules == {"row-000001": "no_text"}


@each_row(
    ("name", "content", "complaint"),
    [
        ("rows.csv", "image,caption\na.png\n", r"rows\.csv, line 2: 1 cells where the header has 2"),
        (
            "rows.csv",
            "image,caption,caption\na.png,a,b\n",
            r'line 1: the header has the column "caption" more than once',
        ),
        ("rows.csv", 'image,caption\na.png,"open\n', r"rows\.csv, line 2: unexpected end of data"),
        ("rows.jsonl", '{"image": "a.png"}\n[1]\n', r"rows\.jsonl, row 2: list where an object should be"),
        ("rows.jsonl", '{"image": "a.png"\n', r"rows\.jsonl, line 1: "),
        ("rows.json", "7", r"rows\.json, row 1: int where an object should be"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    columns = replace(NO_ID, target_column="image")
    with pytest.raises(InputError, match=complaint):
        prepare(tmp_path / name, tmp_path / "dataset", TRAIN_ONLY, columns)


@each_row("name", ["rows.csv", "rows.tsv", "rows.json", "rows.jsonl", "rows.parquet"])
def test_a_data_set_of_no_rows_is_one_line(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    if name == "rows.parquet":
        pyarrow.parquet.write_table(pa.table({"image": pa.array([], pa.string())}), path)
    else:
        path.write_text("[]" if name == "rows.json" else "\n" if name == "rows.jsonl" else "", encoding="utf-8")
    flags = ["--data.source", str(path), "--work_dir", str(tmp_path / "work")]
    assert prepare_data.main(flags) == ExitCode.NOTHING_PRODUCED
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.count("error: the data set has no rows") == 1


def test_equal_rows_are_counted_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, other = pictures(tmp_path, 2)
    rows = [{"image": name, "caption": TEXT} for name in (one, one, one, other)]
    rows.append({"image": one, "caption": f"{TEXT} Another text."})
    prepared = prepare(jsonl(tmp_path, rows), tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    assert (prepared.stats.duplicates, prepared.stats.figures_used) == (2, 5)
    assert "training examples that repeat picture, prompt and text of another one: 2 of 5" in capfd.readouterr().err


def test_remarks_on_images_are_counted_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    deep = Image.fromarray(np.asarray(picture("scan"), dtype=np.uint16) * 16)
    frames = [picture("one").convert("P"), picture("two").convert("P")]
    deep.save(tmp_path / "deep.png")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    picture("dark").point(lambda level: level // 5).save(tmp_path / "dark.png")
    names = ["deep.png", "moving.gif", "dark.png", *pictures(tmp_path, 1)]
    source = jsonl(tmp_path, [{"image": name, "caption": TEXT} for name in names])
    prepared = prepare(source, tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    assert prepared.stats.image_remarks == {"dark": 1, "first_frame": 1, "grey_window": 1}
    said = capfd.readouterr().err
    for words in ("the first is used", "greys of more than 8 bits", "brighter than a quarter"):
        assert sum(words in line and line.endswith(": 1 of 4") for line in said.splitlines()) == 1


def test_a_picture_too_dark_to_have_ink_is_said_to_be_dark(tmp_path: Path) -> None:
    picture("scan").point(lambda level: level // 16).convert("RGB").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(encoded(picture("other")))
    source = jsonl(tmp_path, [{"image": name, "caption": TEXT} for name in ("a.png", "b.png")])
    (rejected,) = prepare(source, tmp_path / "dataset", TRAIN_ONLY, NO_ID).rejected
    assert rejected.rule == "blank_image"
    assert rejected.detail.endswith("; it has nothing brighter than a quarter of white")


@each_row("form", ["deep", "turned", "clear", "print", "lab"])
def test_what_is_stored_is_what_is_judged_and_seen(tmp_path: Path, form: str) -> None:
    grey = picture("scan")
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / ("a.tif" if form in ("print", "lab") else "a.png")
    made = {
        "deep": Image.fromarray(np.asarray(grey, dtype=np.uint16) * 16),
        "turned": grey.convert("RGB"),
        "clear": Image.merge("LA", (grey, grey.rotate(180))),
        "print": Image.merge("CMYK", (grey, grey.rotate(180), grey, grey)),
        "lab": Image.merge("LAB", (grey, grey.rotate(180), grey)),
    }[form]
    made.save(path, exif=exif if form == "turned" else b"")
    source = jsonl(tmp_path, [{"image": path.name, "caption": TEXT}])
    (example,) = prepare(source, tmp_path / "dataset", TRAIN_ONLY, NO_ID).examples["train"]
    stored = tmp_path / "dataset" / example.image
    with Image.open(stored) as plain:
        assert plain.convert("RGB").tobytes() == read_image(stored).tobytes() == read_image(path).tobytes()


@each_row(
    ("text", "kept", "counted"),
    [
        (f"\x00{TEXT}\x07", TEXT, True),
        (f"\x1b[1;31m{TEXT}\x1b[0m", TEXT, True),
        (f"{TEXT}\x1b", TEXT, True),
        (f"[1] {TEXT}", f"[1] {TEXT}", False),
        (f"\ufeff {TEXT}", TEXT, True),
        ("Two lines\r\nof a caption\ras files have them.", "Two lines\nof a caption\nas files have them.", False),
        (JOINED, JOINED, False),
    ],
)
def test_characters_that_are_never_printed_are_left_out_and_counted(
    tmp_path: Path, text: str, kept: str, counted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    rows = [{"image": pictures(tmp_path, 1)[0], "caption": text, "ask": f"{text}?"}]
    columns = replace(NO_ID, prompt_column="ask")
    prepared = prepare(jsonl(tmp_path, rows), tmp_path / "dataset", TRAIN_ONLY, columns)
    (example,) = prepared.examples["train"]
    assert (example.completion, example.prompt) == (kept, f"{kept}?")
    assert ("control characters in their texts, left out there: 1" in capfd.readouterr().err) == counted


def test_a_limit_takes_the_first_rows_of_each_part(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    for part in ("train", "test"):
        rows = [{"image": name, "caption": f"{TEXT} {part}."} for name in pictures(folder, 6)]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = replace(TRAIN_ONLY, near_duplicate_bits=0)
    prepared = prepare(folder, tmp_path / "dataset", settings, NO_ID, limit=4)
    assert prepared.stats.figures == 8
    assert [example.example_id for example in prepared.examples["train"]] == [f"train-{n:06d}" for n in range(1, 5)]


def test_a_limit_is_part_of_what_the_data_set_is_made_from(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": name, "caption": TEXT} for name in pictures(tmp_path, 12)]
    source = jsonl(tmp_path, rows)
    flags = ["--data.source", str(source), "--work_dir", str(tmp_path / "work"), "--prepare.min_side_pixels", "32"]
    assert prepare_data.main([*flags, "--data.limit", "9"]) == ExitCode.DONE
    assert "9 rows used" in capfd.readouterr().err
    assert prepare_data.main([*flags, "--dry_run"]) == ExitCode.DONE
    assert capfd.readouterr().out == "prepare: settings changed: data.limit 9 -> 0\n"


def test_without_any_id_the_rule_and_its_flag_are_named(tmp_path: Path) -> None:
    source = jsonl(tmp_path, [{"image": pictures(tmp_path, 1)[0], "caption": TEXT, "id": ""}])
    with pytest.raises(NothingProducedError, match=r"rule no_id .*change --data\.id_column"):
        prepare(source, tmp_path / "dataset")


def test_one_decoder_failure_is_one_rejected_row(tmp_path: Path) -> None:
    good, other = pictures(tmp_path, 2)
    Image.new("RGB", (200, 200)).save(tmp_path / "exif.webp", exif=b"Exif\0\0garbage-garbage")
    Image.new("RGB", (200, 200)).save(tmp_path / "texture.dds")
    avif = encoded(picture("scan"), "AVIF")
    (tmp_path / "damaged.avif").write_bytes(avif[: len(avif) // 2])
    names = [good, "exif.webp", "texture.dds", "damaged.avif", "/dev/zero", ".", "a\0b.png", "x" * 9000, other]
    rows = [{"image": name, "caption": TEXT} for name in names]
    prepared = prepare(jsonl(tmp_path, rows), tmp_path / "dataset", TRAIN_ONLY, NO_ID)
    rules = ["unreadable_image"] * 3 + ["no_image"] * 4
    assert prepared.rules == {f"row-{number:06d}": rule for number, rule in enumerate(rules, start=2)}
    assert all(0 < len(each.detail) < 400 for each in prepared.rejected)


def test_a_folder_with_a_very_long_path_makes_the_same(tmp_path: Path) -> None:
    source = jsonl(tmp_path, [{"image": name, "caption": TEXT} for name in pictures(tmp_path, 3)])
    long = tmp_path.joinpath(*["ü" * 100] * 5)
    made = [prepare(source, folder, TRAIN_ONLY, NO_ID).examples for folder in (tmp_path / "short", long)]
    assert made[0] == made[1]
    assert len(made[0]["train"]) == 3
    assert not list(long.glob(".partial-*"))
