"""The shape of the code: who may import whom, what scripts may be, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.rows import each_row

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
    "batching": {"dataset", "models", "core"},
    "inference": {"batching", "dataset", "extraction", "models", "core"},
    "training": {"inference", "batching", "dataset", "models", "core"},
    "evaluation": {"inference", "batching", "dataset", "metrics", "models", "reports", "core"},
    "export": {"inference", "batching", "dataset", "models", "core"},
    "metrics": {"core"},
    "reports": {"extraction", "dataset", "metrics", "pdf", "core"},
    "review": {"extraction", "dataset", "pdf", "core"},
}
DATA_MODELS = ("figtune.extraction.records", "figtune.dataset.records")
"""Types of what extraction and preparation write: they import nothing of this project, and any package may use them."""
TORCH = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
WITHOUT_TORCH = ("core", "pdf", "layout", "figures", "extraction", "dataset", "metrics", "reports", "review")
NO_SUBJECTS = ("What ", "Whether ", "Of ", "Those ", "So many ")
"""Beginnings of sentences that do not say what a thing is."""
NO_NOUNS = ("Which ", "Where ", "How ", "As ", "Its ", "When ", "From ", "By ", "In ", "For ", "With ", "At ")
"""Beginnings of fragments, which the product's docstrings do without too."""
NO_VERBS = ("The ", "A ", "An ", "All ", "Every ", "Each ", "One ")
"""Beginnings with a noun, which is for modules, classes, fields and properties; a function's begins with a verb."""
LEAST_LINES = 70
"""Fewer lines are no room of their own for a single importer."""
DISTRIBUTED = ROOT / "figtune" / "core" / "distributed.py"
"""The one module below models that uses torch, within functions: importing it stays cheap."""
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


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _may_import(here: str, imported: str) -> bool:
    """Return whether a module of the package `here` may import `imported`."""
    parts = imported.split(".")
    if parts[0] in ROOT_MODULES:
        return False
    if here in WITHOUT_TORCH and parts[0] in TORCH:
        return False
    # A name taken from `figtune` itself, as in `from figtune import __version__`, is of no package.
    if parts[0] != "figtune" or len(parts) < 2 or parts[1] == here or imported.startswith(DATA_MODELS):
        return True
    return parts[1] in ARROWS[here]


def test_the_rule_on_imports_tells_right_from_wrong() -> None:
    assert _may_import("pdf", "figtune.core.errors")
    assert _may_import("layout", DATA_MODELS[0])
    assert _may_import("models", "torch")
    for here, imported in (
        ("core", "figtune.pdf.document"),
        ("dataset", "figtune.models.loading"),
        ("metrics", "torch.nn"),
        ("training", "config"),
    ):
        assert not _may_import(here, imported)


def test_imports_point_one_way_and_only_models_know_torch() -> None:
    packages = {_name(path): path.relative_to(ROOT).parts[1] for path in MODULES if path.parent != ROOT / "figtune"}
    assert set(packages.values()) == set(ARROWS)
    wrong = [
        f"{_name(path)} must not import {imported}"
        for path in MODULES
        for imported in _imports(_parse(path))
        if not (path == DISTRIBUTED and imported.split(".")[0] in TORCH)
        and not _may_import(packages.get(_name(path), "core"), imported)
    ]
    assert wrong == []


def test_modules_say_what_they_hold_and_stay_readable() -> None:
    trees = {_name(path): _parse(path) for path in MODULES}
    assert [name for name, tree in trees.items() if not ast.get_docstring(tree)] == [], "no docstring"
    lines = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in trees}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    lengths = {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def _docstrings(tree: ast.AST) -> Iterator[str]:
    """Yield the docstrings of a module: texts that stand as statements, those below fields among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    yield str(statement.value.value)


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    folders = ("figtune", "benchmarks", "docs", "samples", "tests")
    paths = (*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py")))
    wrong = [
        f"{_name(path)}: {docstring.splitlines()[0]}"
        for path in sorted(paths)
        for docstring in _docstrings(_parse(path))
        if docstring.startswith(NO_SUBJECTS) or (path in MODULES and docstring.startswith(NO_NOUNS))
    ]
    assert wrong == []


def test_a_module_that_one_other_imports_is_large_enough_to_stand_alone() -> None:
    sources = (*MODULES, *ROOT.glob("*.py"), *(ROOT / "benchmarks").glob("*.py"))
    importers: dict[str, set[Path]] = {}
    for path in sources:
        for imported in _imports(_parse(path)):
            importers.setdefault(imported, set()).add(path)
    small = {
        _name(path): lines
        for path in MODULES
        if path.name != "__init__.py"
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) < LEAST_LINES
        and len(importers.get(_name(path).removesuffix(".py").replace("/", "."), ())) < 2
    }
    assert small == {}, "such a module belongs to its importer, or to a sibling of the same capability"


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    wrong = [
        f"{_name(path)}: {node.name}"
        for path in MODULES
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any(ast.unparse(each).endswith("property") for each in node.decorator_list)
        and (ast.get_docstring(node) or "").startswith(NO_VERBS)
    ]
    assert wrong == []


def test_packages_form_no_circle() -> None:
    TopologicalSorter(ARROWS).prepare()


@each_row("script", SCRIPTS)
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


@pytest.mark.slow
@each_row("script", [*SCRIPTS, "main"])
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


@each_row("module", DATA_MODELS)
def test_the_data_model_stands_alone(module: str) -> None:
    tree = _parse(ROOT / (module.replace(".", "/") + ".py"))
    assert not [imported for imported in _imports(tree) if imported.split(".")[0] == "figtune"]
