"""Records: strict reading, deterministic writing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from figtune.core.errors import ArtifactMissingError, InputError
from figtune.core.jsonl import ResumableJsonl, read_json, read_records, write_json, write_records
from tests.rows import each_row

COMMAND = "python make_it.py"


@dataclass(frozen=True, kw_only=True)
class Spot:
    x: float


@dataclass(frozen=True, kw_only=True)
class Line:
    schema: Literal[1] = 1
    caption: str
    spots: tuple[Spot, ...] = ()


def test_records_come_back_equal(tmp_path: Path) -> None:
    lines = [Line(caption="Ünïcode <b> \u2028 \n"), Line(caption="", spots=(Spot(x=0.1), Spot(x=2.0)))]
    assert write_records(tmp_path / "lines.jsonl", lines) == 2
    assert read_records(tmp_path / "lines.jsonl", Line, COMMAND) == lines


@each_row(
    ("text", "complaint"),
    [
        ('{"schema":1}', 'lines.jsonl:2: missing "caption"'),
        ('{"schema":1,"caption":"a","spots":[{}]}', 'lines.jsonl:2: missing "spots[0].x"'),
        ('{"schema":1,"caption":7}', 'lines.jsonl:2: "caption": expected `str`, got `int`'),
        ('{"schema":2,"caption":"a"}', 'lines.jsonl:2: "schema": invalid enum value 2'),
        ('{"caption":', "lines.jsonl:2: Input data was truncated"),
        ("", "lines.jsonl:2: Input data was truncated"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"caption":"good"}}\n{text}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_records(path, Line, COMMAND)
    assert caught.value.problem.endswith(complaint)
    assert COMMAND in caught.value.remedy


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"caption":"\xff"}\n')
    with pytest.raises(InputError, match=r"lines\.jsonl:1"):
        read_records(path, Line, COMMAND)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=COMMAND):
        read_records(tmp_path / "lines.jsonl", Line, COMMAND)
    with pytest.raises(ArtifactMissingError, match=COMMAND):
        read_json(tmp_path / "line.json", Line, COMMAND)


def test_a_single_value_comes_back_equal_and_is_read_as_strictly(tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    write_json(path, Line(caption="a", spots=(Spot(x=1.5),)))
    assert read_json(path, Line, COMMAND) == Line(caption="a", spots=(Spot(x=1.5),))
    path.write_text('{"spots":[]}')
    with pytest.raises(InputError, match='missing "caption"'):
        read_json(path, Line, COMMAND)


@each_row(
    "damage", [b'{"schema":1,"cap', b"\x00\x00\x00\n", b'{"schema":2,"caption":"of another version"}\n', b"\xff\n"]
)
def test_a_run_is_carried_on_up_to_the_first_damaged_line(tmp_path: Path, damage: bytes) -> None:
    lines = [Line(caption=str(number)) for number in range(4)]
    growing = ResumableJsonl(kind=Line, final=tmp_path / "lines.jsonl", fingerprint="f" * 64)
    growing.append(lines)
    whole = growing.path.read_bytes().splitlines(keepends=True)
    growing.path.write_bytes(b"".join((*whole[:3], damage, whole[3])))
    assert growing.resume([1, 1, 1, 1]) == lines[:3]
    growing.append(lines[3:])
    growing.commit()
    assert read_records(tmp_path / "lines.jsonl", Line, COMMAND) == lines
