"""A studio in a process of its own, and visitors that use it as its page does."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "geostyle" / "assets" / "pictures"
T = TypeVar("T")
Event = tuple[float, dict[str, Any], bytes]
ENDED = ("done", "stopped", "failed")


class Studio:
    """`geostyle studio`, started on a free port with its results in a temporary folder.

    Args: flags, of the command.

    Attributes: address, as printed, with the token; base, without it; output, its folder.
    """

    def __init__(self, *flags: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="geostyle-studio-")
        self.output = Path(self._folder.name)
        command = [sys.executable, "-m", "geostyle", "studio", "--no-browser", "--port", "0"]
        self._errors = (self.output / "server.log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--output", str(self.output), *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        printed = re.search(r"(http://[^/]+)/\S+", self.process.stdout.readline())
        if printed is None:
            self.close()
            raise SystemExit("the studio printed no address")
        self.address, self.base = printed[0], printed[1]

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its folder."""
        self.process.terminate()
        self.process.wait(30)
        self._errors.close()
        self._folder.cleanup()

    def workers(self) -> list[psutil.Process]:
        """The processes that have the networks."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if "spawn_main" in " ".join(one.cmdline())]

    def memory_mb(self) -> float:
        """Resident memory of the server and all of its processes, in MB."""
        server = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (server, *server.children(True))) / 1e6

    def logs(self) -> str:
        """Return the output of the server and the worker."""
        paths = (self.output / "server.log", self.output / ".studio" / "worker.log")
        return "".join(path.read_text("utf-8", "replace") for path in paths if path.is_file())


class Visitor:
    """One browser's requests and events.

    Args:
        studio: that is visited.
        session: to go on with; None begins one.
    """

    def __init__(self, studio: Studio, session: str | None = None) -> None:
        self.http = httpx.Client(base_url=studio.base, headers={"origin": studio.base}, timeout=300)
        self.http.get(studio.address.removeprefix(studio.base))
        if session is None:
            session = self.ask("POST", "/api", {})["session"]
        self.session = session
        self.own = f"/api/{session}"
        self.heard: list[Event] = []
        self._base = studio.base
        self._socket: ClientConnection | None = None

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the session stays."""
        if self._socket is not None:
            self._socket.close()
        self.http.close()

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask and return the JSON of the answer; RuntimeError where it is refused."""
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = self.http.request(method, path, **given)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found

    def upload(self, path: Path) -> str:
        """The name that a picture gets."""
        return str(self.ask("POST", f"{self.own}/pictures", path.read_bytes())["name"])

    def recipe(self, content: str, geo: str, tex: str, **options: Any) -> dict[str, Any]:
        """Upload three of the bundled pictures; the recipe of a painting."""
        names = [self.upload(PICTURES / f"{name}.jpg") for name in (content, geo, tex)]
        return {"content": names[0], "geo": names[1], "tex": [names[2]], "options": options}

    def match(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The warp between content and shape."""
        return self.ask("POST", f"{self.own}/match", recipe)

    def paint(self, recipe: dict[str, Any]) -> str:
        """Order a painting; the name of its snapshot."""
        return str(self.ask("POST", f"{self.own}/paint", {"recipe": recipe})["snapshot"])

    def snapshot(self, name: str) -> dict[str, Any]:
        """A snapshot as it stands."""
        found: dict[str, Any] = self.ask("GET", self.own)["snapshots"][name]
        return found

    def painted(self, name: str, seconds: float = 600.0) -> dict[str, Any]:
        """A snapshot once it is painted, stopped or failed."""

        def ended() -> dict[str, Any] | None:
            shot = self.snapshot(name)
            return shot if shot["status"] in ENDED else None

        return patiently(ended, seconds)

    def listen(self) -> None:
        """Collect the events of the session in `heard`, with the seconds at which each came."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        self._socket = connect(
            f"ws://{self._base.removeprefix('http://')}{self.own}/events",
            origin=self._base,  # type: ignore[arg-type]
            additional_headers={"cookie": cookies},
            max_size=None,
            proxy=None,
        )
        threading.Thread(target=self._hear, args=(self._socket,), daemon=True).start()

    def events(self, snapshot: str, what: str) -> list[Event]:
        """The events of one kind of a painting."""
        return [
            event for event in list(self.heard)
            if event[1]["what"] == what and event[1].get("snapshot") == snapshot
        ]  # fmt: skip

    def _hear(self, socket: ClientConnection) -> None:
        try:
            for message in socket:
                now = time.perf_counter()
                if isinstance(message, str):
                    self.heard.append((now, json.loads(message), b""))
                    continue
                (length,) = struct.unpack_from("<I", message)
                head = json.loads(message[4 : 4 + length])
                self.heard.append((now, head, message[4 + length :]))
        except (ConnectionClosed, OSError):
            pass


def patiently(condition: Callable[[], T | None], seconds: float = 100.0) -> T:
    """Wait until `condition` returns neither None nor False, and return that.

    Raises: TimeoutError.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found is not None and found is not False:
            return found
        time.sleep(0.05)
    raise TimeoutError("it did not come about")
