"""Tables whose rows try one property: one test tries them all, and a failure names its row."""

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
    leaves as it found them. pytest's subtests would do too, at several milliseconds a row.
    """
    columns = (names,) if isinstance(names, str) else tuple(names)
    table = [row if isinstance(row, tuple) and len(columns) > 1 else (row,) for row in rows]
    assert table, "a table without rows tries nothing"

    def decorate(test: _Test) -> _Test:
        @functools.wraps(test)
        def run(**fixtures: object) -> None:
            for number, row in enumerate(table):
                values = dict(zip(columns, row, strict=True))
                with pytest.MonkeyPatch.context() as patched:
                    own = {"monkeypatch": patched} if "monkeypatch" in fixtures else {}
                    try:
                        test(**{**fixtures, **own, **_own_folder(fixtures, number), **values})
                    except BaseException as error:
                        shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in values.items())
                        error.add_note(f"in row {number}: {shown}")
                        raise

        signature = inspect.signature(test)
        wanted = [each for name, each in signature.parameters.items() if name not in columns]
        run.__signature__ = signature.replace(parameters=wanted)  # type: ignore[attr-defined]
        return run

    return decorate


def _own_folder(fixtures: dict[str, object], number: int) -> dict[str, Path]:
    if not isinstance(folder := fixtures.get("tmp_path"), Path):
        return {}
    (folder / f"row-{number}").mkdir()
    return {"tmp_path": folder / f"row-{number}"}
