"""The review page in a real browser, served as a user would serve it: a paper gone through by keyboard."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

import extract_content
from figtune.core.errors import ExitCode
from figtune.core.jsonl import read_json
from figtune.dataset.decisions import read_decisions
from figtune.dataset.records import STATS_FILE, Example, Stats
from figtune.dataset.shards import stream_examples
from tests.browser import Tab
from tests.conftest import ROOT
from tests.dataset.content_maker import candidates_of

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)  # a busy machine is no fault
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Review:
    """A review of one paper, in folders of its own."""

    folder: Path
    papers: Path
    more: tuple[str, ...] = ()
    """Flags of the preparation."""
    server: subprocess.Popen[str] | None = None
    address: str = ""
    is_ended: bool = False

    @property
    def command(self) -> list[str]:
        """Command that prepares the examples; all papers are trained on."""
        folders = ["--pdf_dir", str(self.papers), "--work_dir", str(self.folder), "--decisions", str(self.decisions)]
        rules = ["--prepare.val_fraction", "0", "--prepare.test_fraction", "0", "--prepare.no_panel_images"]
        return [sys.executable, str(ROOT / "prepare_data.py"), *folders, *rules, *self.more]

    @property
    def decisions(self) -> Path:
        """File of the decisions."""
        return self.folder / "kept" / "decisions.jsonl"

    def serve(self) -> str:
        """Start the server; return its address."""
        command = [*self.command, "--review", "--serve_port", "0"]
        self.server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert self.server.stderr is not None
        for line in self.server.stderr:
            if found := _ADDRESS.search(line):
                self.address = found[0]
                break
        assert self.address
        return self.address

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """End the server; return its last words."""
        assert self.server is not None
        self.is_ended = True
        self.server.send_signal(number)
        _, said = self.server.communicate(timeout=60)
        return said

    def prepared(self) -> dict[str, Example]:
        """Prepare again; return the examples by id."""
        subprocess.run(self.command, cwd=ROOT, check=True, capture_output=True)
        return {example.example_id: example for example in stream_examples(self.folder / "dataset", "train")}


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Review:
    papers, work = tmp_path_factory.mktemp("papers"), tmp_path_factory.mktemp("work")
    shutil.copy(ROOT / "samples" / "ray_probes.pdf", papers)
    flags = ["--pdf_dir", str(papers), "--work_dir", str(work), "--workers", "1"]
    assert extract_content.main(flags) == ExitCode.DONE
    return Review(work, papers)


@pytest.fixture
def review(extracted: Review) -> Iterator[Review]:
    shutil.rmtree(extracted.decisions.parent, ignore_errors=True)
    made = Review(extracted.folder, extracted.papers)
    try:
        made.serve()
        yield made
    finally:
        if made.server is not None and not made.is_ended:
            made.end(signal.SIGKILL)


def shown(page: Page) -> str:
    """Wait until an item is there; return its id."""
    expect(page.locator("#tags .tag").first).to_be_visible()
    expect(page.locator("body")).not_to_have_class(re.compile("busy"))
    return page.url.partition("#")[2]


def taken(page: Page, held: list[Route]) -> Route:
    """Wait until a request is held; return it."""
    while not held:
        page.wait_for_timeout(20)
    return held.pop()


def test_a_paper_is_gone_through_by_keyboard(tab: Tab, review: Review) -> None:
    page, dataset = tab.page, review.folder / "dataset"
    before = review.prepared()
    page.goto(review.address)
    expect(page.locator("#left")).to_have_text(str(len(before)))
    accepted = shown(page)
    page.keyboard.press("a")
    expect(page.locator("#message")).to_contain_text("accepted: ")
    rejected = shown(page)
    target = page.locator("#target").inner_text()
    page.keyboard.press("r")
    expect(page.locator("#left")).to_have_text(str(len(before) - 2))
    passed_over = shown(page)
    page.keyboard.press("j")
    expect(page).not_to_have_url(re.compile(passed_over))
    edited = shown(page)
    page.keyboard.press("e")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("A text of mine: keys a, r and j are letters here.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#left")).to_have_text(str(len(before) - 3))
    shown(page)
    for _ in range(2):
        page.keyboard.press("k")
        shown(page)
    assert shown(page) == passed_over
    page.keyboard.press("k")
    expect(page).not_to_have_url(re.compile(passed_over))
    assert shown(page) == rejected
    expect(page.locator("#tags")).to_contain_text("rejected")
    expect(page.locator("#target")).to_have_text(target, use_inner_text=True)
    assert len({accepted, rejected, passed_over, edited}) == 4
    lines = [json.loads(line) for line in review.decisions.read_text().splitlines()]
    assert sorted(line["verdict"] for line in lines) == ["accept", "accept", "reject"]
    assert [line["text"] for line in lines if "text" in line] == ["A text of mine: keys a, r and j are letters here."]
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(review.address)] == []
    said = review.end()
    assert f"the page is closed; 3 decisions in {review.decisions}: python prepare_data.py applies them" in said
    assert "Traceback" not in said
    after = review.prepared()
    assert len(after) == len(before) - 1
    assert read_json(dataset / STATS_FILE, Stats, "prepare").decisions == {"accepted": 1, "edited": 1, "rejected": 1}
    assert [each.completion for name, each in after.items() if each != before[name]] == [
        "A text of mine: keys a, r and j are letters here."
    ]


def test_a_decision_is_undone(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    first = shown(page)
    page.keyboard.press("r")
    expect(page).not_to_have_url(re.compile(first))
    shown(page)
    page.keyboard.press("Shift+R")
    expect(page.locator("#message")).to_contain_text("figure rejected")
    shown(page)
    page.keyboard.press("u")
    expect(page.locator("#message")).to_have_text("undone")
    shown(page)
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile(first))
    shown(page)
    assert read_decisions(review.decisions) == {}


def test_a_box_is_set_by_keyboard_and_crops_the_figure(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    shown(page)
    page.keyboard.press("b")
    expect(page.locator("#box")).to_be_focused()
    expect(page.locator("#box-note")).to_contain_text("corner of the page")
    left, bottom = (page.locator(f"#box-form input[name={name}]") for name in ("x0", "bottom"))
    before = float(left.input_value()), float(bottom.input_value())
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    for _ in range(30):
        page.keyboard.press("Shift+ArrowDown")
    assert (float(left.input_value()), float(bottom.input_value())) == (before[0] + 3, before[1] + 30)
    page.keyboard.press("Enter")
    expect(page.locator("#tags")).to_contain_text("box set")
    (decision,) = read_decisions(review.decisions).values()
    assert decision.box is not None
    assert (decision.box[0], decision.box[3]) == (before[0] + 3, before[1] + 30)
    assert tab.complaints == []
    review.end()
    cropped = [each for each in review.prepared().values() if each.image.startswith("images/")]
    assert cropped
    assert {each.source for each in cropped} == {decision.source}


def test_the_box_is_dragged(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    shown(page)
    page.keyboard.press("b")
    expect(page.locator("#box")).to_be_focused()
    right = page.locator("#box-form input[name=x1]")
    before = float(right.input_value())
    handle = page.locator("#box i[data-side=e]").bounding_box()
    scale = page.evaluate("document.getElementById('picture').getBoundingClientRect().width") / 612
    assert handle is not None
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(handle["x"] + handle["width"] / 2 - 100 * scale, handle["y"], steps=4)
    page.mouse.up()
    assert float(right.input_value()) == pytest.approx(before - 100, abs=3)
    page.keyboard.press("Escape")
    expect(page.locator("#box-form")).to_be_hidden()
    assert not review.decisions.exists()


def test_where_the_rules_keep_nothing_a_person_does(tab: Tab, extracted: Review) -> None:
    page = tab.page
    shutil.rmtree(extracted.decisions.parent, ignore_errors=True)
    strict = Review(
        extracted.folder, extracted.papers, more=("--prepare.min_words", "119", "--prepare.tasks", "caption")
    )
    refused = subprocess.run([*strict.command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == ExitCode.NOTHING_PRODUCED
    try:
        page.goto(strict.serve())
        shown(page)
        expect(page.locator("select[name=rule]")).to_have_value("any")
        page.locator("select[name=rule]").select_option("too_short")
        shown(page)
        target = page.locator("#target").inner_text()
        page.keyboard.press("a")
        expect(page.locator("#message")).to_contain_text("accepted: ")
        assert [each.completion for each in strict.prepared().values()] == [target]
        page.reload()
        shown(page)
        page.locator("select[name=shown]").select_option("accepted")
        shown(page)
        expect(page.locator("#target")).to_have_text(target, use_inner_text=True)
        assert tab.complaints == []
    finally:
        said = strict.end()
    assert "Traceback" not in said


def test_what_a_rule_left_out_is_found_and_accepted(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    shown(page)
    tables = [each for each in candidates_of(review.folder / "dataset") if each.rule == "table_kept_apart"]
    page.locator("select[name=rule]").select_option("table_kept_apart")
    expect(page.locator("#left")).to_have_text(str(len(tables)))
    expect(page.locator("#rule-note")).to_contain_text("tables, which is the default")
    page.keyboard.press("Escape")
    for place in range(len(tables), 0, -1):
        expect(page.locator("#left")).to_have_text(str(place))
        shown(page)
        page.keyboard.press("a")
    expect(page.locator("#done-title")).to_have_text("Nothing left to review here")
    page.locator("select[name=shown]").select_option("accepted")
    shown(page)
    expect(page.locator("#tags")).to_contain_text("accepted")
    review.end()
    assert {each.kind for each in review.prepared().values()} >= {"table"}
    assert read_json(review.folder / "dataset" / STATS_FILE, Stats, "prepare").decisions == {
        "figures_accepted": len(tables)
    }


def test_a_text_outlives_a_killed_server(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    first = shown(page)
    page.keyboard.press("e")
    page.keyboard.type(" And more.")
    review.end(signal.SIGKILL)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#message")).to_contain_text("not done: the server does not answer")
    expect(page.locator("#text")).to_have_value(re.compile(r"And more\.$"))
    assert not review.decisions.exists()
    address = review.address
    review.is_ended = False
    review.server = subprocess.Popen(
        [*review.command, "--review", "--serve_port", address.rpartition(":")[2]],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert review.server.stderr is not None
    assert any(_ADDRESS.search(line) for line in review.server.stderr)
    page.reload()
    expect(page.locator("#text")).to_have_value(re.compile(r"And more\.$"))
    assert shown(page) == first
    page.keyboard.press("Control+Enter")
    expect(page).not_to_have_url(re.compile(first))
    (decision,) = read_decisions(review.decisions).values()
    assert decision.text == f"{decision.target} And more."


def test_a_picture_that_cannot_be_read_says_so_in_its_place(tab: Tab, review: Review) -> None:
    page = tab.page
    page.route("**/picture/*", lambda route: route.fulfill(status=500))
    page.goto(review.address)
    shown(page)
    place = page.locator("#no-picture")
    expect(place).to_have_text("Its picture cannot be read.")
    expect(page.locator("#viewer")).to_be_hidden()
    page.keyboard.press("r")
    expect(page.locator("#message")).to_contain_text("rejected: ")
    expect(place).to_be_visible()
    expect(page.locator("#message")).to_contain_text("rejected: ")
    page.unroute("**/picture/*")
    page.keyboard.press("k")
    expect(place).to_be_hidden()
    expect(page.locator("#viewer")).to_be_visible()


def test_keys_wait_for_a_decision_that_is_being_kept(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    first = shown(page)
    text, message = page.locator("#text"), page.locator("#message")
    held: list[Route] = []
    page.route("**/decide", lambda route: held.append(route))
    page.keyboard.press("e")
    page.keyboard.type(" And more.")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    expect(text).to_have_value(re.compile(r"And more\.$"))
    taken(page, held).fulfill(status=507, json={"problem": "the disk is full"})
    expect(message).to_have_text("not done: the disk is full")
    expect(text).to_have_value(re.compile(r"And more\.$"))
    page.keyboard.press("Escape")
    expect(text).to_be_hidden()
    page.keyboard.press("a")
    page.keyboard.press("e")
    expect(text).to_be_hidden()
    taken(page, held).continue_()
    expect(message).to_contain_text("accepted: ")
    expect(page).not_to_have_url(re.compile(first))
    shown(page)
    expect(text).to_be_hidden()


def test_what_was_done_is_said_whatever_comes_after_it(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    first, message = shown(page), page.locator("#message")
    page.keyboard.press("j")
    expect(page).not_to_have_url(re.compile(first))
    second = shown(page)
    page.evaluate("id => localStorage.setItem(`figtune review ${id}`, 'A draft.')", second)
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(first))
    shown(page)
    page.keyboard.press("a")
    expect(page.locator("#text")).to_have_value("A draft.")
    expect(page.locator("#draft-note")).to_be_visible()
    expect(message).to_contain_text("accepted: ")
    page.route("**/step?*", lambda route: route.abort())
    page.keyboard.press("Control+Enter")
    expect(message).to_contain_text(re.compile("^edited: .*; not gone on: the server does not answer"))
    assert sorted(each.text for each in read_decisions(review.decisions).values()) == ["", "A draft."]


def test_filters_are_reached_and_left_by_keyboard(tab: Tab, review: Review) -> None:
    page = tab.page
    page.goto(review.address)
    shown(page)
    page.keyboard.press("f")
    expect(page.locator("select[name=task]")).to_be_focused()
    page.locator("select[name=task]").select_option("caption")
    page.locator("input[name=high]").fill("0.9")
    page.keyboard.press("Escape")
    expect(page.locator("#main")).to_be_focused()
    wanted = [
        each
        for each in candidates_of(review.folder / "dataset")
        if each.key.task == "caption" and not each.rule and each.score <= 0.9
    ]
    expect(page.locator("#left")).to_have_text(str(len(wanted)))
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert tab.complaints == []
