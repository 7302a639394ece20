"""Composition and inversion of grids."""

from __future__ import annotations

import pytest
import torch

from geostyle.coords import base_grid, inside_mask
from geostyle.warps import (
    compose_grids,
    invert_grid,
    make_family,
    random_theta,
    round_trip_error,
    sampling_grid,
)
from geostyle.warps.affine import inverse

AFFINE = torch.tensor([[0.2, -0.5, 0.1, 0.4, 0.1, -0.2]], dtype=torch.float64)


def test_the_inverse_of_an_affine_grid_is_the_inverse_affine_grid_even_outside() -> None:
    family = make_family("affine")
    grid = sampling_grid(family, AFFINE, (30, 40))
    for size in ((30, 40), (17, 23)):
        expected = sampling_grid(family, inverse(AFFINE), size)
        assert expected.abs().max() > 1.1
        assert torch.allclose(invert_grid(grid, size), expected, atol=1e-9)
    assert invert_grid(grid).shape == (1, 30, 40, 2)


def test_affine_grids_compose_exactly_even_outside() -> None:
    family = make_family("affine")
    other = torch.tensor([[0.5, 0.1, 0.3, -0.2, 0.6, 0.4]], dtype=torch.float64)
    inner = sampling_grid(family, other, (20, 30))
    outer = sampling_grid(family, AFFINE, (12, 9))
    expected = family.map(AFFINE, inner.reshape(1, -1, 2)).reshape(inner.shape)
    assert inner.abs().max() > 1.5
    assert torch.allclose(compose_grids(outer, inner), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["tps", "affine+tps", "homography", "biquadratic"])
def test_the_inverse_is_exact_up_to_the_grids_resolution(name: str) -> None:
    family = make_family(name)
    theta = torch.stack([random_theta(family, (7, i), (60, 80)) for i in range(4)])
    grid = sampling_grid(family, theta, (60, 80))
    backward = invert_grid(grid)
    inside = inside_mask(backward)
    assert inside.float().mean() > 0.3
    assert round_trip_error(grid, backward)[inside].max() < 1e-5
    # The true map of the inverse's points, instead of the grid read between its pixels.
    mapped = family.map(theta, backward.flatten(1, 2)).unflatten(1, (60, 80))
    assert (mapped - base_grid((60, 80)))[inside].abs().max() < 0.01


def test_a_strong_zoom_is_inverted() -> None:
    family = make_family("affine")
    zoom = torch.tensor([[-0.9, 0.0, 0.3, 0.0, -0.9, 0.0]])
    grid = sampling_grid(family, zoom, (32, 32))
    assert torch.allclose(
        invert_grid(grid), sampling_grid(family, inverse(zoom), (32, 32)), atol=1e-3
    )


def test_content_that_is_never_shown_gets_finite_points() -> None:
    grid = base_grid((16, 16))[None] + 5
    backward = invert_grid(grid)
    assert backward.isfinite().all() and not inside_mask(backward).any()
    assert torch.allclose(backward, base_grid((16, 16))[None] - 5, atol=1e-4)


def test_round_trip_error_is_a_distance() -> None:
    grid = base_grid((10, 12))[None]
    moved = grid + torch.tensor([0.03, -0.04])
    assert torch.allclose(round_trip_error(grid, moved), torch.full((1, 10, 12), 0.05), atol=1e-6)
    assert round_trip_error(grid, grid).max() < 1e-6
    assert round_trip_error(grid, moved[:, :5]).shape == (1, 5, 12)
