"""Write docs/settings.md from config.py and the settings classes: `python -m docs.settings`."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path

from config import PRESETS, Config
from figtune.core.settings import flatten

PAGE = Path(__file__).parent / "settings.md"
INTRODUCTION = """# Settings

Made from the code by `python -m docs.settings`; `python main.py --help` prints the same. Values live in
[config.py](../config.py): edit a constant there or pass the flag, both do the same. Order, last wins: defaults <
`--preset NAME` or `--config FILE` < flags. Resolved settings are written to OUTPUT/config.json, which `--config` reads;
those of steps that were left out are what the folders on the disk were made with.
"""


def settings_page() -> str:
    """Return the page: a table of every flag by section, then the presets with what they change."""
    config = Config()
    nested = [field.name for field in fields(config) if is_dataclass(getattr(config, field.name))]
    sections = [_section("Run", config, "", skip=nested)]
    sections += [_section(name.capitalize(), getattr(config, name), f"{name}.", skip=()) for name in nested]
    return "\n".join([INTRODUCTION, *sections, _presets()])


def _section(title: str, settings: object, prefix: str, *, skip: list[str] | tuple[str, ...]) -> str:
    documented = {name: text for kind in type(settings).__mro__[-2::-1] for name, text in _field_docstrings(kind)}
    rows = [
        f"| `--{prefix}{field.name}` | {_value(getattr(settings, field.name))} | {documented[field.name]} |"
        for field in fields(settings)  # type: ignore[arg-type]  # a dataclass, as is_dataclass has seen
        if field.name not in skip
    ]
    return "\n".join([f"## {title}\n", "| flag | default | meaning |", "|---|---|---|", *rows, ""])


def _field_docstrings(kind: type[object]) -> Iterator[tuple[str, str]]:
    """Yield each documented field of a dataclass with the string literal below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, following in pairwise(body.body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            yield node.target.id, " ".join(str(following.value.value).split()).replace("|", "\\|")


def _presets() -> str:
    defaults = flatten(Config())
    lines = ["## Presets\n"]
    for name, make in PRESETS.items():
        preset = flatten(make())
        changed = {key: value for key, value in preset.items() if value != defaults[key]}
        lines.append(f"`--preset {name}`: {' '.join((make.__doc__ or '').split())}\n")
        lines += [f"- `--{key}` {_value(_portable(value))}" for key, value in changed.items()]
        lines.append("")
    return "\n".join(lines)


def _portable(value: object) -> object:
    """Return paths into this checkout relative to it."""
    root = str(Path(__file__).parent.parent)
    return value.removeprefix(f"{root}/") if isinstance(value, str) else value


def _value(value: object) -> str:
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def main() -> int:
    """Write the page."""
    PAGE.write_text(settings_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
