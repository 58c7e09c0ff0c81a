"""Pages of docs/ that are made from the code are up to date."""

from __future__ import annotations

from docs.settings import PAGE, settings_page


def test_the_settings_page_is_what_the_code_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run: python -m docs.settings"
