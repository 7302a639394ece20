"""The worker process: matching, painting, its files, and its death."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from geostyle.cli import rerun
from geostyle.errors import GeostyleError
from geostyle.studio.app import application
from geostyle.studio.hub import Hub
from geostyle.studio.quick import FAST_SKETCH_PX, SKETCH_PX, Quick
from geostyle.studio.settings import StudioSettings
from tests.studio.helpers import ADDRESS, PICTURES, PORT, TOKEN, TRANSFER, run_async, wait_for

pytestmark = pytest.mark.timeout(600)
SMALL = {"size_px": 48, "quick": True, "guidance": 0.0}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Hub, Path]]:
    output = tmp_path_factory.mktemp("worker")
    settings = StudioSettings(output=output, browser=False)
    hub = Hub(TRANSFER, output / "worker.log")
    client = TestClient(
        application(settings, hub, PORT, TOKEN),
        base_url=ADDRESS,
        headers={"origin": ADDRESS},
        cookies={f"geostyle-{PORT}": TOKEN},
    )
    with client:
        yield client, hub, output


def begin(client: TestClient) -> tuple[str, dict[str, Any]]:
    """A session's address and a recipe in it."""
    own = f"/api/{client.post('/api').json()['session']}"
    names = [
        client.post(f"{own}/bundled", json={"name": name}).json()["name"]
        for name in ("content-coffee", "geo-coffee", "styles-night")
    ]
    return own, {"content": names[0], "geo": names[1], "tex": [names[2]], "options": SMALL}


def painted(client: TestClient, own: str, name: str) -> dict[str, Any]:
    """A snapshot once it is painted, stopped or failed."""

    def ended() -> Any:
        shot = client.get(own).json()["snapshots"][name]
        return shot if shot["status"] in ("done", "stopped", "failed") else None

    found: dict[str, Any] = wait_for(ended, 500)
    return found


def test_a_painting_is_a_run_folder_like_any_other(
    studio: tuple[TestClient, Hub, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    client, _, output = studio
    own, recipe = begin(client)
    warp = client.post(f"{own}/match", json=recipe).json()
    assert 0 <= warp["confidence"] <= 1 and len(warp["theta"]) == 78
    warp["theta"][20] += 0.05  # a point that was dragged
    recipe |= {"warp": warp}
    name = client.post(f"{own}/paint", json={"recipe": recipe, "title": "Cup"}).json()["snapshot"]
    shot = painted(client, own, name)
    assert shot["status"] == "done" and shot["width"] == 48, shot
    for file in ("result.png", "theta.json", "settings.yaml", "source", "result.tif", "thumb.jpg"):
        assert client.get(f"{own}/snapshots/{name}/{file}").status_code == 200, file
    gif = client.get(f"{own}/snapshots/{name}/painting.gif").content
    assert gif.startswith(b"GIF8")
    kept = Path(client.post(f"{own}/snapshots/{name}/keep").json()["folder"])
    assert kept.parent == output and (kept / "originals" / "files.json").is_file()
    assert rerun.main([str(kept)]) == 0
    assert "identical" in capsys.readouterr().out


def test_a_stopped_painting_is_gone_on_with(studio: tuple[TestClient, Hub, Path]) -> None:
    client, hub, _ = studio
    own, recipe = begin(client)
    recipe["options"] = {**SMALL, "quick": False, "size_px": 96}
    name = client.post(f"{own}/paint", json={"recipe": recipe}).json()["snapshot"]
    wait_for(lambda: client.get(own).json()["snapshots"][name].get("width"), 300)
    client.post(f"{own}/snapshots/{name}/stop")
    assert painted(client, own, name)["status"] == "stopped"
    client.post(f"{own}/snapshots/{name}/resume")
    assert painted(client, own, name)["status"] == "done"


def test_a_worker_that_cannot_start_is_not_started_again_and_again(tmp_path: Path) -> None:
    async def trial() -> tuple[list[str], int]:
        hub, lines, starts = Hub("geostyle.nowhere:nothing", tmp_path / "worker.log"), [], 0
        start = hub.start

        def counted() -> None:
            nonlocal starts
            starts += 1
            start()

        hub.start = counted  # type: ignore[method-assign]
        hub.start()
        for _ in range(3):
            try:
                await asyncio.wait_for(hub.call("match"), 100)
            except GeostyleError as error:
                lines.append(str(error))
        hub.close()
        return lines, starts

    lines, starts = run_async(trial())
    assert "started again" in lines[0] and "does not start" in lines[1]
    assert lines[2] == lines[1] and starts == 2  # told at once, while it waits
    assert "No module named" in (tmp_path / "worker.log").read_text("utf-8")


def test_damaged_pictures_get_one_line(studio: tuple[TestClient, Hub, Path]) -> None:
    client, _, output = studio
    own, _ = begin(client)
    whole = (PICTURES / "content" / "rocket.jpg").read_bytes()
    chance = random.Random(0)
    for number in range(25):
        data = bytearray(whole[: chance.randrange(len(whole))] if number % 2 else whole)
        for _ in range(20):
            if data:
                data[chance.randrange(min(len(data), 2000))] = chance.randrange(256)
        answer = client.post(f"{own}/pictures", content=bytes(data))
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            line = answer.json()["line"]
            assert "\n" not in line and str(output) not in line and "Traceback" not in line
    assert not list(output.rglob("*.upload"))


def test_a_killed_worker_is_started_again_and_no_snapshot_is_lost(
    studio: tuple[TestClient, Hub, Path],
) -> None:
    client, hub, _ = studio
    own, recipe = begin(client)
    recipe["options"] = {**SMALL, "quick": False, "size_px": 96}
    name = client.post(f"{own}/paint", json={"recipe": recipe}).json()["snapshot"]
    wait_for(lambda: client.get(own).json()["snapshots"][name].get("width"), 300)
    before = hub.process.pid
    os.kill(before, signal.SIGKILL)
    shot = painted(client, own, name)
    assert shot["status"] == "stopped" and "started again" in shot["line"]
    assert hub.process.pid != before
    client.post(f"{own}/snapshots/{name}/resume")
    assert painted(client, own, name)["status"] == "done"


def test_a_sketch_takes_the_fast_network_of_its_texture_unless_a_dial_moved(
    tmp_path: Path,
) -> None:
    quick = Quick(lambda message: False)
    pictures = {"content": str(PICTURES / "content" / "coffee.jpg")}

    def side(style: str, **dials: Any) -> int:
        given = {**pictures, "tex_style": [str(PICTURES / "styles" / style)], **dials}
        answer, data = quick.sketch({"id": 1, "given": given, "folder": str(tmp_path)})
        assert data is not None and Image.open(io.BytesIO(data)).size[0] == answer["width"]
        return int(answer["width"])

    assert side("mosaic.jpg") == FAST_SKETCH_PX
    assert side("mosaic.jpg", preserve_color="off", geo_strength=1.0) == FAST_SKETCH_PX
    assert side("mosaic.jpg", tex_strength=0.5) == SKETCH_PX
    assert side("mosaic.jpg", preserve_color="lab") == SKETCH_PX
    assert side("glass.jpg") == SKETCH_PX  # a texture without a network
