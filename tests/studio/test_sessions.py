"""Sessions: what they keep, what they take, when they go."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from geostyle.errors import InputError
from geostyle.studio.guard import Guard
from geostyle.studio.sessions import NAME, Sessions
from geostyle.studio.settings import StudioSettings
from tests.studio.helpers import ADDRESS, PORT, TOKEN, NoWorker, client_of, run_async


def test_names_are_random_and_never_paths(settings: StudioSettings) -> None:
    sessions = Sessions(settings)
    names = {sessions.create().name for _ in range(20)}
    assert len(names) == 20 and all(NAME.fullmatch(name) for name in names)
    for name in ("..", "../..", "", ".studio", str(settings.output)):
        with pytest.raises(InputError, match="session"):
            sessions.get(name)


def test_everything_survives_a_restart(settings: StudioSettings) -> None:
    with client_of(settings, NoWorker()) as one:
        name = one.post("/api").json()["session"]
        picture = one.post(f"/api/{name}/bundled", json={"name": "content-coffee"}).json()["name"]
        assert one.put(f"/api/{name}/state", json={"doc": {"content": picture}}).status_code == 200
    with client_of(settings, NoWorker()) as one:
        whole = one.get(f"/api/{name}").json()
        assert whole["state"]["doc"]["content"] == picture
        assert list(whole["pictures"]) == [picture]
        assert one.get(f"/api/{name}/pictures/{picture}/shown").status_code == 200


def test_a_visitor_that_leaves_in_the_middle_of_an_upload_is_no_failure(guard: Guard) -> None:
    session = guard.app.state.studio.sessions.create()
    path = f"/api/{session.name}/pictures"
    headers = {"host": f"127.0.0.1:{PORT}", "origin": ADDRESS, "cookie": f"geostyle-{PORT}={TOKEN}"}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    run_async(guard(scope, receive, send))
    assert sent[0]["status"] == 400


def test_old_sessions_and_their_files_go(settings: StudioSettings) -> None:
    sessions = Sessions(replace(settings, keep_days=1.0))
    old, new = sessions.create(), sessions.create()
    old.touched -= 2 * 86400
    assert sessions.expire() == [old.name]
    assert not old.folder.exists() and new.folder.is_dir()


def test_many_sessions_push_out_the_oldest(settings: StudioSettings) -> None:
    sessions = Sessions(replace(settings, max_sessions=3))
    first = sessions.create()
    first.touched -= 60
    for _ in range(3):
        sessions.create()
    assert len(sessions) == 3 and not first.folder.exists()


def test_a_damaged_file_is_an_empty_session(settings: StudioSettings) -> None:
    name = Sessions(settings).create().name
    (settings.folder / name / "session.json").write_text("{damaged")
    assert Sessions(settings).get(name).pictures == {}


def test_pictures_are_bounded_in_number(client: TestClient, session: str) -> None:
    answers = [client.post(f"{session}/pictures", content=b"x").status_code for _ in range(9)]
    assert answers == [200] * 8 + [400]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"recipe": []}', b'{"recipe": {}}',
        b'{"recipe": {"content": "../../etc/passwd"}}',
        b'{"recipe": {"content": {"a": 1}}}',
        b'{"recipe": {"content": null, "tex": "x"}}',
        b'{"recipe": {"content": null, "options": {"output": "/tmp"}}}',
        b"[" * 5000,
    ],
)  # fmt: skip
def test_unusable_recipes_get_one_line(client: TestClient, session: str, body: bytes) -> None:
    for what in ("paint", "match", "sketch", "prepare"):
        answer = client.post(f"{session}/{what}", content=body)
        assert answer.status_code == 400
        line = answer.json()["line"]
        assert line and "\n" not in line and "Traceback" not in line


def test_settings_that_are_not_the_pages_are_refused(client: TestClient, session: str) -> None:
    picture = client.post(f"{session}/bundled", json={"name": "content-coffee"}).json()["name"]
    for options in ({"weights": "/etc/passwd"}, {"size_px": [1]}, {"features": "x" * 99}):
        recipe = {"content": picture, "tex": [picture], "options": options}
        answer = client.post(f"{session}/paint", json={"recipe": recipe})
        assert answer.status_code == 400, options


def test_places_in_the_queue(client: TestClient, session: str) -> None:
    picture = client.post(f"{session}/bundled", json={"name": "content-coffee"}).json()["name"]
    recipe = {"content": picture, "tex": [picture]}
    names = [
        client.post(f"{session}/paint", json={"recipe": recipe}).json()["snapshot"]
        for _ in range(4)
    ]
    order = [names[3], names[1], names[2]]
    queue = client.put(f"{session}/queue", json={"order": order}).json()["queue"]
    assert [one["snapshot"] for one in queue] == order
    assert [one["place"] for one in queue] == [1, 2, 3]
    client.post(f"{session}/snapshots/{names[3]}/stop")
    whole = client.get(session).json()
    assert [one["snapshot"] for one in whole["queue"]] == [names[1], names[2]]
    assert whole["snapshots"][names[3]]["status"] == "stopped"
    assert "recipe" not in whole["snapshots"][names[0]]


def test_only_known_files_are_served(client: TestClient, session: str) -> None:
    for path in ("/static/app.py", "/static/nothing.js", "/gallery/none", "/static/.hidden"):
        assert client.get(path).status_code == 404
    picture = client.post(f"{session}/bundled", json={"name": "content-coffee"}).json()["name"]
    assert client.get(f"{session}/pictures/{picture}/file").status_code == 404
    assert client.get(f"{session}/snapshots/none/result.png").status_code == 400


def test_the_session_file_holds_no_secret(client: TestClient, settings: StudioSettings) -> None:
    name = client.post("/api").json()["session"]
    text = (settings.folder / name / "session.json").read_text()
    assert "token" not in text and json.loads(text)["touched"] <= time.time()
    assert os.stat(settings.folder / name).st_mode & 0o777
