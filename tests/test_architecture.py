"""The shape of the code: who may import whom, what scripts may be, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ("extract_content", "prepare_data", "setup_model", "train_model", "test_model")
ROOT_MODULES = (*SCRIPTS, "main", "config")
HEAVY = (
    *("torch", "transformers", "peft", "datasets", "accelerate", "bitsandbytes"),
    *("pymupdf", "matplotlib", "PIL", "ray", "gradio"),
)
ARROWS = {
    "core": set[str](),
    "pdf": {"core"},
    "layout": {"pdf", "core"},
    "figures": {"layout", "pdf", "core"},
    "extraction": {"figures", "layout", "pdf", "core"},
    "dataset": {"extraction", "pdf", "core"},
    "models": {"core"},
    "batches": {"dataset", "models", "core"},
    "inference": {"batches", "dataset", "extraction", "models", "core"},
    "training": {"inference", "batches", "dataset", "models", "reports", "core"},
    "evaluation": {"inference", "batches", "dataset", "metrics", "models", "reports", "core"},
    "publishing": {"inference", "batches", "dataset", "models", "core"},
    "metrics": {"core"},
    "reports": {"extraction", "dataset", "metrics", "pdf", "core"},
}
DATA_MODEL = "figtune.extraction.records"
"""Types of what extraction writes: they import nothing of this project, and what finds figures may use them too."""
WITHOUT_TORCH = ("core", "pdf", "layout", "figures", "extraction", "dataset", "metrics", "reports")
MODULES = sorted((ROOT / "figtune").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    here = path.relative_to(ROOT).parts
    for imported in _imports(_parse(path)):
        assert imported.split(".")[0] not in ROOT_MODULES, f"{_name(path)} imports the script {imported}"
        if imported.startswith(DATA_MODEL):
            continue
        parts = imported.split(".")
        if parts[0] == "figtune" and len(parts) > 1 and len(here) > 2 and parts[1] != here[1]:
            assert parts[1] in ARROWS[here[1]], f"{_name(path)} must not import {imported}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_models_know_torch(path: Path) -> None:
    package = path.relative_to(ROOT).parts[1]
    if package in WITHOUT_TORCH:
        roots = {imported.split(".")[0] for imported in _imports(_parse(path))}
        assert not roots & {"torch", "transformers", "peft", "accelerate", "bitsandbytes"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_say_what_they_hold_and_stay_readable(path: Path) -> None:
    tree = _parse(path)
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{_name(path)}: {node.name} has {length} lines"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_stage_script_reads_like_a_table_of_contents(script: str) -> None:
    path = ROOT / f"{script}.py"
    tree = _parse(path)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"describe", "run", "main"} <= functions
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 145
    imported = {name.split(".")[0] for name in _imports(tree)}
    assert not imported & {*SCRIPTS, "main", "re", *HEAVY}
    assert f"python {script}.py" in (ast.get_docstring(tree) or "")


def test_importing_the_scripts_imports_nothing_heavy() -> None:
    code = f"import sys, {', '.join(ROOT_MODULES)}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("script", [*SCRIPTS, "main"])
def test_help_is_cheap_and_shows_what_the_script_does(script: str) -> None:
    code = (
        f"import sys, {script}\n"
        f"try: {script}.main(['--help'])\n"
        f"except SystemExit as stop: assert stop.code == 0\n"
        f"print('heavy:', *sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("heavy:")
    assert "--train.learning_rate" in done.stdout
    assert f"python {script}.py" in done.stdout


def test_the_data_model_stands_alone() -> None:
    tree = _parse(ROOT / (DATA_MODEL.replace(".", "/") + ".py"))
    assert not [imported for imported in _imports(tree) if imported.split(".")[0] == "figtune"]
