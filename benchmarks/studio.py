"""Time the studio on this machine: `python benchmarks/studio.py [--only match drag paint]`.

match: seconds from the drop of content and shape in a browser until the picture is bent, alone and
while another visitor paints. drag: frames per second of a drag at 1024 px in headless Chromium,
which renders in software, and milliseconds of its parts. paint: seconds until the first frame that
differs from the warped content, frames per second of each level, seconds until a stop is told, and
whether the picture equals that of the command line. Threads are those of `OMP_NUM_THREADS`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reliability")]

from visitors import PICTURES, Studio, Visitor, patiently  # noqa: E402

from tests.studio.helpers import FLAGS, chromium  # noqa: E402

PAIRS = ("astronaut", "chelsea", "coffee", "rocket")
OPTIONS = {"features": "lite", "size_px": 512}
DIFFERENT = 2.0  # mean difference in 1/255 from which a frame is not the warped content
DRAG_S = 4.0

DROP = """([slot, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'picture.jpg', { type: 'image/jpeg' }));
  document.querySelector(`.slot:nth-child(${slot})`)
    .dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }));
}"""
# Seconds from the drop of both until the warp that was found is drawn.
DROP_BOTH = f"""async ([content, shape]) => {{
  const {{ on }} = await import('/static/store.js');
  const drop = {DROP};
  const begun = performance.now();
  const drawn = new Promise((resolve) => {{
    let matched = false;
    on('matched', () => {{ matched = true; }});
    on('drawn', () => {{ if (matched) requestAnimationFrame(() => resolve(performance.now())); }});
  }});
  drop([1, content]);
  drop([2, shape]);
  return (await drawn - begun) / 1000;
}}"""
# A drag of the picture along a circle, one move per frame of the screen.
DRAG = """async (seconds) => {
  const stage = document.querySelector('#stage');
  const box = document.querySelector('#warp').getBoundingClientRect();
  const [cx, cy] = [box.left + box.width * 0.5, box.top + box.height * 0.5];
  const mouse = { bubbles: true, pointerId: 1, pointerType: 'mouse', button: 0, buttons: 1 };
  const send = (kind, clientX, clientY) =>
    stage.dispatchEvent(new PointerEvent(kind, { ...mouse, clientX, clientY }));
  stage.setPointerCapture = () => {};
  const { on } = await import('/static/store.js');
  let frames = 0;
  on('drawn', () => { frames++; });
  const widths = [];
  send('pointerdown', cx, cy);
  const stamps = [];
  const begun = performance.now();
  await new Promise((resolve) => {
    const step = (now) => {
      stamps.push(now);
      const t = (performance.now() - begun) / 1000;
      if (t > seconds) return resolve();
      send('pointermove', cx + 60 * Math.sin(3 * t), cy + 60 * (1 - Math.cos(3 * t)));
      widths.push(document.querySelector('#warp').width);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  const drawn = frames;
  send('pointerup', cx, cy);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const gaps = stamps.slice(1).map((s, i) => s - stamps[i]);
  return { fps: drawn / ((stamps.at(-1) - stamps[0]) / 1000), gaps, widths,
    rest: document.querySelector('#warp').width };
}"""


@contextlib.contextmanager
def page_of(studio: Studio, width: int = 1440, height: int = 900) -> Iterator[Any]:
    """The studio's page in a new browser."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise SystemExit("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(240_000)
        page.goto(studio.address)
        page.wait_for_selector("body[data-ready]")
        yield page
        browser.close()


def encoded(name: str) -> str:
    return base64.b64encode((PICTURES / f"{name}.jpg").read_bytes()).decode()


def match_seconds(page: Any, pairs: tuple[str, ...]) -> list[float]:
    """Seconds until each pair is bent."""
    found = []
    for name in pairs:
        page.reload()
        page.wait_for_selector("body[data-ready]")
        page.wait_for_timeout(3000)  # what the visit before has asked for
        both = [encoded(f"content/{name}"), encoded(f"geo/{name}")]
        found.append(page.evaluate(DROP_BOTH, both))
    return found


def measure_match(studio: Studio) -> dict[str, Any]:
    """Alone, and while another visitor paints at 768 px."""
    with page_of(studio) as page:
        match_seconds(page, PAIRS[:1])
        alone = match_seconds(page, PAIRS)
        with Visitor(studio) as other:
            recipe = other.recipe(
                "content/rocket", "geo/rocket", "styles/night", **{**OPTIONS, "size_px": 768}
            )
            name = other.paint(recipe)
            patiently(lambda: other.snapshot(name).get("width"), 120)
            # Other pictures than before: an estimate that is known is not made again.
            beside = match_seconds(page, PAIRS[::-1])
            still = other.snapshot(name)["status"]
            other.ask("POST", f"{other.own}/snapshots/{name}/stop", {})
            other.painted(name)
    return {
        "warp shown, s": spread_of(alone),
        "warp shown while another paints, s": spread_of(beside),
        "painting went on": still == "painting",
    }


def measure_drag(studio: Studio) -> dict[str, Any]:
    """Frames per second of a drag of the bundled example's content and of its painting."""
    found: dict[str, Any] = {}
    with page_of(studio) as page:
        page.wait_for_timeout(4000)
        for name in ("first", "second"):
            made = page.evaluate(DRAG, DRAG_S)
            gaps = sorted(made["gaps"])
            found[f"drag, {name}: frames per second"] = round(made["fps"], 1)
            found[f"drag, {name}: ms between frames, median and 95 %"] = [
                round(gaps[len(gaps) // 2]), round(gaps[int(0.95 * len(gaps))])]  # fmt: skip
            found[f"drag, {name}: px wide, least and at rest"] = [min(made["widths"]), made["rest"]]
    return found


def picture_of(data: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize(size or image.size), np.float32)


def measure_paint(studio: Studio) -> dict[str, Any]:
    """Frames of a painting that was prepared while its warp was looked at; its bytes; a stop."""
    with Visitor(studio) as visitor:
        visitor.listen()
        recipe = visitor.recipe("content/coffee", "geo/coffee", "styles/night", **OPTIONS)
        visitor.match(recipe)
        visitor.ask("POST", f"{visitor.own}/prepare", recipe)
        time.sleep(15)
        first_s, rates, seconds, name = painted(visitor, recipe)
        found: dict[str, Any] = {
            "first frame that differs, s": round(first_s, 2),
            "frames per second by level": rates,
            "painting, s": round(seconds, 1),
        }
        stops = [stop_seconds(visitor, recipe, share) for share in (0.1, 0.4, 0.7, 0.9)]
        found["stop is told, s"] = [[round(v, 2) for v in one] for one in stops]
        folder = visitor.ask("POST", f"{visitor.own}/snapshots/{name}/keep", {})["folder"]
        found["equals the command line"] = same_as_command(Path(folder), studio.output)
    return found


def painted(visitor: Visitor, recipe: dict[str, Any]) -> tuple[float, list[float], float, str]:
    """Seconds to the first frame that differs, frames per second by level, seconds in all."""
    started = time.perf_counter()
    name = visitor.paint(recipe)
    patiently(lambda: visitor.events(name, "painted") or None, 600)
    visitor.painted(name)
    warped = visitor.events(name, "begun")[0]
    frames = visitor.events(name, "frame")
    base = picture_of(warped[2])
    first = next(
        when for when, _, data in frames
        if np.abs(picture_of(data, base.shape[1::-1]) - base).mean() > DIFFERENT
    )  # fmt: skip
    rates = []
    begun = warped[0]
    for level in range(frames[0][1]["levels"]):
        own = [when for when, head, _ in frames if head["level"] == level]
        rates.append(round(len(own) / (own[-1] - begun), 1))
        begun = own[-1]
    end = visitor.events(name, "painted")[0][0]
    return first - started, rates, end - started, name


def stop_seconds(visitor: Visitor, recipe: dict[str, Any], share: float) -> tuple[float, float]:
    """Seconds from a stop at `share` of the steps: until it is told, until the picture stands."""
    name = visitor.paint(recipe)

    def far() -> bool:
        frames = visitor.events(name, "frame")
        return bool(frames) and frames[-1][1]["done"] >= share * frames[-1][1]["steps"]

    patiently(far, 600)
    begun = time.perf_counter()
    visitor.ask("POST", f"{visitor.own}/snapshots/{name}/stop", {})

    def told() -> float | None:
        events = visitor.events(name, "snapshot")
        return next((t for t, head, _ in events if head["status"] in ("stopping", "stopped")), None)

    answered = patiently(told, 60)
    stands = patiently(lambda: visitor.events(name, "painted") or None, 60)[0][0]
    visitor.painted(name)
    return answered - begun, stands - begun


def same_as_command(run: Path, output: Path) -> bool:
    """Return True if `transfer.py --config` makes the picture of a kept run, byte for byte."""
    again = output / "again"
    command = [sys.executable, "transfer.py", "--config", str(run / "settings.yaml")]
    subprocess.run(
        [*command, "--output", str(again)], cwd=ROOT, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    made = next(again.glob("*/result.png"))
    return made.read_bytes() == (run / "result.png").read_bytes()


def spread_of(values: list[float]) -> list[float]:
    """Median and largest, of two digits."""
    return [round(statistics.median(values), 2), round(max(values), 2)]


PARTS = {"match": measure_match, "drag": measure_drag, "paint": measure_paint}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path, help="file that gets the figures")
    args = parser.parse_args()
    found: dict[str, Any] = {"threads": os.environ.get("OMP_NUM_THREADS", "all")}
    with Studio() as studio:
        for part in args.only:
            found |= PARTS[part](studio)
            for key, value in found.items():
                print(f"{key:<48} {value}", flush=True)
            found_so_far = json.dumps(found, indent=1)
            if args.json:
                args.json.write_text(found_so_far + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
