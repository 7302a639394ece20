"""Requests that are refused, and what every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.testclient import TestClient

from geostyle.errors import InputError
from geostyle.studio.guard import Guard
from geostyle.studio.settings import StudioSettings
from tests.studio.helpers import ADDRESS, PORT, TOKEN, NoWorker, client_of

T = TypeVar("T")

OWN = {"host": f"127.0.0.1:{PORT}", "cookie": f"geostyle-{PORT}={TOKEN}", "origin": ADDRESS}

# method, path, headers that differ from the page's own (None: left out), status
REFUSED: list[tuple[str, str, dict[str, str | None], int]] = [
    ("GET", "/static/main.js", {"host": "evil.example"}, 421),
    ("GET", "/static/main.js", {"host": f"evil.example:{PORT}"}, 421),
    ("GET", "/static/main.js", {"host": f"127.0.0.1.evil.example:{PORT}"}, 421),
    ("GET", "/static/main.js", {"host": f"localhost.evil.example:{PORT}"}, 421),
    ("GET", "/static/main.js", {"host": "127.0.0.1:1"}, 421),
    ("GET", "/static/main.js", {"host": "127.0.0.1"}, 421),
    ("GET", "/static/main.js", {"host": ""}, 421),
    ("GET", "/static/main.js", {"host": None}, 421),
    ("GET", "/static/main.js", {"host": f"192.168.1.5:{PORT}"}, 421),
    ("GET", "/static/main.js", {"host": f"user@127.0.0.1:{PORT}"}, 421),
    ("GET", "/static/main.js", {"host": f"127.0.0.1:{PORT}/x"}, 421),
    ("GET", "/static/main.js", {"origin": "http://evil.example"}, 403),
    ("GET", "/static/main.js", {"origin": "null"}, 403),
    ("GET", "/static/main.js", {"origin": f"https://127.0.0.1:{PORT}"}, 403),
    ("GET", "/static/main.js", {"origin": "http://127.0.0.1:1"}, 403),
    ("GET", "/static/main.js", {"origin": f"http://localhost:{PORT}"}, 403),
    ("POST", "/api", {"origin": None}, 403),
    ("POST", "/api", {"origin": "http://evil.example"}, 403),
    ("PUT", "/api/x/state", {"origin": None}, 403),
    ("DELETE", "/api/x", {"origin": None}, 403),
    ("GET", "/static/main.js", {"sec-fetch-site": "cross-site"}, 403),
    ("GET", "/static/main.js", {"sec-fetch-site": "same-site"}, 403),
    ("POST", "/api", {"sec-fetch-site": "cross-site"}, 403),
    ("GET", "/static/main.js", {"cookie": None}, 403),
    ("GET", "/static/main.js", {"cookie": f"geostyle-{PORT}=wrong"}, 403),
    ("GET", "/static/main.js", {"cookie": f"geostyle-{PORT}={TOKEN}x"}, 403),
    ("GET", "/static/main.js", {"cookie": f"geostyle-1={TOKEN}"}, 403),
    ("GET", "/static/main.js", {"cookie": "\x01=;;="}, 403),
    ("POST", "/api", {"cookie": None}, 403),
    ("GET", "/gallery", {"cookie": None}, 403),
    ("GET", "/", {"cookie": None}, 403),
    ("GET", "/static/../app.py", {}, 400),
    ("GET", "/static/..%2fapp.py", {}, 400),
    ("GET", "/static/%2e%2e/app.py", {}, 400),
    ("GET", "//etc/passwd", {}, 400),
    ("GET", "/static/..\\app.py", {}, 400),
    ("GET", "/gallery/a%00b", {}, 400),
    ("GET", "/static/main.js?" + "x" * 300, {}, 414),
    ("TRACE", "/", {}, 405),
    ("PATCH", "/api/x", {}, 405),
    ("OPTIONS", "/api", {}, 405),
    ("CONNECT", "/", {}, 405),
    ("POST", "/api/x/pictures", {"content-length": "2147483648"}, 413),
    ("POST", "/api/x/paint", {"content-length": "2000000"}, 413),
    ("POST", "/api/x/paint", {"content-length": "-1"}, 400),
    ("POST", "/api/x/paint", {"content-length": "1e3"}, 400),
]


def scope_of(method: str, address: str, changes: dict[str, str | None]) -> dict[str, Any]:
    path, _, query = address.partition("?")
    headers = {**OWN, **changes}
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "http_version": "1.1", "root_path": "",
        "scheme": "http", "server": ("127.0.0.1", PORT), "client": ("127.0.0.1", 1),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items() if v is not None],
    }  # fmt: skip


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread of its own: a browser's tests leave a running loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def answer(app: Guard, scope: dict[str, Any], bodies: list[bytes]) -> list[Any]:
    """What an application sends."""
    sent: list[Any] = []
    chunks = iter(bodies)

    async def receive() -> MutableMapping[str, Any]:
        chunk = next(chunks, None)
        more = chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": more}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    finished(app(scope, receive, send))
    return sent


@pytest.mark.parametrize(("method", "path", "changes", "status"), REFUSED)
def test_refused(
    guard: Guard, method: str, path: str, changes: dict[str, str | None], status: int
) -> None:
    sent = answer(guard, scope_of(method, path, changes), [])
    assert sent[0]["status"] == status
    assert b"Traceback" not in sent[1]["body"] and len(sent[1]["body"]) < 200


def test_the_same_request_from_the_page_is_answered(client: TestClient) -> None:
    assert client.get("/static/main.js").status_code == 200
    del client.headers["origin"]
    assert client.get("/static/main.js").status_code == 200


def test_a_body_without_a_length_is_cut_off(guard: Guard) -> None:
    scope = scope_of("POST", "/api/x/pictures", {})
    endless = [b"x" * 500_000] * 50

    async def run() -> int:
        read = 0

        async def receive() -> MutableMapping[str, Any]:
            nonlocal read
            read += 1
            return {"type": "http.request", "body": endless[0], "more_body": True}

        sent: list[Any] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        with client_of(guard.settings, NoWorker()) as one:
            name = one.post("/api").json()["session"]
            scope["path"] = f"/api/{name}/pictures"
            scope["raw_path"] = scope["path"].encode()
            await one.app(scope, receive, send)  # type: ignore[operator]
        assert sent[0]["status"] == 413
        return read

    assert finished(run()) <= 6


def test_headers_allow_no_inline_code_and_no_other_host(client: TestClient) -> None:
    for path in ("/", "/static/main.js", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = client.get("/").text
    assert "<style" not in page and " style=" not in page and "onclick" not in page


def test_the_address_gives_the_cookie_and_nothing_else_does(settings: StudioSettings) -> None:
    with client_of(settings, NoWorker()) as one:
        one.cookies.clear()
        assert one.get("/?token=wrong").status_code == 403
        assert one.get(f"/?token={TOKEN}").status_code == 200
        assert one.get("/static/main.js").status_code == 200


def test_sockets_of_other_pages_are_refused(client: TestClient, session: str) -> None:
    from starlette.websockets import WebSocketDisconnect

    own = {"host": f"127.0.0.1:{PORT}", "origin": ADDRESS}
    for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect(f"{session}/events", headers={**own, **headers}),
        ):
            pass
    with client.websocket_connect(f"{session}/events", headers=own) as socket:
        assert socket.receive_json()["what"] == "hello"


def test_another_host_demands_a_password(tmp_path: Path) -> None:
    for password in (None, "short"):
        with pytest.raises(InputError, match="password: expected at least 8"):
            StudioSettings(host="0.0.0.0", password=password, output=tmp_path)
    StudioSettings(host="localhost", output=tmp_path)


def test_the_password_opens_the_door_and_few_guesses_are_taken(settings: StudioSettings) -> None:
    settings = replace(settings, host="0.0.0.0", password="correct horse")
    with client_of(settings, NoWorker()) as one:
        one.cookies.clear()
        assert "Password" in one.get(f"/?token={TOKEN}").text
        assert one.post("/login", data={"password": "wrong"}).status_code == 403
        assert one.get("/gallery").status_code == 403
        assert one.post("/login", data={"password": "correct horse"}).status_code == 200
        assert one.get("/gallery").status_code == 200
        tries = [one.post("/login", data={"password": "x"}).status_code for _ in range(6)]
        assert tries[-1] == 429
