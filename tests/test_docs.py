"""Pages of docs/ that are made from the code are up to date."""

from __future__ import annotations

import re
from pathlib import Path

from docs.packages import PICTURE, package_imports, packages_picture
from docs.settings import PAGE, settings_page


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
