"""Fixtures made once for all tests: the demo as a user would run it, a real browser, tiny models."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from figtune.core.log import configure_logging

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

    from figtune.models.family import Family
    from tests.browser import Tab

# The libraries make a million objects that live as long as the process: to look through them again and again for
# garbage took a quarter of the time of all tests.
gc.disable()

# A busy machine is no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
_SLOW_FIXTURES = {"demo", "browser"}
_FILES_OF_THE_DEMO = {
    *("test_demo.py", "test_bad_input.py", "test_file_modes.py", "test_finishing.py", "reports/test_pages.py"),
    "inference/test_paper_figures.py",
}
_TINY_MODEL = re.compile(r"tiny-(?!gemma3)")
"""Names of tiny models, by which tests of all families are parametrized, but the first."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of the whole pipeline, of pages in a browser and of all families but the first as slow.

    Files with the most of these come first, so that short ones are left where one process has nothing more to do.
    """
    for item in items:
        uses_slow = isinstance(item, pytest.Function) and _SLOW_FIXTURES & set(item.fixturenames)
        if uses_slow or _TINY_MODEL.search(item.name):
            item.add_marker(pytest.mark.slow)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keep the files that look at the demo together too: it takes a minute, and each process would make its own."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "demo" if file.removeprefix("tests/") in _FILES_OF_THE_DEMO else file

    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Let garbage be looked for only among what tests make."""
    gc.collect()
    gc.freeze()
    gc.enable()


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Demo:
    """A run of the demo in folders of its own."""

    work_dir: Path
    output_dir: Path

    def run(self, *arguments: str) -> Ran:
        """Run main.py on the demo's folders with more flags."""
        folders = ("--work_dir", str(self.work_dir), "--output_dir", str(self.output_dir))
        return run_script("main.py", "--preset", "demo", *folders, *arguments)


def run_script(script: str, *arguments: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None) -> Ran:
    """Run a script at the top level of the repository in a process of its own, with more environment `variables`."""
    command: Sequence[str] = (sys.executable, str(ROOT / script), *arguments)
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return Ran(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(autouse=True)
def _logging() -> None:
    """Log as a stage script does; a test of another level leaves none behind."""
    configure_logging()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """All five stages over the sample papers, finished."""
    folder = tmp_path_factory.mktemp("demo")
    made = Demo(work_dir=folder / "work", output_dir=folder / "output")
    ran = made.run()
    assert ran.code == 0, ran.stderr
    assert ran.stdout == "", "stdout is for data"
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, launched once a file: its event loop must not outlive the tests that know of it."""
    from tests.browser import BROWSERS, installed_browser, launched

    executable = installed_browser()
    if executable is None:
        pytest.skip(f"no browser: install one ({', '.join(BROWSERS)}), or name it in $FIGTUNE_BROWSER")
    with launched(executable) as running:
        yield running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A new tab whose console and requests are on record."""
    from tests.browser import watched

    with watched(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the tiny models by `model_type`, in the Hub's layout."""
    import torch

    from figtune.models.tiny import TINY_MODELS

    torch.set_num_threads(1)
    folders = {}
    for name, build in TINY_MODELS.items():
        folder = tmp_path_factory.mktemp("hub") / name
        build(folder)
        folders[name.removeprefix("tiny-")] = folder
    return folders


@pytest.fixture(scope="session")
def families() -> dict[str, Family]:
    """By `model_type`."""
    from figtune.models.families import FAMILIES

    return {family.model_type: family for family in FAMILIES}


@pytest.fixture(scope="session")
def processors(tiny_folders: dict[str, Path]) -> dict[str, object]:
    """By `model_type`."""
    from figtune.models.families import family_of_folder

    processors: dict[str, object] = {}
    for name, folder in tiny_folders.items():
        family = family_of_folder(folder, name)
        processors[name] = family.load_processor(folder)
        processors.setdefault(family.model_type, processors[name])
    return processors
