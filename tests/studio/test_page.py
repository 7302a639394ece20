"""The page as a newcomer uses it, in a real browser."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.studio.helpers import PATIENCE_MS, PICTURES

pytestmark = pytest.mark.timeout(1800)
DROP = """([slot, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type: 'image/jpeg' }));
  document.querySelector(`.slot:nth-child(${slot})`)
    .dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }));
}"""
PASTE = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], name, { type: 'image/jpeg' }));
  document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
}"""


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    one = context.new_page()
    one.set_default_timeout(PATIENCE_MS)
    host = re.match(r"http://[^/]+", address)
    assert host is not None
    foreign, errors = [], []
    one.on("request", lambda request: foreign.append(request.url)
           if not request.url.startswith((host[0], "blob:", "data:")) else None)  # fmt: skip
    one.on("pageerror", lambda error: errors.append(str(error)))
    one.goto(address)
    one.wait_for_selector("body[data-ready]")
    yield one
    assert not foreign and not errors
    context.close()


def drop(page: Any, slot: int, path: Path) -> None:
    data = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(DROP, [slot, path.name, data])


def test_a_newcomers_path(page: Any, tmp_path: Path) -> None:
    """Drop two pictures, drag a point, paint, compare, save; then come back."""
    drop(page, 1, PICTURES / "content" / "chelsea.jpg")
    drop(page, 2, PICTURES / "geo" / "chelsea.jpg")
    page.get_by_label("Shape: chelsea; change it").wait_for()
    page.wait_for_function("() => !document.querySelector('.slot.busy')")
    # The warp is shown, and a point of it can be dragged.
    page.get_by_text("likeness", exact=False).first.wait_for()
    point = page.locator(".handle:visible").nth(8)
    box = point.bounding_box()
    page.mouse.move(box["x"] + 14, box["y"] + 14)
    page.mouse.down()
    page.mouse.move(box["x"] + 44, box["y"] + 24, steps=4)
    page.mouse.up()
    page.get_by_text("Shaped by hand.").wait_for()
    page.keyboard.press("Control+z")
    page.get_by_text("Shaped by hand.").wait_for(state="hidden")
    page.keyboard.press("Control+Shift+z")
    page.get_by_text("Shaped by hand.").wait_for()
    # Paint.
    page.get_by_role("tab", name="Paint").click()
    page.get_by_label("Long side").select_option("192")
    page.get_by_role("button", name="Quick").click()
    page.locator("#panel").get_by_role("button", name="Paint", exact=True).click()
    page.get_by_role("button", name=re.compile("chelsea, finished", re.I)).wait_for(
        timeout=3 * PATIENCE_MS
    )
    # Compare.
    page.get_by_role("tab", name="Compare").click()
    divider = page.get_by_role("slider", name="Before and after")
    divider.focus()
    page.keyboard.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "52"
    # Save.
    with page.expect_download() as download:
        page.get_by_role("link", name="PNG").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    assert saved.read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_text("Kept in").first.wait_for()
    # Everything is there after a reload.
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.get_by_role("button", name=re.compile("chelsea, finished", re.I)).wait_for()
    page.get_by_role("tab", name="Bend").click()
    page.get_by_text("Shaped by hand.").wait_for()
    assert page.get_by_role("button", name="Undo").is_enabled()


def test_many_pictures_are_queued_under_their_names_and_can_be_skipped(page: Any) -> None:
    page.get_by_role("button", name="Paint many pictures").click()
    names = ("owl", "boats", "village")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose pictures").click()
    chooser.value.set_files([PICTURES / "scenes" / f"{name}.jpg" for name in names])
    for name in names:
        page.locator(".queue li", has_text=name).wait_for()
    page.get_by_role("button", name="Sooner: village").click()
    page.locator(".queue li:nth-child(2)", has_text="village").wait_for()
    for name in ("boats", "village", "owl"):
        page.get_by_role("button", name=f"Skip {name}").click()
    for name in names:
        page.locator(".queue li", has_text=name).get_by_role("button", name="Look").wait_for()


def test_a_picture_is_pasted(page: Any) -> None:
    data = base64.b64encode((PICTURES / "scenes" / "owl.jpg").read_bytes()).decode()
    page.get_by_role("button", name="Remove shape").click()
    page.evaluate(PASTE, ["owl.jpg", data])
    page.get_by_label("Shape: owl; change it").wait_for()


def test_pins_are_set_where_one_clicks_on_a_tall_picture(page: Any, tmp_path: Path) -> None:
    """A pin's place is a share of the picture, not of the space around it."""
    tall = tmp_path / "tall.jpg"
    Image.new("RGB", (120, 360), "teal").save(tall)
    drop(page, 2, tall)
    page.get_by_label("Shape: tall; change it").wait_for()
    page.keyboard.press("p")
    # A pin lies on the picture's place, which is known once the picture is drawn.
    page.wait_for_function("() => document.querySelector('.board.geo img')?.naturalHeight === 360")
    picture = page.locator(".board.geo img")
    box = picture.bounding_box()
    assert abs(box["height"] / box["width"] - 3) < 0.05
    picture.click(position={"x": box["width"] / 2, "y": box["height"] / 4})
    pin = page.get_by_label("Pin 1 in the shape", exact=False).bounding_box()
    assert abs(pin["x"] + pin["width"] / 2 - box["x"] - box["width"] / 2) < 2
    assert abs(pin["y"] + pin["height"] / 2 - box["y"] - box["height"] / 4) < 2


def test_a_damaged_picture_is_told_in_its_slot(page: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes((PICTURES / "content" / "rocket.jpg").read_bytes()[:3000])
    drop(page, 3, damaged)
    page.locator(".slot:nth-child(3) .error", has_text="Expected a picture file").wait_for()


def test_everything_has_its_name_and_its_contrast(page: Any) -> None:
    """axe-core, from the file that the variable AXE names, finds nothing serious."""
    path = os.environ.get("AXE", "")
    if not Path(path).is_file():
        pytest.skip("AXE names no file: npm install axe-core, AXE=node_modules/axe-core/axe.min.js")
    page.evaluate(Path(path).read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for tab in ("Bend", "Paint", "Compare"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(400)
            found = page.evaluate("async () => (await axe.run()).violations")
            serious = [
                (one["id"], [node["html"][:160] for node in one["nodes"]])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert not serious, (scheme, tab, serious)
