"""Flags, commands and files named in README and docs exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

import config
from figtune.core.errors import FigtuneError
from figtune.core.settings import flatten
from tests.rows import each_row

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")))
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z_.]+[a-z])")
_OF_LAUNCHERS = {
    *("standalone", "nproc_per_node", "nnodes", "rdzv_backend", "rdzv_endpoint", "rdzv_id"),
    *("num_processes", "use_fsdp", "fsdp_version", "nodes", "ntasks", "gpus"),
}
_OF_BENCHMARKS = {
    "encoder",
    *(
        "base",
        "rows",
        "size",
        "tasks",
        "model",
        "ways",
        "seeds",
        "epochs",
        "learning_rate",
        "examples_per_second",
        "wrong",
    ),
    *("examples_per_second", "wrong", "flags", "minutes", "price", "again", "panels"),
}
_OF_SERVERS = {"max", "enable", "ctx", "chat", "mmproj", "lora"}
_OF_OTHERS = {"quiet", "help", "logdir"} | _OF_LAUNCHERS | _OF_BENCHMARKS | _OF_SERVERS
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
_COMMAND = re.compile(r"python ((?:main|extract_content|prepare_data|setup_model|train_model|test_model)\.py[^\n`#]*)")


def _text() -> str:
    return "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)


def test_every_flag_named_exists() -> None:
    known = flatten(config.Config())
    switched_off = {re.sub(r"([^.]+)$", r"no_\1", name) for name, value in known.items() if isinstance(value, bool)}
    named = set(_FLAG.findall(_text())) - _OF_OTHERS
    assert named - known.keys() - switched_off == set()


@each_row("page", PAGES)
def test_every_file_linked_exists(page: str) -> None:
    links = _LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def _check_parses(command: str, arguments: Sequence[str]) -> None:
    try:
        config.parse([each for each in arguments if each != "--help"], command, "")
    except (SystemExit, FigtuneError) as refused:
        pytest.fail(f"{command}: {refused}")


def test_every_command_shown_parses() -> None:
    commands = sorted({match.strip() for match in _COMMAND.findall(_text())})
    assert len(commands) > 10
    for command in commands:
        _check_parses(command, shlex.split(command)[1:])


def test_every_flag_shown_with_a_value_takes_it() -> None:
    sections = ("extract", "data", "prepare", "model", "adapter", "train", "test")
    shown = sorted(set(re.findall(rf"`(--(?:{'|'.join(sections)})\.[^` \n]+ [^`\n]+)`", _text())))
    assert len(shown) > 10
    for flags in shown:
        _check_parses(flags, re.sub(r"\bN\b", "2", flags).split())
