"""Settings files are read strictly and come back equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from figtune.core.errors import UsageError
from figtune.core.settings import decode, encode, flatten
from tests.rows import each_row


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    folder: Path = Path("x")
    image: Path | None = None
    inner: Inner = field(default_factory=Inner)


@each_row("settings", [Outer(), Outer(Path("a/b"), Path("é.png"), Inner(2.0, ()))])
def test_settings_come_back_equal(settings: Outer) -> None:
    assert decode(Outer(), encode(settings), "file") == settings


def test_flat_names_are_dotted_and_whole_floats_are_the_integers_people_type() -> None:
    flat = flatten(Outer(inner=Inner(rate=3.0)), "run.")
    assert flat == {"run.folder": "x", "run.image": None, "run.inner.rate": 3, "run.inner.names": ("a",)}


@each_row(
    ("text", "complaint"),
    [
        ('{"inner": {"rat": 1}}', 'f.json: unknown setting "inner.rat"; did you mean "inner.rate"?'),
        ('{"zzz": 1}', 'f.json: unknown setting "zzz"; known names: folder, image, inner'),
        ('{"inner": {"rate": "fast"}}', "Expected `float`, got `str` - at `$.inner.rate`"),
        ('{"inner": 3}', "Expected `object`, got `int` - at `$.inner`"),
        ('{"folder": 3}', "Expected a path, got `3` - at `$.folder`"),
        ("[]", "Expected `object`, got `array`"),
        ("{", "f.json: Input data was truncated"),
    ],
)
def test_a_settings_file_is_read_strictly(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(Outer(), text.encode(), "f.json")
    assert complaint in str(caught.value)
