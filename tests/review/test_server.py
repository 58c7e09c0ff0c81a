"""The page's server: what it answers, and every request that it must refuse."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

import main
import prepare_data
from figtune.core.errors import ExitCode
from figtune.core.web_access import Access, listening
from figtune.dataset.decisions import read_decisions
from figtune.review.server import ReviewServer
from tests.review import review_maker
from tests.rows import each_row


@dataclass(frozen=True)
class Reply:
    """Response to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Client:
    """A visitor of a server."""

    port: int
    folder: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send one request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())

    def post(self, path: str, value: object, **headers: str) -> Reply:
        """Send JSON as the page does."""
        return self.ask("POST", path, json.dumps(value).encode(), **{"content_type": "application/json", **headers})

    def raw(self, data: bytes) -> bytes:
        """Send bytes and return the first ones of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            return connection.recv(1 << 16)

    def first(self) -> str:
        """Return the id of the first item."""
        return str(json.loads(self.ask("GET", "/step").body)["item"]["id"])

    @property
    def decisions(self) -> int:
        """Number of decisions on the disk."""
        return len(read_decisions(self.folder / "decisions.jsonl"))


@pytest.fixture(params=[None])
def client(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Client]:
    review_maker.prepare(tmp_path)
    access = Access(host="127.0.0.1", port=0, password=request.param)
    with closing(listening("127.0.0.1", 0)) as listener, closing(review_maker.session(tmp_path)) as session:
        server = ReviewServer(listener, session, access)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Client(listener.getsockname()[1], tmp_path)
        server.shutdown()
        thread.join()


def test_a_decision_is_on_the_disk_when_it_is_answered(client: Client) -> None:
    item_id = client.first()
    answer = client.post("/decide", {"id": item_id, "verdict": "accept", "text": "Mine."})
    assert (answer.status, json.loads(answer.body)["state"]) == (200, "edited")
    assert client.decisions == 1
    assert client.first() != item_id
    assert json.loads(client.post("/decide", {"id": item_id, "verdict": ""}).body)["state"] == "open"
    assert client.decisions == 0
    assert json.loads(client.post("/figure", {"id": item_id, "verdict": "reject"}).body)["state"] == "rejected"
    boxed = client.post("/box", {"id": item_id, "box": [60, 110, 200, 250]})
    assert json.loads(boxed.body)["figure"]["box"] == [60.0, 110.0, 200.0, 250.0]


def test_every_answer_has_the_headers_of_a_closed_page(client: Client) -> None:
    item_id = client.first()
    for path in (
        "/",
        "/review.js",
        "/review.css",
        "/choices",
        "/step",
        f"/item/{item_id}",
        f"/picture/{item_id}",
        "/no",
    ):
        answer = client.ask("GET", path)
        assert answer.status == (404 if path == "/no" else 200)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
        assert int(answer.headers["content-length"]) == len(answer.body)
    head = client.ask("HEAD", "/")
    assert (head.status, head.body) == (200, b"")


@each_row(
    ("headers", "status"),
    [
        ({"host": "attacker.example"}, 400),
        ({"host": "attacker.example:7860"}, 400),
        ({"host": "127.0.0.1.attacker.example"}, 400),
        ({"host": ""}, 400),
        ({"origin": "https://attacker.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_change_and_read_nothing(client: Client, headers: dict[str, str], status: int) -> None:
    item_id = client.first()
    assert client.post("/decide", {"id": item_id, "verdict": "reject"}, **headers).status == status
    assert client.decisions == 0
    if status != 415:
        for path in ("/choices", f"/item/{item_id}", f"/picture/{item_id}"):
            answer = client.ask("GET", path, None, **headers)
            assert answer.status == status
            assert item_id.encode() not in answer.body


@each_row(
    "path",
    [
        *("/../config.py", "/page/../server.py", "/%2e%2e/config.py", "//etc/hostname", "/review.html", "/server.py"),
        *(
            "/picture/../../../../etc/hostname",
            "/picture/%2e%2e%2f%2e%2e%2fdecisions.jsonl",
            "/picture/0123456789abcdef",
        ),
        *("/item/ZZZZ", "/item/", "/canvas/0000000000000000", "/decide", "/step/", "/picture/0123456789abcde\u0661"),
    ],
)
def test_no_other_path_is_served(client: Client, path: str) -> None:
    answer = client.ask("GET", path.encode("ascii", "backslashreplace").decode())
    assert answer.status == 404
    assert b"import" not in answer.body


@each_row("query", ["order=random", "shown=secret", "low=x", "more=1", "direction=up"])
def test_a_step_has_known_words_only(client: Client, query: str) -> None:
    answer = client.ask("GET", f"/step?{query}")
    assert answer.status == 422


@each_row("bound", ["nan", "inf"])
def test_nothing_is_above_what_is_no_number_or_has_no_end(client: Client, bound: str) -> None:
    answer = client.ask("GET", f"/step?low={bound}")
    assert answer.status == 200
    assert json.loads(answer.body)["total"] == 0


@each_row("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    assert client.ask(method, "/decide", b"{}").status == 501


@each_row(
    ("path", "value", "status"),
    [
        ("/decide", {"id": "0" * 16, "verdict": "reject"}, 404),
        ("/decide", {"id": "ID", "verdict": "perhaps"}, 422),
        ("/decide", {"id": "ID", "verdict": "reject", "text": "x"}, 422),
        ("/decide", {"id": "ID", "verdict": "accept", "path": "/etc/passwd"}, 422),
        ("/decide", {"id": ["ID"], "verdict": "accept"}, 422),
        ("/decide", [], 422),
        ("/figure", {"id": "ID", "verdict": "accept"}, 422),
        ("/box", {"id": "ID", "box": [0, 0, 1, 1]}, 422),
        ("/box", {"id": "ID", "box": [60, 110, 200]}, 422),
        ("/box", {"id": "ID", "box": [60, 110, 1e999, 250]}, 422),
        ("/step", {}, 404),
    ],
)
def test_a_wrong_request_changes_nothing(client: Client, path: str, value: object, status: int) -> None:
    sent = json.dumps(value).replace("ID", client.first())
    assert client.ask("POST", path, sent.encode(), content_type="application/json").status == status
    assert client.decisions == 0


def test_bodies_are_bounded_and_whole(client: Client) -> None:
    start = b"POST /decide HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    for head, status in (
        (b"Content-Length: 10000000000\r\n\r\n{", b"413"),
        (b"Content-Length: 262145\r\n\r\n{", b"413"),
        (b"Content-Length: -1\r\n\r\n{", b"411"),
        (b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
        (b"\r\n", b"411"),
        (b"X: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ):
        assert client.raw(start + head).split(b" ", 2)[1] == status, head[:40]
    assert (
        client.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: attacker.example\r\n\r\n").split(b" ", 2)[1] == b"400"
    )
    assert (
        client.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nGET /step").split(b" ", 2)[1]
        == b"400"
    )
    deep = b"[" * 100_000
    assert client.ask("POST", "/decide", deep, content_type="application/json").status == 422
    assert client.decisions == 0


@pytest.mark.parametrize("client", ["right password"], indirect=True)
def test_a_password_is_asked_where_one_is_set(client: Client) -> None:
    right = "Basic " + base64.b64encode(b"me:right password").decode()
    wrong = "Basic " + base64.b64encode(b"me:wrong password").decode()
    assert client.ask("GET", "/choices").status == 401
    assert client.ask("GET", "/choices", authorization=wrong).status == 401
    assert client.ask("GET", "/choices", authorization=right).status == 200


def test_many_at_a_time_lose_no_decision(client: Client) -> None:
    ids = []
    step = json.loads(client.ask("GET", "/step").body)
    while step["item"]:
        ids.append(step["item"]["id"])
        step = json.loads(client.ask("GET", f"/step?start={ids[-1]}").body)
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda each: client.post("/decide", {"id": each, "verdict": "reject"}), ids))
    assert {reply.status for reply in replies} == {200}
    assert client.decisions == len(ids) == 6


def test_a_decision_that_cannot_be_kept_is_said(client: Client) -> None:
    item_id = client.first()
    (client.folder / "decisions.jsonl").mkdir()
    answer = client.post("/decide", {"id": item_id, "verdict": "reject"})
    assert answer.status in (409, 507)
    assert "decisions.jsonl" in json.loads(answer.body)["problem"]


def test_a_review_is_for_this_machine_alone(capfd: pytest.CaptureFixture[str]) -> None:
    assert prepare_data.main(["--review", "--serve_host", "0.0.0.0"]) == ExitCode.USAGE
    assert "--review is for this machine alone" in capfd.readouterr().err
    assert main.main(["--review"]) == ExitCode.USAGE
    assert "run: python prepare_data.py --review" in capfd.readouterr().err
