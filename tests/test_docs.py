"""Pages of docs/ that are made from the code are up to date."""

from __future__ import annotations

import re
from pathlib import Path

from docs.packages import PICTURE, package_imports, packages_picture
from docs.settings import PAGE, settings_page
from tests.rows import each_row


def test_the_settings_page_is_what_the_code_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run: python -m docs.settings"


def test_the_drawing_of_the_packages_is_what_the_imports_make() -> None:
    made = packages_picture(package_imports())
    assert PICTURE.read_text(encoding="utf-8") == made, "run: python -m docs.packages"


def test_every_module_named_in_the_architecture_exists() -> None:
    package = Path(__file__).parent.parent / "figtune"
    page = (package.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name.removeprefix("figtune/") for name in re.findall(r"`([a-z_0-9]+/[a-z_0-9/]+\.py)`", page)}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (package / name).is_file()] == []


ROOMS = {
    "the loss": "loss",
    "the data loader": "data_loader",
    "the collator": "collator",
    "what happens when memory runs out": "oom",
    "early stopping": "early_stopping",
    "the learning-rate schedule": "schedule",
    "which layers LoRA adapts": "lora_targets",
    "the prompt text of a task": "task_prompts",
    "deduplication": "dedup",
    "adding a metric": "metrics",
}
"""Words of the file names in which a newcomer looks first."""


@each_row("question", ROOMS)
def test_file_names_answer_the_questions_of_a_newcomer(question: str) -> None:
    page = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    (first,) = re.findall(rf"(?m)^\| {question}[^|]* \| [^`|]*`figtune/([a-z_0-9/]+)\.py`", page)
    assert ROOMS[question] in first.split("/")[-1]
