"""Attack a page that is served, as a visitor and as a page of another site would, and count what held.

    python test_model.py --serve --output_dir OUTPUT
    python benchmarks/page_attacks.py http://127.0.0.1:7860 --uploads 300

An attack holds if the server refuses it: no byte of a file of the machine, no request elsewhere, no call run. With
--uploads N more pictures are uploaded and opened; with --pid of the server its memory after them is compared with its
memory after the first tenth of them.
"""

from __future__ import annotations

import argparse
import http.server
import io
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from PIL import Image

CLOSED = (
    *("info", "openapi.json", "runs", "run-history/buckets", "run-history/records", "dev/reload", "deep_link", "mcp"),
    *("vibe-code", "vibe-code/", "vibe-edit", "vibe-starter-queries", "app_id", "token", "user", "login_check"),
    *("proxy=http://localhost/", "call/x/y", "stream/a/b/1/playlist.m3u8", "profiling/traces", "startup-events"),
    *("custom_component/1/client/component/index.js", "file/etc/hostname", "theme.css", "upload", "queue/join"),
)
CLOSED_AT_THE_TOP = (
    "/monitoring",
    "/monitoring/summary",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/login",
    "/logout",
    "/svelte/x",
    "/robots.txt",
    "/pwa_icon",
    "/manifest.json",
    "/gradio_api/deep_link",
    "/%2e%2e/config",
    "//etc/hostname",
    "/config/",
    "/static/../../../../etc/hostname",
    "/assets/%2e%2e/%2e%2e/config.py",
    "/static/%2e%2e%2f%2e%2e%2fblocks.py",
    "/assets/..%5c..%5croutes.py",
    "/static//etc/hostname",
)
CLOSED_TO_POSTS = (
    *("run/predict", "run/0", "api/predict", "call/predict", "call/v2/predict", "stream/x", "stream/x/close"),
    *("component_server", "process_recording", "vibe-edit", "undo-vibe-edit", "vibe-code", "vibe-starter-queries"),
    *("run-history/connect", "profiling/clear", "queue/data", "file=/etc/hostname", "info", "batched_upload"),
)
FOREIGN = (
    {"origin": "https://attacker.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://127.0.0.1.attacker.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "Cross-Site", "origin": "https://attacker.example"},
    {"host": "attacker.example"},
    {"host": "attacker.example:7860"},
    {"host": "127.0.0.1.attacker.example"},
    {"host": ""},
)
ELSEWHERE = (
    "{web}/x.png",
    "HTTP{web_rest}/x.png",
    "//{netloc}/x.png",
    " {web}/x.png",
    "ftp://{netloc}/x",
    "file:///etc/hostname",
)


HUNG_UP = 499


@dataclass
class Tally:
    """Number of attacks tried, and those that got through."""

    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, name: str, held: bool) -> None:
        """Count one attack."""
        self.tried += 1
        if not held:
            self.broken.append(name)


class Attacker:
    """A client of the page that says whatever it likes."""

    def __init__(self, address: str, password: str | None, tally: Tally) -> None:
        auth = ("anybody", password) if password else None
        self.http = httpx.Client(base_url=address, auth=auth, timeout=60, trust_env=False)
        self.address = address
        self.tally = tally
        config = self.http.get("/config").json()
        self.functions = {each.get("api_name"): each["id"] for each in config["dependencies"]}
        self._sessions = 0

    def close(self) -> None:
        """Let go of its connections."""
        self.http.close()

    def upload(self, content: bytes, name: str, **headers: str) -> httpx.Response:
        """Send one file."""
        return self.http.post("/gradio_api/upload", files={"files": (name, content)}, headers=headers)

    def status(self, method: str, path: str, **what: Any) -> int:
        """Send a request and return its status; HUNG_UP if the server has closed the connection meanwhile."""
        try:
            with self.http.stream(method, path, **what) as answer:
                return answer.status_code
        except httpx.TransportError:
            return HUNG_UP

    def file(self, path: str, **more: object) -> dict[str, object]:
        """Return a file as a component's value names it."""
        return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}

    def join(self, function: str, data: Sequence[object], session: str, **headers: str) -> httpx.Response:
        """Call a function of the page."""
        body = {"data": list(data), "fn_index": self.functions[function], "session_hash": session}
        return self.http.post("/gradio_api/queue/join", json=body, headers=headers)

    def call(self, function: str, data: Sequence[object], session: str | None = None) -> str:
        """Call a function and return all that comes back; nothing if it is refused."""
        self._sessions += 1
        session = session or f"attack{self._sessions}"
        if self.join(function, data, session).status_code != 200:
            return ""
        said = ""
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                said += line
                if "process_completed" in line or "unexpected_error" in line:
                    break
        return said

    def raw(self, target: str) -> tuple[int, bytes]:
        """Ask for a path as it is spelled, which HTTP libraries would tidy."""
        place = urlsplit(self.address)
        authorization = self.http.build_request("GET", "/").headers.get("authorization", "")
        lines = [f"GET {target} HTTP/1.1", f"Host: {place.netloc}", "Connection: close"]
        if self.http.auth is not None:
            request = next(self.http.auth.sync_auth_flow(httpx.Request("GET", self.address)))
            authorization = request.headers["authorization"]
        if authorization:
            lines.append(f"Authorization: {authorization}")
        with socket.create_connection((place.hostname, place.port or 80), timeout=30) as link:
            link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            said = b""
            while piece := link.recv(65536):
                said += piece
        return int(said.split(b" ", 2)[1]) if said else 0, said


def attack(attacker: Attacker, secret: Path) -> None:
    """Try everything but floods."""
    hold = attacker.tally.hold
    for each in CLOSED:
        status = attacker.status("GET", f"/gradio_api/{each}")
        hold(f"GET /gradio_api/{each}: {status}", status in (404, 405))
    for each in CLOSED_AT_THE_TOP:
        status, _said = attacker.raw(each)
        hold(f"GET {each}: {status}", status in (400, 403, 404))
    for each in CLOSED_TO_POSTS:
        status = attacker.status("POST", f"/gradio_api/{each}", json={"data": [], "session_hash": "a"})
        hold(f"POST /gradio_api/{each}: {status}", status == 404)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        status = attacker.status(method, "/config")
        hold(f"{method} /config: {status}", status == 404)
    _files_by_address(attacker, secret)
    _files_by_payload(attacker, secret)
    _other_sites(attacker)
    _malformed(attacker)


def _files_by_address(attacker: Attacker, secret: Path) -> None:
    up = "../" * 12
    inside = attacker.upload(_picture("white"), "inside.png").json()[0]
    alias = inside.rsplit("/", 2)[0]
    names = [str(secret), f"/{secret}", f"{alias}/{up}{secret}", f"{alias}/{secret}", f"{alias}{secret}", "config.py"]
    names += [f"{alias}/../../..{secret}", f"{inside}/../../../..{secret}", f"{alias}/%2e%2e/%2e%2e{secret}", alias]
    names += [f"{alias}/", f"{alias}/.", f"{inside}%00", f"{alias}-x/..{secret}", f"file://{secret}"]
    names += ["/proc/self/environ", "/proc/self/cwd/config.py", "/proc/self/fd/0", "/dev/zero", "~/.bashrc", "."]
    for name in names:
        status, said = attacker.raw(f"/gradio_api/file={name}".replace(" ", "%20"))
        attacker.tally.hold(f"file={name}: {status}", status in (400, 403, 404) and secret.read_bytes() not in said)
    with _listener() as (web, asked):
        for pattern in ELSEWHERE:
            name = _elsewhere(pattern, web)
            status, _ = attacker.raw(f"/gradio_api/file={name}".replace(" ", "%20"))
            attacker.tally.hold(f"file={name}: {status}", status in (400, 403, 404) and not asked)


def _files_by_payload(attacker: Attacker, secret: Path) -> None:
    hold, inside = attacker.tally.hold, attacker.upload(_picture("grey"), "inside.png").json()[0]
    alias = inside.rsplit("/", 2)[0]
    hold("an upload can be opened", "inside.png is open" in attacker.call("_open", [attacker.file(inside)]))
    for name in (
        str(secret),
        f"{alias}/..{secret}",
        f"{alias}/{'../' * 12}{secret}",
        f"{alias}{secret}",
        "config.py",
        f"/{secret}",
        f"file://{secret}",
        f"{secret}\0.png",
        alias,
        f"{alias}/",
        "",
        "/dev/zero",
        "data:,x",
    ):
        said = attacker.call("_open", [attacker.file(name)])
        shown = attacker.call("_show", [None, None])
        hold(f"payload {name!r}", "is open" not in said and secret.name not in said and "file=" not in shown)
    with _listener() as (web, asked):
        for pattern in ELSEWHERE:
            name = _elsewhere(pattern, web)
            for value in (
                attacker.file(name),
                attacker.file(inside, url=name),
                attacker.file(name, url=name, is_stream=True),
            ):
                said = attacker.call("_open", [value])
                hold(f"payload {value}", not asked and web not in said)
        for function, data in (
            ("_prompt", [None, None, attacker.file(f"{web}/a")]),
            ("_show", [attacker.file(f"{web}/a"), None]),
        ):
            attacker.call(function, data)
            hold(f"{function} with a file of {web}", not asked)
    file = attacker.file(str(secret))
    nested: tuple[object, ...] = ([file], {"a": file}, [[[file]]])
    for each in nested:
        hold(f"nested {each}", attacker.join("_open", [each], "nested").status_code == 422)


def _other_sites(attacker: Attacker) -> None:
    hold, refused = attacker.tally.hold, (400, 403, 415)
    call = json.dumps(
        {"data": [None, None], "fn_index": attacker.functions["_show"], "session_hash": "foreign"}
    ).encode()
    for headers in FOREIGN:
        if "host" in headers and attacker.http.auth is not None:
            continue  # no page elsewhere knows the password, so the name does not matter
        for kind in ("application/json", "text/plain", None):
            kinds = {} if kind is None else {"content-type": kind}
            status = attacker.status("POST", "/gradio_api/queue/join", content=call, headers={**headers, **kinds})
            hold(f"queue/join {kind} from {headers}: {status}", status in refused)
        status = attacker.upload(_picture("red"), "foreign.png", **headers).status_code
        hold(f"upload from {headers}: {status}", status in refused)
        for path in ("/config", "/gradio_api/queue/data?session_hash=foreign", "/gradio_api/heartbeat/foreign"):
            status = attacker.status("GET", path, headers=headers)
            hold(f"{path} from {headers}: {status}", status in refused)
    status = attacker.status("POST", "/gradio_api/queue/join", content=call)
    hold(f"queue/join without content type: {status}", status == 415)


def _malformed(attacker: Attacker) -> None:
    hold = attacker.tally.hold
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"data": 1, "fn_index": 0, "session_hash": "a"}',
    ]
    bodies += [
        json.dumps({"data": [], "fn_index": number, "session_hash": "a"}).encode() for number in (10**6, "x", None)
    ]
    bodies += [json.dumps({"data": [], "fn_index": 0, "session_hash": "a" * 10_000}).encode()]
    bodies += [json.dumps({"data": ["x" * (2 << 20)], "fn_index": 0, "session_hash": "a"}).encode()]
    for body in bodies:
        for path in ("queue/join", "cancel"):
            headers = {"content-type": "application/json"}
            status = attacker.status("POST", f"/gradio_api/{path}", content=body, headers=headers)
            hold(f"{path} {body[:60]!r}: {status}", 400 <= status < 500)
    for data in ([], [1, 2, 3, 4, 5, 6], ["x"], [None, 10**9, "no task"], [None, -5, "x" * 100_000]):
        for function in attacker.functions:
            if function is not None and not function.startswith("lambda"):
                said = attacker.call(function, list(data))
                hold(f"{function} {str(data)[:40]}", "Traceback" not in said and "/tmp" not in said)
    large = attacker.status("POST", "/gradio_api/upload", files={"files": ("large.png", b"\0" * (52 << 20))})
    hold(f"52 MB: {large}", large in (413, HUNG_UP))
    for head in (b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=x"):
        status = attacker.status(
            "POST", "/gradio_api/upload", content=b"nothing", headers={"content-type": head.decode()}
        )
        hold(f"upload {head!r}: {status}", status >= 400)
    for name in ("../../x.png", "/etc/passwd", "a\0b.png", "x" * 3000 + ".png", "..", ".", "", "<b>.png"):
        answer = attacker.upload(_picture("blue"), name)
        path = answer.json()[0] if answer.status_code == 200 else ""
        hold(f"upload named {name[:20]!r}: {answer.status_code}", "/.." not in path and "/tmp" not in answer.text)


def flood(attacker: Attacker, count: int, pid: int | None) -> None:
    """Upload and open many pictures; memory and disk must stay flat."""
    early = 0
    for number in range(count):
        picture = Image.effect_noise((700, 700), 60 + number % 100).convert("RGB")
        picture.putpixel((0, 0), (number % 256, number // 256, 0))
        file = io.BytesIO()
        picture.save(file, "PNG")
        path = attacker.upload(file.getvalue(), f"{number}.png").json()[0]
        session = f"flood{number}"
        said = attacker.call("_open", [attacker.file(path)], session)
        attacker.call("_show", [None, None], session)
        attacker.tally.hold(f"upload {number} is opened", "is open" in said)
        if pid and number == max(count // 10, 1):
            early = psutil.Process(pid).memory_info().rss
    if pid:
        late = psutil.Process(pid).memory_info().rss
        sys.stdout.write(f"memory after {count // 10} uploads {early >> 20} MB, after {count} {late >> 20} MB\n")
        attacker.tally.hold("memory stays flat", late - early < 50 << 20)


def _elsewhere(pattern: str, web: str) -> str:
    return pattern.format(web=web, web_rest=web.removeprefix("http"), netloc=urlsplit(web).netloc)


def _picture(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(file, "PNG")
    return file.getvalue()


@contextmanager
def _listener() -> Iterator[tuple[str, list[str]]]:
    """Listen on this machine, and keep what is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def main() -> int:
    """The command line; returns 0 if every attack held."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("address")
    arguments.add_argument("--password")
    arguments.add_argument("--uploads", type=int, default=0)
    arguments.add_argument("--pid", type=int)
    given = arguments.parse_args()
    tally = Tally()
    with closing(Attacker(given.address, given.password, tally)) as attacker:
        _run(attacker, given)
    for name in tally.broken:
        sys.stdout.write(f"got through: {name}\n")
    sys.stdout.write(f"{tally.tried - len(tally.broken)} of {tally.tried} attacks held\n")
    return 1 if tally.broken else 0


def _run(attacker: Attacker, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret.png"
        secret.write_bytes(_picture("teal"))
        attack(attacker, secret)
    if given.uploads:
        flood(attacker, given.uploads, given.pid)


if __name__ == "__main__":
    sys.exit(main())
