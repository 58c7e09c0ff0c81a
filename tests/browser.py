"""A real browser, watched: what a page says on its console and what it asks for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 60_000  # a busy machine is no fault


@dataclass(frozen=True)
class Tab:
    """A page and everything that it did since it was opened."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Messages of its console, and errors that no script caught."""
    requests: list[str] = field(default_factory=list)
    """Addresses, the page's own among them."""


def installed_browser() -> str | None:
    """$FIGTUNE_BROWSER, or the first Chromium on the PATH."""
    chosen = os.environ.get("FIGTUNE_BROWSER")
    return chosen or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """A headless browser that asks nobody for anything on its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser) -> Iterator[Tab]:
    """A new tab with a profile of its own."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(_PATIENCE_MS)
    tab = Tab(page=context.new_page())
    tab.page.on("console", lambda message: tab.complaints.append(f"{message.type}: {message.text}"))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    try:
        yield tab
    finally:
        context.close()
