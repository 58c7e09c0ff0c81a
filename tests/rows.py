"""Tables whose rows try one property: one test tries them all, and names each row that fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

_Test = Callable[..., None]

_SHOWN = 80
"""Characters of a value in the name of a row that fails."""


def each_row(names: str | Sequence[str], rows: Iterable[object]) -> Callable[[_Test], _Test]:
    """Decorate a test to be called for each row, as by `pytest.mark.parametrize`, but within one case.

    Each row has a `tmp_path` and a `monkeypatch` of its own; other fixtures are shared, so only those fit that a row
    leaves as it found them.
    """
    columns = (names,) if isinstance(names, str) else tuple(names)
    table = [row if isinstance(row, tuple) and len(columns) > 1 else (row,) for row in rows]
    assert table, "a table without rows tries nothing"

    def decorate(test: _Test) -> _Test:
        signature = inspect.signature(test)
        wanted = [each for name, each in signature.parameters.items() if name not in columns]
        nested = "subtests" in signature.parameters
        if not nested:
            wanted.append(inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY))

        @functools.wraps(test)
        def run(**fixtures: object) -> None:
            subtests = fixtures["subtests"] if nested else fixtures.pop("subtests")
            assert isinstance(subtests, pytest.Subtests)
            for number, row in enumerate(table):
                values = dict(zip(columns, row, strict=True))
                shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in values.items())
                with subtests.test(f"row {number}: {shown}"), pytest.MonkeyPatch.context() as patched:
                    own = {"monkeypatch": patched} if "monkeypatch" in fixtures else {}
                    test(**{**fixtures, **own, **_own_folder(fixtures, number), **values})

        run.__signature__ = signature.replace(parameters=wanted)  # type: ignore[attr-defined]
        return run

    return decorate


def _own_folder(fixtures: dict[str, object], number: int) -> dict[str, Path]:
    if not isinstance(folder := fixtures.get("tmp_path"), Path):
        return {}
    (folder / f"row-{number}").mkdir()
    return {"tmp_path": folder / f"row-{number}"}
