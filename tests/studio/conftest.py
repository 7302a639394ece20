"""A studio to test: its application without a worker, and a real one with a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `studio` is not installed")

from starlette.testclient import TestClient

from geostyle.studio.app import application
from geostyle.studio.guard import Guard
from geostyle.studio.settings import StudioSettings
from tests.studio.helpers import FLAGS, PORT, ROOT, TOKEN, NoWorker, chromium, client_of


@pytest.fixture
def settings(tmp_path: Path) -> StudioSettings:
    return StudioSettings(output=tmp_path / "runs", browser=False, max_mb=2.0, max_pictures=8)


@pytest.fixture
def client(settings: StudioSettings) -> Iterator[TestClient]:
    with client_of(settings, NoWorker()) as one:
        yield one


@pytest.fixture
def guard(settings: StudioSettings) -> Guard:
    return application(settings, NoWorker(), PORT, TOKEN)


@pytest.fixture
def session(client: TestClient) -> str:
    """The address of a new session."""
    return f"/api/{client.post('/api').json()['session']}"


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that a real studio printed."""
    output = tmp_path_factory.mktemp("studio")
    command = [sys.executable, "-m", "geostyle", "studio", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = re.search(r"http://\S+", process.stdout.readline())
        assert printed is not None
        yield printed[0]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium; skipped, saying so, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as running:
        one = running.chromium.launch(executable_path=path, args=FLAGS)
        yield one
        one.close()
