"""Draw docs/packages.svg from the imports between the packages of figtune: `python -m docs.packages`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from docs.draw import STYLE

ROOT = Path(__file__).parent.parent
PICTURE = Path(__file__).parent / "packages.svg"
DATA_MODELS = ("figtune.extraction.records", "figtune.dataset.records")
"""Record types that layout and figures fill in, and that metrics read; they import nothing of figtune."""
_WIDTH, _HEIGHT = 128, 34
_COLUMN, _ROW = 150, 76
_MARGIN = 20

Imports = Mapping[str, frozenset[str]]


def package_imports() -> Imports:
    """Return the packages that each package of figtune imports."""
    packages = sorted(path.parent.name for path in (ROOT / "figtune").glob("*/__init__.py"))
    return {package: _imported(ROOT / "figtune" / package) for package in packages}


def _imported(folder: Path) -> frozenset[str]:
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if module.startswith("figtune.") and module not in DATA_MODELS:
                names.add(module.split(".")[1])
    return frozenset(names - {folder.name})


def packages_picture(imports: Imports) -> str:
    """Return the drawing: one box per package, lower ones first, an arrow for each import that no other implies.

    Raises:
        RecursionError: imports go in circles.
    """
    levels: dict[int, list[str]] = {}
    for package in imports:
        levels.setdefault(_level(package, imports), []).append(package)
    rows = [sorted(levels[level]) for level in sorted(levels, reverse=True)]
    widest = max(map(len, rows))
    places = {
        package: (
            _MARGIN + round((column + (widest - len(row)) / 2) * _COLUMN),
            _MARGIN + index * _ROW,
        )
        for index, row in enumerate(rows)
        for column, package in enumerate(row)
    }
    parts = [_arrow(places[package], places[below]) for package in imports for below in _direct(package, imports)]
    parts += [_box(package, *place) for package, place in places.items()]
    width, height = 2 * _MARGIN + widest * _COLUMN - (_COLUMN - _WIDTH), 2 * _MARGIN + len(rows) * _ROW - 42
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join((head, STYLE, *parts, "</svg>", ""))


def _level(package: str, imports: Imports) -> int:
    return 1 + max((_level(below, imports) for below in imports[package]), default=0)


def _direct(package: str, imports: Imports) -> list[str]:
    """Return the imports of a package that are not imports of its imports: the others would only be more lines."""
    implied = {further for below in imports[package] for further in _reached(below, imports)}
    return sorted(imports[package] - implied)


def _reached(package: str, imports: Imports) -> set[str]:
    return set(imports[package]).union(*(_reached(below, imports) for below in imports[package]))


def _box(name: str, left: int, top: int) -> str:
    return (
        f'<rect class="box" x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="middle" x="{left + _WIDTH // 2}" y="{top + 22}">{name}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x, y = start[0] + _WIDTH // 2, start[1] + _HEIGHT
    to_x, to_y = end[0] + _WIDTH // 2, end[1]
    bend = (to_y - y) // 2
    return (
        f'<path class="line" d="M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y - 7}"/>'
        f'<path class="arrow" d="M{to_x} {to_y}l-4 -8h8z"/>'
    )


def main() -> int:
    """Write the drawing."""
    PICTURE.write_text(packages_picture(package_imports()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
