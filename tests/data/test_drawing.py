"""The drawings of data_gen/drawing/: deterministic, in range, of the promised size; true bends."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "geostyle" / "assets" / "pictures"
SIZE_PX = 64
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 250_000, 3_000_000


def module(name: str) -> ModuleType:
    """A module of data_gen/drawing/, found as when its scripts are run."""
    sys.path.insert(0, str(ROOT / "data_gen" / "drawing"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "data_gen" / "drawing"))


draw = module("draw")
geometry_styles = module("geometry_styles")
DRAWINGS = (
    *module("texture_styles").STYLES,
    *module("textures").TEXTURES,
    *module("scenes").SCENES,
)


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return picture[..., ::-1].astype(np.float32) / 255


def assert_alive(picture: np.ndarray) -> None:
    assert picture.ndim == 3 and picture.shape[2] == 3
    assert np.isfinite(picture).all()
    assert picture.min() >= 0 and picture.max() <= 1
    assert picture.std() > 0.04  # a blank or nearly blank sheet has less


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.__name__)
def test_drawing(drawing: Callable[[int], np.ndarray]) -> None:
    first = drawing(SIZE_PX)
    assert max(first.shape[:2]) == SIZE_PX
    assert_alive(first)
    assert np.array_equal(first, drawing(SIZE_PX))


@pytest.mark.parametrize("name", draw.PHOTOGRAPHS)
def test_painting(name: str) -> None:
    photo = draw.resize(read(PICTURES / "content" / f"{name}.jpg"), SIZE_PX)
    paint = getattr(geometry_styles, name)
    first = paint(photo)
    assert first.shape == photo.shape
    assert_alive(first)
    assert np.array_equal(first, paint(photo))
    assert np.abs(first - photo).mean() > 0.08  # geometry and palette both moved


@pytest.mark.parametrize("name", draw.PHOTOGRAPHS)
def test_bend_is_smooth_and_fold_free(name: str) -> None:
    y, x = np.mgrid[-1:1:65j, -1:1:65j]
    points = np.stack([x.ravel(), y.ravel()], -1)
    bend = geometry_styles.BENDS[name]
    seen = geometry_styles.spline(bend, points).reshape(65, 65, 2)
    down, right = np.gradient(seen, 2 / 64, axis=(0, 1))
    determinant = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    assert determinant.min() > 0.2
    assert 0.1 < np.linalg.norm(seen - np.stack([x, y], -1), axis=-1).mean() < 0.5


@pytest.mark.parametrize("name", draw.PHOTOGRAPHS)
def test_spline_passes_through_its_control_points(name: str) -> None:
    knots, bend = geometry_styles.lattice(), geometry_styles.BENDS[name]
    np.testing.assert_allclose(geometry_styles.spline(bend, knots), bend(knots), atol=1e-9)


def test_shipped_bends_are_those_of_the_paintings() -> None:
    assert json.loads((PICTURES / "geo" / "bends.json").read_text()) == draw.bends()


def test_every_work_is_shipped_small_and_listed() -> None:
    works = draw.catalog()
    shipped = {str(p.relative_to(PICTURES).with_suffix("")) for p in PICTURES.rglob("*.jpg")}
    assert shipped == set(works)
    sizes = [p.stat().st_size for p in PICTURES.rglob("*") if p.is_file()]
    assert max(sizes) < MAX_FILE_BYTES and sum(sizes) < MAX_TOTAL_BYTES
    listed = (ROOT / "data_gen" / "drawing" / "README.md").read_text()
    assert [w for w in works if f"`{w}`" not in listed] == []


@pytest.mark.parametrize("folder", ["geo", "styles", "textures", "scenes"])
def test_shipped_pictures_have_the_promised_long_side(folder: str) -> None:
    for path in sorted((PICTURES / folder).glob("*.jpg")):
        assert max(read(path).shape[:2]) == draw.SIZE_PX[folder], path.name


def test_redraw_writes_the_picture_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["draw.py", "--output", str(tmp_path), "--only", "textures/sand"]
    monkeypatch.setattr(sys, "argv", arguments)
    draw.main()
    assert [p.name for p in tmp_path.rglob("*.*")] == ["sand.jpg"]
    difference = read(tmp_path / "textures" / "sand.jpg") - read(PICTURES / "textures/sand.jpg")
    assert np.abs(difference).mean() < 0.02  # other versions of OpenCV may round differently


def test_unknown_picture_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["draw.py", "--output", str(tmp_path), "--only", "geo/dog"])
    with pytest.raises(SystemExit) as stop:
        draw.main()
    assert stop.value.code == 2
    assert "geo/dog" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
