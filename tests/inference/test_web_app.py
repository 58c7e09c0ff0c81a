"""The page in a real browser: upload, pick, ask, read; and what it must not show or do."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Page, Route, expect

from benchmarks.page_attacks import Attacker, Tally, attack
from figtune.core.errors import ResourceError
from figtune.core.web_access import Access, listening
from figtune.inference.serve import _application, serve
from figtune.inference.streaming import AnswerPair
from figtune.inference.uploads import UploadReader, upload_folder
from figtune.inference.web_app import AppState
from tests.browser import Tab
from tests.conftest import ROOT
from tests.inference.conftest import CAPTION, SETTINGS, write_slow_paper

expect.set_options(timeout=60_000)  # a busy machine is no fault
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(output: Path) -> Iterator[str]:
    """Address of a page served as a user would serve it, ended as a user would end it."""
    flags = ("--serve", "--serve_port", "0", "--output_dir", str(output), "--test.max_new_tokens", "12")
    command = [sys.executable, str(ROOT / "test_model.py"), *flags]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said: list[str] = []
    for line in server.stderr:
        said.append(line)
        if found := _ADDRESS.search(line):
            yield found[0]
            break
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert server.returncode == 0, "".join(said) + err
    assert out == ""
    assert "the page is closed" in err
    assert "Traceback" not in err


@pytest.fixture
def page(tab: Tab, address: str) -> Page:
    tab.page.goto(address)
    expect(tab.page.get_by_text("Drop an image or a paper to begin.")).to_be_visible()
    return tab.page


def upload(page: Page, file: Path) -> None:
    page.set_input_files("#upload input[type=file]", str(file))


def answers(page: Page) -> list[str]:
    """Return the answers of the tuned and the base model, once both are there."""
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("Done.")).to_be_visible()
    return [page.locator(f"#{name} textarea").input_value() for name in ("tuned", "base")]


def test_an_image_is_asked_about(page: Page, tab: Tab, address: str, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "my <b>figure.png")
    expect(page.get_by_role("button", name="Ask")).to_be_disabled()
    upload(page, tmp_path / "my <b>figure.png")
    expect(page.get_by_text("figure.png is open.", exact=False)).to_be_visible()
    assert page.locator("#status b").count() == 0, "names are text, never markup"
    expect(page.locator("#prompt textarea")).to_have_value("Describe this figure.")
    page.locator("#prompt textarea").fill("What colour is it?")
    assert all(answers(page))
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith((address, "data:", "blob:"))] == []


def test_a_figure_of_a_paper_is_picked_and_asked_about(page: Page, tab: Tab, address: str) -> None:
    upload(page, ROOT / "samples" / "ray_probes.pdf")
    expect(page.get_by_text("The paper has Figure 1, 2, 3, 4, 5, 6, 7; Table 1, 2.")).to_be_visible()
    page.locator("#figures button", has_text="Figure 3").click()
    page.get_by_label("explain").check()
    expect(page.locator("#prompt textarea")).to_have_value(
        re.compile(r"Title: .*\nSection: .*\nCaption: The probe head")
    )
    expect(page.locator("#picture")).to_contain_text("Figure 3")
    page.locator("#prompt textarea").fill("Caption: The probe head.\nWhat is the query?")
    assert all(answers(page))
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith((address, "data:", "blob:"))] == []


def test_nothing_can_be_asked_before_the_choice_of_a_figure_has_arrived(page: Page) -> None:
    upload(page, ROOT / "samples" / "ray_probes.pdf")
    ask = page.get_by_role("button", name="Ask")
    expect(ask).to_be_enabled()
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    page.locator("#figures button", has_text="Figure 3").click()
    expect(ask).to_be_disabled()
    page.unroute("**/queue/join*")  # which lets go of those held
    assert held
    expect(page.locator("#picture")).to_contain_text("Figure 3")
    expect(ask).to_be_enabled()


def test_what_cannot_be_used_is_said_and_does_no_harm(page: Page, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    upload(page, tmp_path / "broken.png")
    expect(page.get_by_text("broken.png is no image, or a broken one")).to_be_visible()
    expect(page.get_by_role("button", name="Ask")).to_be_disabled()


def test_an_upload_that_is_too_large_is_refused(page: Page, address: str, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(60 << 20)
    upload(page, large)
    expect(page.get_by_text("maximum allowed size", exact=False).first).to_be_visible()
    expect(page.get_by_role("button", name="Ask")).to_be_disabled()
    assert _status_of_upload(address, large.read_bytes()) in (413, None), "also where the page is gone around"


def _status_of_upload(address: str, content: bytes) -> int | None:
    """None where the server hangs up before it has heard all."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    request = urllib.request.Request(f"{address}/gradio_api/upload", data=head + content + b"\r\n--x--\r\n")
    request.add_header("Content-Type", "multipart/form-data; boundary=x")
    try:
        return _status(request)
    except urllib.error.URLError:
        return None


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_nothing_of_the_machine_is_shown(page: Page, output: Path, address: str, tmp_path: Path) -> None:
    told: list[str] = []
    page.on("response", lambda answer: told.append(answer.url))
    Image.new("RGB", (30, 20)).save(tmp_path / "figure.png")
    with page.expect_response(lambda answer: "/upload?" in answer.url) as uploaded:
        upload(page, tmp_path / "figure.png")
    expect(page.get_by_text("figure.png is open.")).to_be_visible()
    body = uploaded.value.text()
    told += [body, page.content(), urllib.request.urlopen(f"{address}/config").read().decode()]
    assert "figure.png" in body
    for secret in ("/tmp", str(tmp_path), str(output), str(ROOT), str(Path.home())):
        assert not [text for text in told if f'"{secret}' in text or f"={secret}" in text], secret


def test_every_attack_on_the_page_holds(address: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (40, 30), "teal").save(secret)
    tally = Tally()
    with closing(Attacker(address, None, tally)) as attacker:
        attack(attacker, secret)
    assert tally.broken == []
    assert tally.tried > 300


@pytest.fixture
def attacker(address: str) -> Iterator[Attacker]:
    with closing(Attacker(address, None, Tally())) as client:
        yield client


def test_a_slow_paper_is_refused_and_holds_nobody_up(attacker: Attacker, tmp_path: Path) -> None:
    slow, quick = write_slow_paper(tmp_path / "slow.pdf"), tmp_path / "quick.png"
    Image.new("RGB", (40, 30), "teal").save(quick)
    first = attacker.upload(slow.read_bytes(), "slow.pdf").json()[0]
    second = attacker.upload(quick.read_bytes(), "quick.png").json()[0]
    with ThreadPoolExecutor() as threads:
        refused = threads.submit(attacker.call, "_open", [attacker.file(first)], "slow")
        assert "quick.png is open" in attacker.call("_open", [attacker.file(second)], "quick")
        assert not refused.done()
        assert "slow.pdf: takes longer than 20 seconds" in refused.result()


def test_a_picture_bomb_is_refused_by_its_worker(attacker: Attacker, tmp_path: Path) -> None:
    Image.new("I;16", (16_000, 12_000)).save(tmp_path / "bomb.png")
    bomb = attacker.upload((tmp_path / "bomb.png").read_bytes(), "bomb.png").json()[0]
    assert "bomb.png is open" not in attacker.call("_open", [attacker.file(bomb)])


class EndlessAnswer:
    """Answers that begin at once, and go on when they may."""

    def __init__(self) -> None:
        self.may_go_on, self.has_gone_on = threading.Event(), threading.Event()

    def stream(self, *question: object) -> Iterator[AnswerPair]:
        yield AnswerPair(tuned="It begins", base="It begins", finished=False)
        self.may_go_on.wait(60)
        self.has_gone_on.set()
        yield AnswerPair(tuned="It ends.", base="It ends.", finished=True)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[EndlessAnswer]:
    endless = EndlessAnswer()
    monkeypatch.setattr("figtune.inference.web_app.stream_answers", endless.stream)
    yield endless
    endless.may_go_on.set()


@pytest.fixture
def answering(tab: Tab, answer: EndlessAnswer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Page]:
    """A page without a model, served here, that is answering a question about a figure of a paper."""
    access = Access(host="127.0.0.1", port=0, password=None)
    loaded = SimpleNamespace(record=SimpleNamespace(title="none"))
    with listening("127.0.0.1", 0) as listener, upload_folder(1 << 26) as folder, ThreadPoolExecutor() as threads:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder.path))
        uploads = UploadReader(folder, SETTINGS.extract)
        state = AppState(loaded=loaded, settings=SETTINGS, spec=CAPTION, uploads=uploads)  # type: ignore[arg-type]
        server = uvicorn.Server(uvicorn.Config(_application(state, folder, access.hosts(), None), log_config=None))
        running = threads.submit(server.run, [listener])
        try:
            page = tab.page
            page.goto(access.url(listener.getsockname()[1]))
            upload(page, ROOT / "samples" / "ray_probes.pdf")
            expect(page.get_by_role("button", name="Ask")).to_be_enabled()
            page.get_by_role("button", name="Ask").click()
            expect(page.locator("#tuned textarea")).to_have_value("It begins")
            yield page
        finally:
            answer.may_go_on.set()
            server.should_exit = server.force_exit = True
            running.result(60)


def test_an_answer_ends_where_another_figure_is_chosen(answering: Page, answer: EndlessAnswer) -> None:
    answering.locator("#figures button", has_text="Figure 3").click()
    expect(answering.locator("#picture")).to_contain_text("Figure 3")
    expect(answering.locator("#tuned textarea")).to_have_value("")
    answer.may_go_on.set()
    assert answer.has_gone_on.wait(60)
    answering.wait_for_timeout(1000)
    assert answering.locator("#tuned textarea").input_value() == ""
    expect(answering.locator("#status")).to_contain_text("The paper has Figure 1")
    expect(answering.get_by_role("button", name="Stop")).to_be_disabled()
    answering.get_by_role("button", name="Ask").click()
    expect(answering.get_by_text("Done.")).to_be_visible()
    expect(answering.locator("#tuned textarea")).to_have_value("It ends.")


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(unloadable: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ResourceError, match=f"cannot listen on 127.0.0.1:{port}: address already in use; .*--serve_port"
        ):
            serve(unloadable, CAPTION, SETTINGS, Access(host="127.0.0.1", port=port, password=None))


def test_without_gradio_the_page_says_what_to_install(unloadable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"needs the package gradio; .* pip install -r requirements-serve\.txt"):
        serve(unloadable, CAPTION, SETTINGS, Access(host="127.0.0.1", port=0, password=None))
