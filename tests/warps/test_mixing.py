"""Warps of several geometry styles as one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.warps import WarpParameters, make_family, random_theta
from geostyle.warps.affine import affine_power, matrix_of
from geostyle.warps.mixing import mean_warp, regional_warp

SIZE = (60, 80)


def warp(family: str, theta: Tensor, **changes: object) -> WarpParameters:
    return replace(WarpParameters(family, 4, theta, SIZE, SIZE, 0.5), **changes)  # type: ignore


def turned(degrees: float, zoom: float = 1.0) -> WarpParameters:
    """A turn of a square picture about its center."""
    cos, sin = (f(math.radians(degrees)) * zoom for f in (math.cos, math.sin))
    return warp("affine", torch.tensor([cos - 1, -sin, 0, sin, cos - 1, 0.0]))


def test_turns_average_to_the_turn_between() -> None:
    mean = mean_warp([turned(10, 0.5), turned(50, 2.0)], [1, 1])
    torch.testing.assert_close(mean.theta, turned(30).theta, atol=1e-6, rtol=0)
    mean = mean_warp([turned(0), turned(40, 1.5)], [3, 1])
    torch.testing.assert_close(mean.theta, turned(10, 1.5**0.25).theta, atol=1e-6, rtol=0)


def test_the_mean_with_no_warp_is_the_power() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        theta = 0.3 * torch.randn(6, generator=generator)
        mean = mean_warp([warp("affine", theta), warp("affine", torch.zeros(6))], [0.3, 0.7])
        expected = affine_power(theta[None].double(), 0.3)[0].float()
        torch.testing.assert_close(mean.theta, expected, atol=1e-6, rtol=1e-5)
        assert torch.linalg.det(matrix_of(mean.theta)[:, :2]) > 0


def test_splines_average_linearly_and_confidence_too() -> None:
    a, b = (torch.randn(32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    mean = mean_warp([warp("tps", a, confidence=0.2), warp("tps", b, confidence=0.8)], [1, 3])
    torch.testing.assert_close(mean.theta, 0.25 * a + 0.75 * b)
    assert mean.confidence == pytest.approx(0.65)
    assert mean.meta["mixed"] == [0.25, 0.75]


def test_regions_follow_their_own_warp() -> None:
    family = make_family("affine+tps", 6)
    left, right = (torch.zeros(family.n_params) for _ in range(2))
    left[2], right[2] = 0.2, -0.2  # shifts along x
    warps = [WarpParameters("affine+tps", 6, theta, SIZE, SIZE) for theta in (left, right)]
    mask = torch.zeros(1, 1, 30, 40)
    mask[..., :20] = 1
    mixed = regional_warp(warps, [mask, 1 - mask])
    points = torch.tensor([[-0.8, 0.3], [0.8, -0.4]], dtype=torch.float64)
    moved = family.map_points(mixed.theta.double(), points) - points
    expected = torch.tensor([[0.2, 0.0], [-0.2, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, atol=0.03, rtol=0)


def test_equal_masks_are_the_plain_mean_of_maps() -> None:
    family = make_family("tps", 4)
    thetas = [random_theta(family, seed, SIZE).flatten() for seed in (1, 2)]
    warps = [warp("tps", theta) for theta in thetas]
    mixed = regional_warp(warps, [torch.ones(1, 1, 8, 8)] * 2)
    torch.testing.assert_close(mixed.theta, mean_warp(warps).theta, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("changes", "weights", "named"),
    [
        ({}, [1], "geo_weights"),
        ({}, [0, 0], "geo_weights"),
        ({}, [1, -1], "geo_weights"),
        ({}, [1, math.nan], "geo_weights"),
        ({"mirrored": True}, None, "mirrored"),
        ({"output_size": (50, 50)}, None, "output_size"),
    ],
)
def test_warps_that_do_not_fit_together_are_refused(
    changes: dict[str, object], weights: list[float] | None, named: str
) -> None:
    plain = turned(10)
    with pytest.raises(InputError, match=named):
        mean_warp([plain, replace(plain, **changes)], weights)  # type: ignore[arg-type]
