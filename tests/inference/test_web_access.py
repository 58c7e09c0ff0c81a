"""Who may ask the page's server for what, and where uploads are: tried on the middleware alone."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from figtune.core.errors import InputError
from figtune.core.web_access import Access
from figtune.inference.middleware import ALIAS, AccessControl, PathMask
from figtune.inference.uploads import UploadFolder, upload_folder
from tests.conftest import ROOT
from tests.rows import each_row

_LOOPBACK = Access(host="127.0.0.1", port=0, password=None).hosts()


class Echo:
    """An application that takes everything, and says what it is told to in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.paths: list[str] = []
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    (tmp_path / "up loads").mkdir()
    return UploadFolder(tmp_path / "up loads", 1 << 20)


def ask(app: AccessControl | PathMask, method: str, path: str, **what: object) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            return await client.request(method, path, **what)  # type: ignore[arg-type]

    return asyncio.run(answer())


def guarded(
    folder: UploadFolder, password: str | None = None, hosts: tuple[str, ...] | None = _LOOPBACK
) -> AccessControl:
    return AccessControl(Echo(b"said"), folder, hosts=hosts, password=password, largest_upload=1000)


@each_row("host", ["127.0.0.1", "127.0.0.1:9", "localhost", "LOCALHOST:7860", "[::1]:7860"])
def test_this_machine_is_answered_by_every_name_of_its_own(folder: UploadFolder, host: str) -> None:
    assert ask(guarded(folder), "GET", "/", headers={"host": host}).status_code == 200


@each_row("path", ["queue/join", "cancel", "reset"])
def test_what_the_page_posts_is_let_through(folder: UploadFolder, path: str) -> None:
    assert ask(guarded(folder), "POST", f"/gradio_api/{path}", json={}).status_code == 200


def test_a_link_to_the_page_may_be_followed_and_nothing_else(folder: UploadFolder) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ask(guarded(folder), "GET", "/", headers=link).status_code == 200
    assert ask(guarded(folder), "GET", "/config", headers=link).status_code == 403
    assert ask(guarded(folder), "GET", "/", headers={**link, "sec-fetch-dest": "iframe"}).status_code == 403


@each_row(
    ("authorization", "status"),
    [
        ("Basic " + base64.b64encode(b"anybody:right password").decode(), 200),
        ("basic " + base64.b64encode(b":right password").decode(), 200),
        ("Basic " + base64.b64encode(b"anybody:wrong").decode(), 401),
        ("Basic " + base64.b64encode(b"right password").decode(), 401),
        ("Bearer " + base64.b64encode(b":right password").decode(), 401),
        ("Basic ???", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_a_password_opens_the_page_by_any_name(folder: UploadFolder, authorization: str | None, status: int) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = ask(guarded(folder, "right password", hosts=None), "GET", "/", headers={"host": "any.example", **headers})
    assert answer.status_code == status
    assert (answer.text == "said") == (status == 200)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@each_row(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("machine.example", False)],
)  # fmt: skip
def test_beyond_this_machine_is_told_apart(host: str, is_local: bool) -> None:
    access = Access(host=host, port=0, password=None)
    assert access.is_local == is_local
    assert (access.hosts() is None) == (not is_local)


def test_an_upload_ends_where_it_is_too_large(folder: UploadFolder) -> None:
    file = {"files": ("a.png", b"x" * 2000)}
    assert ask(guarded(folder), "POST", "/gradio_api/upload", files=file).status_code == 413
    assert ask(guarded(folder), "POST", "/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 200


def test_the_folder_is_masked_however_an_answer_is_cut(folder: UploadFolder) -> None:
    secret = f'"{folder.path}/a.png" {str(folder.path).replace(" ", "%20")}/b.png {folder.path.parent}'.encode()
    expected = secret.replace(str(folder.path).encode(), ALIAS.encode())
    expected = expected.replace(str(folder.path).replace(" ", "%20").encode(), ALIAS.encode())
    for cut in range(len(secret) + 1):
        answer = ask(PathMask(Echo(secret[:cut], secret[cut:]), folder, {}), "GET", "/config")
        assert answer.content == expected


def test_only_an_upload_can_be_named(folder: UploadFolder, tmp_path: Path) -> None:
    (folder.path / "in.png").write_bytes(b"in")
    (tmp_path / "out.png").write_bytes(b"out")
    (folder.path / "link.png").symlink_to(tmp_path / "out.png")
    (folder.path / "circle").symlink_to(folder.path / "circle")
    (folder.path / "up").symlink_to(tmp_path)
    os.mkfifo(folder.path / "pipe")
    for name in ("link.png", "circle", "up/out.png", "pipe", "", ".", "../out.png", "missing", "in.png/..", "a\0b"):
        echo = Echo()
        with pytest.raises(HTTPException, match="no such upload"):
            ask(PathMask(echo, folder, {}), "GET", f"/gradio_api/file={ALIAS}/{name}".replace("\0", "%00"))
        assert echo.paths == []
    echo = Echo()
    assert ask(PathMask(echo, folder, {}), "GET", f"/gradio_api/file={ALIAS}/in.png").status_code == 200
    assert echo.paths == [f"/gradio_api/file={folder.path}/in.png"]


def test_a_call_says_only_what_the_page_would_say(folder: UploadFolder) -> None:
    (folder.path / "in.png").write_bytes(b"in")
    file = {"path": f"{ALIAS}/in.png", "url": "http://elsewhere.example/x", "meta": {"_type": "gradio.FileData"}}
    call = {"data": [file, "about /figtune-uploads"], "fn_index": 3, "session_hash": "me", "simple_format": True}
    echo = Echo()
    assert ask(PathMask(echo, folder, {3: 2}), "POST", "/gradio_api/queue/join", json=call).status_code == 200
    assert f'"path":"{folder.path}/in.png"'.encode() in echo.body
    assert b'"about /figtune-uploads"' in echo.body
    assert b"elsewhere" not in echo.body
    assert b"simple_format" not in echo.body


def test_the_oldest_uploads_make_room(folder: UploadFolder) -> None:
    for number in range(10):
        (folder.path / f"{number}").mkdir()
        (folder.path / f"{number}" / "file").write_bytes(b"x" * (200 << 10))
        os.utime(folder.path / f"{number}", (1e9, 4e9 + number))
        os.utime(folder.path / f"{number}" / "file", (1e9, 4e9 + number))
        folder.make_room(100 << 10)
        sizes = [file.stat().st_size for file in folder.path.rglob("file")]
        assert sum(sizes) <= (1 << 20) - (100 << 10)
    assert sorted(path.name for path in folder.path.iterdir()) == ["6", "7", "8", "9"]


def test_what_is_too_old_goes(folder: UploadFolder) -> None:
    (folder.path / "old").write_bytes(b"")
    (folder.path / "new").write_bytes(b"")
    os.utime(folder.path / "old", (1e9, 1e9))
    folder.make_room()
    assert [path.name for path in folder.path.iterdir()] == ["new"]


def test_the_folder_is_deleted_when_its_last_writer_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begun = threading.Event()

    def write(folder: UploadFolder) -> None:
        with folder.writing():
            begun.set()
            for _ in range(30):
                folder.path.mkdir(parents=True, exist_ok=True)
                (folder.path / "late").write_bytes(b"x")
                time.sleep(0.01)

    with ThreadPoolExecutor() as threads, upload_folder(1 << 20) as folder:
        threads.submit(write, folder)
        assert begun.wait(60)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="the page is closing"), folder.writing():
        pass


_SERVER = """
import sys
from pathlib import Path
from figtune.core.cli import ended_by_signals
from figtune.core.web_access import listening
from figtune.inference.serve import run_server
from figtune.inference.uploads import upload_folder

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print(folder.path, flush=True)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

with ended_by_signals(), listening("127.0.0.1", 0) as listener, upload_folder(1 << 20) as folder:
    (folder.path / "upload").write_bytes(b"x")
    if "early" in sys.argv:
        print(folder.path, flush=True)
        sys.stdin.read()
    run_server(app, listener)
"""


def _start(place: Path, *words: str) -> tuple[subprocess.Popen[str], Path]:
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert server.stdout is not None
    return server, Path(server.stdout.readline().strip())


@pytest.mark.slow
@each_row("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@each_row("words", [(), ("early",)])
def test_uploads_are_gone_after_signals(tmp_path: Path, number: signal.Signals, words: tuple[str, ...]) -> None:
    server, path = _start(tmp_path, *words)
    assert (path / "upload").exists()
    server.send_signal(number)
    _, said = server.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []
    # The program above reads its stdin outside of `run_cli`, which says nothing of Ctrl-C.
    assert ("Traceback" in said) == (number == signal.SIGINT and "early" in words)


@pytest.mark.slow
def test_uploads_of_a_killed_server_are_swept_and_those_of_a_running_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, left = _start(tmp_path)
    killed.kill()
    killed.communicate(timeout=60)
    assert left.exists()
    running, kept = _start(tmp_path)
    assert not left.exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with upload_folder(1 << 20):
        assert kept.exists()
    running.terminate()
    running.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []
