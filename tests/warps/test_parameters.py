"""Theta files: exact, editable, strict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geostyle.errors import InputError
from geostyle.warps import (
    FAMILIES,
    WarpParameters,
    fold_guard,
    fold_mask,
    make_family,
    sampling_grid,
)
from geostyle.warps.affine import from_pixels


def parameters(name: str = "affine+tps", lattice: int = 3, **changes: Any) -> WarpParameters:
    count = make_family(name, lattice).n_params
    theta = 0.02 * torch.randn(count, generator=torch.Generator().manual_seed(1))
    values: dict[str, Any] = {
        **{"theta": theta, "output_size": (40, 60), "content_size": (50, 70)},
        **{"confidence": 0.5, "meta": {"estimator": "robust", "é": [1, None]}},
    }
    return WarpParameters(name, lattice, **(values | changes))


@pytest.mark.parametrize("name", FAMILIES)
def test_files_keep_every_bit(name: str, tmp_path: Path) -> None:
    before = parameters(name)
    before.save(tmp_path / "theta.json")
    after = WarpParameters.load(tmp_path / "theta.json")
    assert torch.equal(after.theta, before.theta) and after.theta.dtype == torch.float32
    for key in ("family", "lattice", "output_size", "content_size", "confidence", "meta"):
        assert getattr(after, key) == getattr(before, key)
    assert torch.equal(after.grid((20, 30)), before.grid((20, 30)))


def test_a_control_point_moves_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    parameters("tps", theta=torch.zeros(18)).save(path)
    document = json.loads(path.read_text())
    points = document["theta"]["control_points"]
    assert points[5] == {"at": [1.0, 0.0], "offset": [0.0, 0.0]}
    points[5]["offset"] = [0, -0.25]
    path.write_text(json.dumps(document))
    moved = WarpParameters.load(path)
    mapped = make_family("tps", 3).map(moved.theta[None], torch.tensor([[[1.0, 0.0]]]))
    assert torch.allclose(mapped, torch.tensor([[[1.0, -0.25]]]), atol=1e-6)


def test_hand_edits_never_fold(tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    parameters("tps", theta=torch.zeros(18)).save(path)
    document = json.loads(path.read_text())
    document["theta"]["control_points"][4]["offset"] = [3, 1]
    path.write_text(json.dumps(document))
    grid = WarpParameters.load(path).grid((50, 70))
    assert not fold_mask(grid).any() and (grid - grid.flip(0)).abs().max() == 0


def test_the_grid_scales_guards_and_samples() -> None:
    given_ = parameters()
    family = given_.warp_family
    assert family.name == "affine+tps" and given_.grid().shape == (1, 40, 60, 2)
    theta = fold_guard(family, given_.scaled(2.5), (33, 44))
    expected = sampling_grid(family, theta, (33, 44))
    assert torch.equal(given_.grid((33, 44), strength=2.5), expected)
    assert torch.equal(given_.grid((33, 44)), sampling_grid(family, given_.theta[None], (33, 44)))
    mirror = parameters("affine", theta=torch.tensor([-2.0, 0, 0, 0, 0, 0]))
    with pytest.raises(InputError, match="positive determinant"):
        mirror.grid()


def test_above_one_shapes_are_exaggerated_and_places_stay() -> None:
    """A turn, zoom and shift stay as they are; a stretch and a spline's offsets grow."""
    sizes = {"output_size": (200, 160), "content_size": (180, 240)}
    turn, stretch = np.array([[0.9, -0.3], [0.3, 0.9]]), np.diag([1.2, 1 / 1.2])
    for linear, grown in ((turn, turn), (turn @ stretch, turn @ stretch @ stretch)):
        thetas = [
            torch.from_numpy(from_pixels(np.column_stack((m, [20, -9])), **sizes)).float()
            for m in (linear, grown)
        ]
        given_ = parameters("affine", theta=thetas[0], **sizes)
        torch.testing.assert_close(given_.scaled(2.0)[0], thetas[1], atol=1e-5, rtol=0)
        torch.testing.assert_close(given_.scaled(1.0)[0], thetas[0])
        torch.testing.assert_close(given_.scaled(1.0001)[0], thetas[0], atol=1e-3, rtol=0)
        half = given_.warp_family.scale(thetas[0][None], 0.5)
        torch.testing.assert_close(given_.scaled(0.5), half)
    both = parameters(theta=torch.cat((thetas[0], 0.01 * torch.arange(18.0))), **sizes)
    torch.testing.assert_close(both.scaled(3.0)[0, 6:], 3 * both.theta[6:])


def test_what_does_not_fit_together_is_refused() -> None:
    for changes, message in [
        ({"theta": torch.zeros(23)}, r"theta: expected a floating \(B, 24\)"),
        ({"theta": torch.zeros(1, 24)}, "theta: expected one dimension"),
        ({"theta": torch.full((24,), torch.nan)}, "theta: expected finite"),
        ({"output_size": (0, 3)}, "output_size: expected"),
        ({"content_size": (3, 2**21)}, "content_size: expected 1 to 1048576, got 2097152"),
        ({"confidence": 1.5}, "confidence: expected 0.0 to 1.0, got 1.5"),
        ({"confidence": float("nan")}, "confidence: expected"),
    ]:
        with pytest.raises(InputError, match=message):
            parameters(**changes)
    assert parameters(confidence=1).confidence == 1
    assert parameters(confidence=None, output_size=(2**20, 1)).output_size == (2**20, 1)
    assert parameters(theta=torch.zeros(24, dtype=torch.float64)).theta.dtype == torch.float32


BROKEN: list[tuple[str, Any]] = [
    ("format", "geostyle-warp-9"),
    ("format", None),
    ("family", "rigid"),
    ("family", ["tps"]),
    ("lattice", 10**9),
    ("lattice", True),
    ("lattice", 4),
    ("lattice", 3.0),
    ("output_size", [40]),
    ("output_size", [40, 6.5]),
    ("output_size", "4060"),
    ("output_size", [40, True]),
    ("content_size", [0, 3]),
    ("content_size", None),
    ("confidence", "high"),
    ("confidence", True),
    ("confidence", -0.1),
    ("meta", []),
    ("theta", None),
    ("theta", {}),
    ("theta", {"affine": [0] * 6}),
    ("theta", {"affine": [0] * 6, "control_points": [], "more": 1}),
    ("theta", {"affine": [0] * 6, "control_points": [{"at": [0, 0], "offset": [0, 0]}] * 9}),
    ("theta", {"affine": [0] * 6, "control_points": []}),
    ("theta", {"affine": [0] * 5, "control_points": []}),
    ("theta", {"affine": 1, "control_points": []}),
]


@pytest.mark.parametrize(("key", "value"), BROKEN, ids=[f"{k}-{v}"[:40] for k, v in BROKEN])
def test_broken_files_give_one_line(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    parameters().save(path)
    document = json.loads(path.read_text())
    document[key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"theta file '.*theta\.json': \w+.*: expected") as error:
        WarpParameters.load(path)
    assert "\n" not in str(error.value)


def test_broken_numbers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    parameters().save(path)
    for index, (key, value) in enumerate(
        [
            ("offset", [0, "1"]),
            ("offset", [0, True]),
            ("offset", [0, 2e6]),
            ("offset", [0]),
            ("at", [-1, -0.9]),
            ("at", None),
            ("spare", 1),
        ]
    ):
        document = json.loads(path.read_text())
        document["theta"]["control_points"][0][key] = value
        broken = tmp_path / f"{index}.json"
        broken.write_text(json.dumps(document))
        with pytest.raises(InputError, match="(offset|at|control_points): expected"):
            WarpParameters.load(broken)
    document = json.loads(path.read_text())
    document["theta"]["control_points"][0] |= {"at": [-1 + 1e-9, -1], "offset": [0, 1e6]}
    path.write_text(json.dumps(document))
    assert WarpParameters.load(path).theta[7] == 1e6


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", "null", '"x"', "[" * 100_000, "NaN", '{"a": 1, "a": 2}'),
        *('{"format": Infinity}', "9" * 10_000, "\ud800".encode("utf-8", "surrogatepass")),
        *(b"\xff\xfe\x00", b" " * (2**20 + 1)),
    ],
    ids=range(14),
)
def test_what_is_no_such_file_gives_one_line(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"^theta file '.*theta\.json': [^\n]+$"):
        WarpParameters.load(path)


def test_missing_files_and_folders_give_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="expected a file"):
            WarpParameters.load(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutilated_files_never_crash(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "theta.json"
    parameters("affine+tps", 2).save(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(raw)
    try:
        loaded = WarpParameters.load(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert loaded.theta.isfinite().all()


def test_saving_replaces_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "theta.json"
    parameters().save(path)
    with pytest.raises(ValueError, match="Out of range float"):
        parameters(meta={"loss": float("nan")}).save(path)
    assert WarpParameters.load(path).meta == parameters().meta
    assert [file.name for file in tmp_path.iterdir()] == ["theta.json"]
