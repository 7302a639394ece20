"""The dials of the geometry stage, through their flags: choices, points, masks, edits by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from geostyle.cli import run as run_verb
from geostyle.io.images import load_picture
from geostyle.warps import WarpParameters, fold_mask
from geostyle.warps.mixing import mean_warp

Transfer = Callable[..., tuple[int, Any]]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Two small pictures of the same scene, as flags."""
    folder = Path(__file__).resolve().parents[2] / "geostyle" / "assets" / "pictures"
    flags: list[str] = []
    for name, source, size in (("content", "content", (112, 80)), ("geo-style", "geo", (96, 72))):
        with Image.open(folder / source / "coffee.jpg") as image:
            image.convert("RGB").resize(size).save(tmp_path / f"{name}.png")
        flags += [f"--{name}", str(tmp_path / f"{name}.png")]
    return flags


@pytest.fixture
def transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transfer:
    """Call the verb without painting; gives the exit status and the run folder."""
    monkeypatch.chdir(tmp_path)
    quick = ["--match-sizes-px", "128", "--looks", "0", "--device", "cpu"]

    def call(*argv: object) -> tuple[int, Path | None]:
        before = set(tmp_path.glob("runs/*"))
        status = run_verb("transfer", [*quick, *map(str, argv)])
        new = set(tmp_path.glob("runs/*")) - before
        return status, next(iter(new), None)

    return call


def theta(path: Path) -> torch.Tensor:
    return WarpParameters.load(path).theta


def test_a_numbered_preview_shows_what_choose_takes(
    transfer: Transfer, pictures: list[str], capsys: Capture
) -> None:
    status, run = transfer(*pictures, "--preview", 3)
    assert status == 0 and str(Path("preview.png")) in capsys.readouterr().out
    assert not (run / "result.png").exists()
    numbers = sorted(path.stem for path in (run / "choices").iterdir())
    assert numbers[0] == "1" and len(numbers) >= 2
    assert "Warps to choose from" in (run / "report.html").read_text(encoding="utf-8")
    sheet = load_picture(run / "preview.png").tensor
    assert sheet.shape[-1] > 2 * 112
    status, plain = transfer(*pictures, "--preview")
    assert torch.equal(theta(plain / "theta.json"), theta(run / "choices" / "1.json"))
    assert not (plain / "preview.png").exists()
    status, second = transfer(*pictures, "--preview", "--choose", 2)
    assert torch.equal(theta(second / "theta.json"), theta(run / "choices" / "2.json"))
    assert not torch.equal(theta(second / "theta.json"), theta(plain / "theta.json"))
    status, again = transfer("--config", second / "settings.yaml")
    assert (again / "theta.json").read_bytes() == (second / "theta.json").read_bytes()


def test_a_control_point_can_be_moved_by_hand(
    transfer: Transfer, pictures: list[str], capsys: Capture
) -> None:
    """The warp follows it; moved far too far, it is held back, and a line says how far."""
    content, _ = pictures[:2], pictures[2:]
    _, run = transfer(*pictures, "--preview")
    document = json.loads((run / "theta.json").read_text())
    edited = run.parent.parent / "edited.json"
    before = WarpParameters.load(run / "theta.json")
    middle = document["theta"]["control_points"][14]
    at = torch.tensor([[middle["at"]]])
    for push, follows in ((0.05, True), (30.0, False)):
        middle["offset"][0] += push
        edited.write_text(json.dumps(document))
        status, moved = transfer(*content, "--theta", edited, "--preview")
        assert status == 0
        applied = WarpParameters.load(moved / "theta.json")
        grid = load_file(moved / "grid.safetensors")["grid"]
        assert not fold_mask(grid).any()
        line = r"the warp would fold at the (top|middle) \w+: its tps part is held to [\d.]+ %"
        held = [re.search(line, text) for text in (capsys.readouterr().out, str(applied.meta))]
        assert [bool(found) for found in held] == [not follows] * 2
        if not follows:  # what is saved is what was applied: nothing is held back of it
            transfer(*content, "--theta", moved / "theta.json", "--preview")
            assert "would fold" not in capsys.readouterr().out
        shift = [float(p.warp_family.map(p.theta[None], at)[0, 0, 0]) for p in (before, applied)]
        if follows:
            scale = 1 + float(before.theta[0])
            assert shift[1] - shift[0] == pytest.approx(push * scale, rel=0.05)
        assert np.asarray(Image.open(moved / "warped.png")).std() > 5


def test_the_report_shows_the_control_points(transfer: Transfer, pictures: list[str]) -> None:
    from geostyle.report.plots import draw_grid
    from geostyle.report.run_files import read_run

    _, run = transfer(*pictures, "--preview")
    files = read_run(run)
    assert files.control_points is not None and files.control_points.shape == (36, 2)
    assert files.grid is not None
    bare = draw_grid(files.content, files.grid)
    dotted = draw_grid(files.content, files.grid, files.control_points)
    x, y = (files.control_points[14] + 1) / 2 * (bare.shape[1], bare.shape[0])
    orange = np.array([255, 150, 40])
    assert np.abs(dotted[int(y), int(x)].astype(int) - orange).max() < 30
    assert (bare != dotted).any(-1).mean() < 0.2


def test_keep_position_leaves_the_subject_where_it_is(
    transfer: Transfer, pictures: list[str]
) -> None:
    """Of a style that shows the same scene moved and zoomed, nothing is left to take."""
    folder = Path(pictures[1]).parent
    with Image.open(pictures[1]) as image:
        image.crop((24, 10, 104, 67)).resize((112, 80)).save(folder / "closer.png")
    pair = [*pictures[:2], "--geo-style", folder / "closer.png", "--preview", "--no-fade"]
    pair += ["--match-sizes-px", 240, "--geometry", "affine"]
    grids = []
    for flags in ([], ["--keep-position"]):
        _, run = transfer(*pair, *flags)
        grids.append(load_file(run / "grid.safetensors")["grid"])
    base = WarpParameters("none", 4, torch.zeros(0), (80, 112), (80, 112)).grid()
    moved, kept = (float((grid - base).norm(dim=-1).mean()) for grid in grids)
    assert moved > 0.1 and kept < 0.4 * moved


def test_points_and_masks_are_kept_with_the_run(
    transfer: Transfer, pictures: list[str], tmp_path: Path
) -> None:
    Image.new("L", (112, 80), 255).save(tmp_path / "mask.png")
    points = {"content": [[30, 30]], "geo_style": [[60, 40]]}
    (tmp_path / "points.json").write_text(json.dumps(points))
    flags = ["--points", "points.json", "--content-mask", "mask.png", "--preview"]
    status, run = transfer(*pictures, *flags)
    assert status == 0
    status, again = transfer("--config", run / "settings.yaml")
    assert (again / "theta.json").read_bytes() == (run / "theta.json").read_bytes()
    status, free = transfer(*pictures, "--preview")
    assert not torch.equal(theta(free / "theta.json"), theta(run / "theta.json"))
    status, dragged = transfer(*pictures[:2], "--points", "points.json")
    assert status == 0
    found = WarpParameters.load(dragged / "theta.json")
    point = torch.tensor([[[61 / 56 - 1 - 0.5 / 56, 40.5 / 40 - 1]]]).float()
    x, y = found.warp_family.map(found.theta[None], point)[0, 0].tolist()
    assert (x + 1) * 56 - 0.5 == pytest.approx(30, abs=2)
    assert (y + 1) * 40 - 0.5 == pytest.approx(30, abs=2)


def test_several_geometry_styles_are_mixed(
    transfer: Transfer, pictures: list[str], tmp_path: Path, capsys: Capture
) -> None:
    """By weight or by region; the run says how, and is repeated from its folder."""
    with Image.open(pictures[3]) as image:
        image.rotate(12).save(tmp_path / "turned.png")
    half = np.zeros((80, 112), np.uint8)
    half[:, :56] = 255
    Image.fromarray(half).save(tmp_path / "left.png")
    content, both = pictures[:2], ["--geo-style", pictures[3], "turned.png", "--no-fade"]
    common = ["--geometry", "affine+tps", "--preview"]
    single = []
    for style in both[1:3]:
        _, run = transfer(*content, "--geo-style", style, "--no-fade", *common)
        single.append(WarpParameters.load(run / "theta.json"))
    _, alone = transfer(*content, *both, "--geo-weights", 1, 0, *common)
    assert "the warps after 2 pictures are mixed: geo-style.png, turned.png" in (
        capsys.readouterr().out
    )
    torch.testing.assert_close(theta(alone / "theta.json"), single[0].theta, atol=1e-4, rtol=0)
    _, mixed = transfer(*content, *both, "--geo-weights", 3, 1, *common)
    found = WarpParameters.load(mixed / "theta.json")
    expected = mean_warp(single, [3, 1])
    torch.testing.assert_close(found.theta, expected.theta, atol=1e-4, rtol=0)
    assert found.meta["mixed"] == [0.75, 0.25]
    assert "share 0.75" in (mixed / "report.html").read_text(encoding="utf-8")
    _, parts = transfer(*content, *both, "--geo-regions", "left.png", *common)
    joined = WarpParameters.load(parts / "theta.json")
    assert joined.meta["mixed"] == [0.5, 0.5] and joined.meta["regions_missed"] >= 0
    assert "region 1" in (parts / "report.html").read_text(encoding="utf-8")
    points = torch.tensor([[-0.8, 0.0], [0.8, 0.0]]).double()
    maps = [w.warp_family.map_points(w.theta.double(), points) for w in (*single, joined)]
    off = (maps[2] - torch.stack([maps[0][0], maps[1][1]])).norm(dim=1)
    assert float(off.max()) < 0.25 * float((maps[0] - maps[1]).norm(dim=1).max())
    for run in (mixed, parts):
        assert run_verb("rerun", [str(run)]) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--geo-weights", "1"], "geo_weights: expected one for each of 2 geometry styles, got 1"),
        (["--geo-weights", "0", "0"], "geo_weights: expected numbers of at least 0, not all 0"),
        (["--geo-weights", "1", "1", "--geo-regions", "a.png"], "geo_weights: expected either"),
        (["--geo-regions", *["a.png"] * 3], "geo_regions: expected one for each"),
        (["--geo-regions", "{content}"], "geo_regions: expected some white for style 1"),
        (["--geo-regions", "{geo}"], "geo_regions: expected a picture of the shape of the result"),
        (["--frame", "geo"], "geo_style: expected one beside frame geo, got 2"),
        (["--mirror", "auto"], "geo_style: expected one beside mirror auto, got 2"),
        (["--choose", "2"], "geo_style: expected one beside choose, got 2"),
        (["--preview", "3"], "preview: expected one --geo-style beside a number, got 2"),
        (["--geo-mask", "{geo}"], "geo_style: expected one beside geo_mask, got 2"),
    ],
)
def test_several_geometry_styles_that_cannot_be_mixed_are_one_line(
    transfer: Transfer, pictures: list[str], capsys: Capture, argv: list[str], message: str
) -> None:
    Image.new("L", (112, 80)).save("black.png")
    named = {"{content}": "black.png", "{geo}": pictures[3]}
    argv = [named.get(word, word) for word in argv]
    status, run = transfer(*pictures, "--geo-style", pictures[3], *argv)
    error = capsys.readouterr().err
    assert status == 2 and run is None
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--preview", "21"], "preview: expected 0 to 20"),
        (["--preview", "3", "--choose", "2"], "choose: expected either"),
        (["--choose", "0"], "choose: expected 1 to 20"),
        (["--points", "none.json"], "points: file"),
        (["--content-mask", "none.png"], "content_mask: expected"),
        (["--mirror", "maybe"], "mirror: expected one of"),
        (["--estimator", "points"], "points: expected a file of points"),
        (["--preview", "3", "--estimator", "none"], "preview: expected 1 with --estimator none"),
    ],
)
def test_what_cannot_be_is_one_line(
    transfer: Transfer, pictures: list[str], capsys: Capture, argv: list[str], message: str
) -> None:
    status, run = transfer(*pictures, *argv)
    error = capsys.readouterr().err
    assert status == 2 and run is None
    assert message in error and error.count("\n") == 1


def test_a_mask_needs_its_style(transfer: Transfer, pictures: list[str], capsys: Capture) -> None:
    status, run = transfer(*pictures[:2], "--tex-style", pictures[3], "--geo-mask", pictures[1])
    assert status == 2 and run is None
    assert "geo_mask: expected --geo-style" in capsys.readouterr().err


def test_a_mirrored_content_is_read_mirrored(
    transfer: Transfer, pictures: list[str], tmp_path: Path
) -> None:
    with Image.open(pictures[1]) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(tmp_path / "flipped.png")
    pair = [*pictures[:2], "--geo-style", tmp_path / "flipped.png", "--preview"]
    _, run = transfer(*pair, "--mirror", "auto")
    assert json.loads((run / "theta.json").read_text())["mirrored"] is True
    warped = np.asarray(Image.open(run / "warped.png").convert("RGB")).astype(int)
    likeness = [np.abs(warped - np.asarray(p).astype(int)).mean() for p in
                (mirrored.convert("RGB"), Image.open(pictures[1]).convert("RGB"))]  # fmt: skip
    assert likeness[0] < 0.5 * likeness[1]
    status, again = transfer(*pictures[:2], "--theta", run / "theta.json", "--preview")
    assert (again / "warped.png").read_bytes() == (run / "warped.png").read_bytes()
