"""Reports are made from the files of a run folder alone, and show what is in them."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.report.html import data_uri, panels, write_report
from geostyle.report.plots import draw_grid, loss_plot, texture_steps
from geostyle.report.run_files import read_run, save_grid
from geostyle.report.sheet import Panel, contact_sheet

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 60, 200)


def flat(color: tuple[int, int, int], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), color, np.uint8)


def steps(n: int = 6) -> list[dict[str, object]]:
    return [
        {"stage": "texture", "level": i // 3, "step": i % 3, "size": [24, 32],
         "total": 1.0 / (i + 1), "style": 0.5 / (i + 1), "content": 0.25}
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder written by hand, every picture of a color of its own."""
    folder = tmp_path / "00001-run"
    (folder / "inputs").mkdir(parents=True)
    for name, color in {
        "inputs/content.png": RED,
        "inputs/geo_style.png": GREEN,
        "inputs/tex_style.png": BLUE,
        "warped.png": (240, 240, 20),
        "result.png": (20, 240, 240),
    }.items():
        Image.fromarray(flat(color)).save(folder / name)
    save_grid(folder / "grid.safetensors", base_grid((48, 64))[None])
    (folder / "theta.json").write_text('{"family": "affine", "confidence": 0.5}')
    (folder / "settings.yaml").write_text("size_px: 64\nweights: <b>&amp;.jpg\n")
    (folder / "environment.json").write_text('{"seed": 7}')
    (folder / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps()))
    return folder


def test_the_report_stands_alone(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//|file:)""", html)
    assert not re.search(r"<(script|link|iframe)\b", html)
    sources = re.findall(r'<img src="([^"]+)"', html)
    assert len(sources) >= 6
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"), validate=True)
        width, height = Image.open(io.BytesIO(data)).size
        assert width * 48 == height * 64


def test_the_report_shows_every_setting_escaped(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;amp;.jpg" in html and "<b>&amp;.jpg" not in html
    assert re.search(r"<th>seed</th><td>7</td>", html)
    assert "<svg" in html


def test_names_cannot_run_code_in_the_report(run: Path) -> None:
    evil = "<img src=x onerror=alert(1)>.jpg"
    named = run.parent / f"00002-{evil}"
    run.rename(named)
    (named / "originals").mkdir()
    (named / "originals" / evil).write_bytes(b"")
    (named / "settings.yaml").write_text(json.dumps({evil: evil, "content": evil}))
    (named / "environment.json").write_text(json.dumps({"command": [evil], evil: {evil: evil}}))
    theta = {"family": evil, "confidence": 0.5, "meta": {evil: evil, "message": evil}}
    (named / "theta.json").write_text(json.dumps(theta))
    html = write_report(named).read_text(encoding="utf-8")
    assert "<img src=x" not in html and html.count("&lt;img src=x onerror=alert(1)&gt;") > 10
    # Nor does it ask anybody for anything: pictures are within, scripts are its own.
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)


def test_the_report_is_redrawn_the_same_from_the_same_files(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_panels_come_in_the_documented_order(run: Path) -> None:
    rows = panels(read_run(run))
    assert [[panel.title for panel in row] for row in rows] == [
        ["content", "geometry style", "grid over content"],
        ["warped", "texture style", "result"],
    ]
    assert [[panel.sign for panel in row] for row in rows] == [["", "+", "→"], ["", "+", "→"]]
    assert "confidence 0.50" in rows[0][2].note
    np.testing.assert_array_equal(rows[0][1].image, flat(GREEN))


@pytest.mark.parametrize(
    ("missing", "titles"),
    [
        (
            ["inputs/tex_style.png", "result.png"],
            [["content", "geometry style", "grid over content", "warped"]],
        ),
        (
            ["inputs/geo_style.png", "grid.safetensors", "warped.png", "theta.json"],
            [["content", "texture style", "result"]],
        ),
        (
            ["inputs/geo_style.png"],
            [["content", "grid over content"], ["warped", "texture style", "result"]],
        ),
    ],
    ids=["geometry alone", "texture alone", "a given theta"],
)
def test_runs_of_one_style_give_whole_sheets(
    run: Path, missing: list[str], titles: list[list[str]]
) -> None:
    for name in missing:
        (run / name).unlink()
    rows = panels(read_run(run))
    assert [[panel.title for panel in row] for row in rows] == titles
    write_report(run)
    assert Image.open(run / "contact_sheet.png").width > 100


def test_an_unfinished_run_can_be_reported(run: Path) -> None:
    for name in ("result.png", "metrics.jsonl", "environment.json"):
        (run / name).unlink()
    assert "Losses" not in write_report(run).read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run: expected a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("theta.json", "{"),
        ("theta.json", "[]"),
        ("theta.json", '{"confidence": "high"}'),
        ("theta.json", '{"meta": [1]}'),
        ("environment.json", "3"),
        ("settings.yaml", "a: : :\n"),
        ("settings.yaml", "a: &a [1]\nb: *a\n"),  # aliases can grow without bound
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", '{"stage": "texture", "total": 1}\n'),
        ("metrics.jsonl", json.dumps({**steps(1)[0], "style": "x"}) + "\n"),
        ("metrics.jsonl", json.dumps({**steps(1)[0], "size": [1, 2, 3]}) + "\n"),
        ("grid.safetensors", "rubbish"),
        ("grid.safetensors", None),
        ("warped.png", "rubbish"),
    ],
)
def test_damaged_files_are_named_in_one_line(run: Path, name: str, damage: str | None) -> None:
    if damage is None:
        save_grid(run / name, torch.full((1, 4, 4, 2), float("nan")))
    else:
        (run / name).write_text(damage)
    with pytest.raises(InputError, match=name.partition(".")[0] + "|run: ") as caught:
        write_report(run)
    assert "\n" not in str(caught.value) and not (run / "report.html").exists()


def test_the_sheet_keeps_shapes_and_colors() -> None:
    wide, tall = flat(RED, (40, 120)), flat(BLUE, (120, 40))
    sheet = contact_sheet([[Panel("a", wide), Panel("b", tall)]])
    for color, aspect in ((RED, 3.0), (BLUE, 1 / 3)):
        ys, xs = np.nonzero((np.abs(sheet.astype(int) - color) < 12).all(-1))
        box = (xs.max() - xs.min() + 1) / (ys.max() - ys.min() + 1)
        assert box == pytest.approx(aspect, rel=0.05)
        assert len(xs) == pytest.approx((np.ptp(xs) + 1) * (np.ptp(ys) + 1), rel=0.01)


def test_the_identity_grid_is_drawn_straight() -> None:
    drawn = draw_grid(flat((128, 128, 128), (400, 800)), base_grid((50, 100)).numpy())
    bright = drawn.astype(int).min(-1) > 230
    # Every interior line is straight: a column (row) is bright over nearly all of the picture.
    assert (bright.mean(0) > 0.9).sum() >= 13
    assert (bright.mean(1) > 0.9).sum() >= 6


def test_the_grid_is_drawn_where_the_output_comes_from() -> None:
    # The output shows the left half of the content: all lines lie there, the outline ends mid-way.
    grid = base_grid((50, 100))
    grid[..., 0] = (grid[..., 0] - 1) / 2
    gray = flat((128, 128, 128), (400, 800))
    changed = (draw_grid(gray, grid.numpy()) != 128).any(-1)
    assert changed[:, :390].any(0).mean() > 0.2
    assert not changed[:, 412:].any()


def test_far_points_do_not_wrap_around() -> None:
    grid = base_grid((20, 20)) * 1e6 + 5e6
    gray = flat((128, 128, 128), (400, 400))
    assert (draw_grid(gray, grid.numpy()) == 128).all()


def test_the_plot_has_a_band_and_a_label_for_each_level() -> None:
    svg = loss_plot(steps())
    assert svg.startswith("<svg") and svg.count("32×24") == 2
    assert all(f">{term}<" in svg for term in ("total", "style", "content", "step"))


def test_only_the_texture_stage_is_plotted() -> None:
    assert texture_steps([{"stage": "geometry", "confidence": 1.0}, *steps(2)]) == steps(2)


def test_embedded_pictures_stay_small_and_keep_their_shape() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (600, 3000, 3), dtype=np.uint8)
    data = base64.b64decode(data_uri(picture).partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (1024, 205)


def test_saved_grids_come_back_bit_for_bit(tmp_path: Path, run: Path) -> None:
    grid = torch.rand(1, 5, 7, 2)
    save_grid(run / "grid.safetensors", grid)
    found = read_run(run).grid
    assert found is not None
    np.testing.assert_array_equal(found, grid[0].numpy())
