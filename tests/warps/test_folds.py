"""Jacobian determinants, folds and the guard against them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.warps import (
    FAMILIES,
    fold_guard,
    fold_mask,
    jacobian_determinant,
    make_family,
    sampling_grid,
)

SIZE = (48, 64)


def grid_of(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack((x, y), -1)[None]


def folds(name: str, theta: Tensor, size: tuple[int, int] = SIZE, lattice: int = 4) -> bool:
    """Whether any triangle of four neighboring pixel centers is turned over, by numpy."""
    grid = sampling_grid(make_family(name, lattice), theta, size).double().numpy()
    right, down = np.diff(grid, axis=2), np.diff(grid, axis=1)

    def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

    corners = [
        cross(row, column)
        for row in (right[:, :-1], right[:, 1:])
        for column in (down[:, :, :-1], down[:, :, 1:])
    ]
    return not all((corner > 0).all() for corner in corners)


def test_the_determinant_is_the_area_of_a_cell() -> None:
    base = base_grid((9, 13), dtype=torch.float64)
    x, y = base.unbind(-1)
    determinant = jacobian_determinant(grid_of(2 * x + 0.5 * y, 0.25 * x - 3 * y))
    assert determinant.shape == (1, 8, 12)
    assert torch.allclose(determinant, torch.full_like(determinant, -6.125))
    quarter_turn = grid_of(-y, x)
    assert torch.allclose(jacobian_determinant(quarter_turn), torch.ones(1, 8, 12).double())
    # x·y has the Jacobian (1 + y, x; 0, 1): the cell's mean is its value at the cell's center.
    sheared = jacobian_determinant(grid_of(x + x * y, y))
    assert torch.allclose(sheared[0], 1 + (y[:-1, 1:] + y[1:, 1:]) / 2)


def test_the_determinant_of_one_moved_point() -> None:
    """Shoelace areas of the four quadrangles around the one point that moved."""
    grid = base_grid((3, 3), dtype=torch.float64)[None].clone()
    grid[0, 1, 1] += torch.tensor([0.2, -0.1])
    for i in range(2):
        for j in range(2):
            quad = [grid[0, i, j], grid[0, i, j + 1], grid[0, i + 1, j + 1], grid[0, i + 1, j]]
            area = sum(
                float(a[0] * b[1] - a[1] * b[0]) / 2
                for a, b in zip(quad, quad[1:] + quad[:1], strict=True)
            )
            expected = area / (2 / 3) ** 2
            assert jacobian_determinant(grid)[0, i, j].item() == pytest.approx(expected)


def test_folds_are_found_in_the_cell_where_they_are() -> None:
    grid = base_grid((4, 5))[None].clone()
    assert not fold_mask(grid).any() and fold_mask(grid).shape == (1, 3, 4)
    for corner in ((1, 2), (1, 3), (2, 2), (2, 3)):  # any corner of the cell (1, 2), pushed through
        moved = grid.clone()
        opposite = (3 - corner[0], 5 - corner[1])
        moved[0, corner[0], corner[1]] += 1.2 * (grid[0][opposite] - grid[0][corner])
        assert fold_mask(moved)[0, 1, 2]
        assert not fold_mask(moved)[0, 0, 0] or corner == (1, 2)
    lost = grid.clone()
    lost[0, 0, 0, 1] = torch.nan
    assert fold_mask(lost).nonzero().tolist() == [[0, 0, 0]]


def test_touching_is_folding_and_one_bad_corner_is_enough() -> None:
    base = base_grid((2, 2), dtype=torch.float64)[None]
    for point in ((0, 0), (0, 1), (1, 0), (1, 1)):
        flat = base.clone()
        flat[0][point] = base[0][1 - point[0], point[1]]  # two corners meet
        assert fold_mask(flat).all()
        concave = base.clone()
        concave[0][point] = -0.1 * base[0][point]  # the area is still positive
        assert jacobian_determinant(concave) > 0 and fold_mask(concave).all()
        convex = base.clone()
        convex[0][point] = 0.1 * base[0][point]
        assert not fold_mask(convex).any()


def test_folds_check_the_grid() -> None:
    for function in (fold_mask, jacobian_determinant):
        with pytest.raises(InputError, match="grid: expected"):
            function(torch.zeros(3, 4, 2))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_guard_leaves_sound_warps_alone(name: str) -> None:
    family = make_family(name)
    theta = 0.02 * torch.randn(4, family.n_params, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fold_guard(family, theta, SIZE), theta)
    assert fold_guard(family, theta.double(), SIZE).dtype == torch.float64


def test_the_guard_keeps_the_largest_strength_with_its_margin() -> None:
    """x' = x + a·x², with dx'/dx = 1 + 2·a·x and so least at the frame's edge x = ±1."""
    family = make_family("biquadratic")
    theta = torch.zeros(3, 12, dtype=torch.float64)
    theta[:, 6] = torch.tensor([0.45, 2.0, -7.0])
    guarded = fold_guard(family, theta, (16, 16), margin=0.1)
    assert torch.equal(guarded[0], theta[0])
    # The mean of |dT/dx|·|dT/dy| is 1, and half a cell of 1/32 eases the edge's slope.
    strongest = 0.9 / (2 * (1 - 1 / 64))
    assert guarded[1:, 6].tolist() == pytest.approx([strongest, -strongest], rel=1e-3)
    looser = fold_guard(family, theta, (16, 16), margin=0.02)[1, 6].item()
    assert looser == pytest.approx(0.98 / (2 * (1 - 1 / 64)), rel=1e-3)
    assert fold_guard(family, theta, (16, 16))[1, 6].item() == pytest.approx(looser)


def test_the_guard_is_blind_to_scale_and_quarter_turns() -> None:
    family = make_family("affine")
    wide = 16.0  # a quarter turn of a 16:1 picture, in normalized coordinates
    theta = torch.tensor([[-0.99, 0, 0, 0, -0.99, 0], [-1, -1 / wide, 0, wide, -1, 0.0]])
    assert torch.equal(fold_guard(family, theta, SIZE), theta)


def test_the_guard_treats_parts_and_rows_apart() -> None:
    family = make_family("affine+tps", 3)
    theta = 0.01 * torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    theta[1, 6:] *= 100
    guarded = fold_guard(family, theta, SIZE)
    assert torch.equal(guarded[[0, 2]], theta[[0, 2]])
    assert torch.equal(guarded[1, :6], theta[1, :6])
    factors = guarded[1, 6:] / theta[1, 6:]
    assert factors.min() > 0.05 and torch.allclose(factors, factors[:1]) and factors.max() < 1
    spline = fold_guard(make_family("tps", 3), theta[1:2, 6:], SIZE)
    assert torch.equal(guarded[1:2, 6:], spline)
    assert not folds("affine+tps", guarded, lattice=3)


def test_mirrors_are_undone() -> None:
    theta = torch.tensor([[-2.0, 0, 0, 0, 0, 0]])
    guarded = fold_guard(make_family("affine"), theta, SIZE)
    assert not folds("affine", guarded) and guarded[0, 0] == pytest.approx(-0.98, abs=0.03)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_float32_cannot_hold_falls_back(name: str) -> None:
    """Far shifts swallow the spacing of the pixels; the dense check must see it."""
    family = make_family(name)
    for size in (3e3, 1e7, 1e30, 3e38):
        theta = torch.full((1, family.n_params), size)
        guarded = fold_guard(family, theta, SIZE)
        assert not folds(name, guarded) and guarded.isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), log_size=st.floats(-3, 6), sparse=st.booleans())
def test_nothing_folds_after_the_guard(name: str, seed: int, log_size: float, sparse: bool) -> None:
    family = make_family(name)
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(4, family.n_params, generator=generator) * 10**log_size
    if sparse:
        theta *= torch.rand(4, family.n_params, generator=generator) < 0.2
    for dtype in (torch.float32, torch.float64):
        guarded = fold_guard(family, theta.to(dtype), SIZE)
        assert not folds(name, guarded)
        assert (guarded.abs() <= theta.abs()).all()


def test_nothing_folds_after_strength() -> None:
    family = make_family("affine+tps")
    theta = 0.1 * torch.randn(20, 38, generator=torch.Generator().manual_seed(0))
    for strength in (-1.0, 1.5, 3.0, 10.0):
        assert not folds("affine+tps", fold_guard(family, family.scale(theta, strength), SIZE))


def test_a_sound_lattice_of_many_points_is_checked_between_them() -> None:
    """A fold narrower than a coarse cell, between the control points of a fine lattice."""
    family = make_family("tps", 20)
    theta = torch.zeros(1, family.n_params)
    theta[0, 2 * 210] = 0.09  # one control point, most of the way to its neighbor
    guarded = fold_guard(family, theta, (256, 256))
    assert not folds("tps", guarded, (256, 256), lattice=20)


def test_gradients_pass_the_guard() -> None:
    family = make_family("tps", 3)
    theta = torch.full((1, 18), 0.01, dtype=torch.float64, requires_grad=True)
    fold_guard(family, theta, SIZE).sum().backward()
    assert torch.equal(theta.grad, torch.ones(1, 18).double())


def test_the_guard_refuses_what_is_no_theta() -> None:
    family = make_family("affine")
    for bad in (torch.full((1, 6), torch.inf), torch.zeros(1, 7), torch.zeros(6)):
        with pytest.raises(InputError, match="theta: expected"):
            fold_guard(family, bad, SIZE)
    with pytest.raises(InputError, match="size: expected"):
        fold_guard(family, torch.zeros(1, 6), (0, 4))


def test_the_long_run_counts_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `make folds` does, on a few warps; it sees a fold where there is one."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "reliability"))
    run = importlib.import_module("folds")
    base = base_grid((12, 16)).numpy().copy()
    assert run.folds(base) == (0, pytest.approx(1, rel=1e-3))
    base[5, 7] = base[5, 9]
    assert run.folds(base)[0] >= 2
    base[5, 7] = np.nan
    assert run.folds(base)[0] == 4
    rng = np.random.default_rng(1)
    for make in (run.drawn, run.wild, run.one_point, run.checkerboard, run.thin, run.borderline,
                 run.twisted):  # fmt: skip
        _, parameters, strength = make(rng)
        parameters = replace(parameters, theta=parameters.theta.clamp(-50, 50))
        try:
            grid = parameters.grid((40, 56), strength)
        except InputError:
            continue
        assert run.folds(grid[0].float().numpy())[0] == 0
