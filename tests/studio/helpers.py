"""What the studio's tests share: an application without a worker, and patience."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.testclient import TestClient

from geostyle.studio.app import application
from geostyle.studio.hub import Hub
from geostyle.studio.settings import StudioSettings

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "geostyle" / "assets" / "pictures"
T = TypeVar("T")
PORT, TOKEN = 8765, "a-token-for-tests"
ADDRESS = f"http://127.0.0.1:{PORT}"
TRANSFER = "geostyle.cli._live_transfer:transfer_live"
PATIENCE_MS = 240_000  # on a busy machine
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]


class NoWorker(Hub):
    """A hub that takes any picture for one of 64×48 px, and does nothing else."""

    def __init__(self) -> None:
        super().__init__(TRANSFER, Path(os.devnull))
        self.asked: list[str] = []

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def submit(self, task: str, **what: Any) -> Any:
        self.asked.append(task)
        future = asyncio.get_running_loop().create_future()
        if task in ("picture", "mask"):
            path, name = Path(what["path"]), what["name"]
            path.rename(path.with_name(f"{name}.png"))
            files = dict.fromkeys(("file", "shown", "thumb"), f"{name}.png")
            future.set_result(({**files, "width": 64, "height": 48, "notes": []}, None))
        return 1, future

    def stop(self, number: int) -> None:
        self.asked.append("stop")


def client_of(settings: StudioSettings, hub: Hub) -> TestClient:
    """A client as the page: with the token, from the page itself."""
    app = application(settings, hub, PORT, TOKEN)
    return TestClient(
        app,
        base_url=ADDRESS,
        headers={"origin": ADDRESS},
        cookies={f"geostyle-{PORT}": TOKEN},
    )


def chromium() -> str | None:
    """The path of a Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread, as a browser's loop may be running in this one; its result."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def wait_for(condition: Any, seconds: float = 100.0) -> Any:
    """Wait until `condition` returns something true, and return that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come about")
