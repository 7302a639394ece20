"""Losses on warps against closed forms."""

from __future__ import annotations

import pytest
import torch

from geostyle.coords import base_grid
from geostyle.training.geometry_losses import (
    bending_penalty,
    distance_loss,
    fold_penalty,
    grid_loss,
    image_loss,
)
from geostyle.warps import make_family

SIZE = (24, 32)


def grid() -> torch.Tensor:
    return base_grid(SIZE)[None]


def ramp() -> torch.Tensor:
    """A picture whose value is 0.5 + 0.25·x everywhere."""
    return (0.5 + 0.25 * grid()[..., 0])[:, None].expand(-1, 3, -1, -1)


def test_image_loss_of_a_shifted_ramp() -> None:
    # Reading 0.1 to the left misses by 0.025; columns that leave the picture do not count, but the
    # last half pixel inside it is flat, so stay clear of the border.
    shifted = (0.8 * grid()) - torch.tensor([0.1, 0.0])
    target = (0.5 + 0.25 * 0.8 * grid()[..., 0])[:, None].expand(-1, 3, -1, -1)
    assert image_loss(ramp(), target, shifted).item() == pytest.approx(0.025**2, rel=1e-4)


def test_image_loss_ignores_what_lies_outside() -> None:
    outside = grid() + torch.tensor([1.0, 0.0])  # the right half reads beyond the content
    target = (0.5 + 0.25 * (grid()[..., 0] + 1))[:, None].expand(-1, 3, -1, -1).clone()
    target[..., SIZE[1] // 2 :] = 77.0
    assert image_loss(ramp(), target, outside).item() == pytest.approx(0.0, abs=1e-5)
    everywhere_out = grid() + 5
    assert image_loss(ramp(), target, everywhere_out).item() == 0


def test_grid_and_distance_loss_of_a_shift() -> None:
    moved = grid() + torch.tensor([0.3, -0.4])
    assert grid_loss(moved, grid()).item() == pytest.approx(0.25, rel=1e-5)
    assert distance_loss(moved, grid()).item() == pytest.approx(0.5, abs=2e-3)
    assert grid_loss(grid(), grid()).item() == distance_loss(grid(), grid()).item() == 0


def test_weights_are_shares_within_each_item() -> None:
    truth = torch.zeros(2, 4, 2)
    estimated = truth.clone()
    estimated[0, 0, 0] = 3.0  # squared 9, alone in its item
    estimated[1, :, 1] = 1.0
    weights = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]])
    assert grid_loss(estimated, truth, weights).item() == pytest.approx((9 + 1) / 2)
    assert grid_loss(estimated, truth).item() == pytest.approx((9 / 4 + 1) / 2)


def test_distance_loss_has_a_gradient_where_points_meet() -> None:
    estimated = torch.zeros(1, 3, 2, requires_grad=True)
    distance_loss(estimated, torch.zeros(1, 3, 2)).backward()
    assert estimated.grad is not None and estimated.grad.abs().max() == 0


def test_fold_penalty() -> None:
    assert fold_penalty(grid()).item() == 0
    mirrored = grid() * torch.tensor([-1.0, 1.0])  # det J = -1 everywhere
    assert fold_penalty(mirrored).item() == pytest.approx(1.1**2, rel=1e-4)
    assert fold_penalty(grid() * 0.2, margin=0.1).item() == pytest.approx(0.06**2, rel=1e-3)


def test_bending_penalty() -> None:
    affine, spline, both = (make_family(name, 3) for name in ("affine", "tps", "affine+tps"))
    theta = torch.randn(4, 18, generator=torch.Generator().manual_seed(0)) * 0.1
    assert bending_penalty(affine, torch.ones(2, 6)).item() == 0
    bent = bending_penalty(spline, theta)
    assert bent > 0
    together = torch.cat((torch.ones(4, 6), theta), 1)
    assert torch.equal(bending_penalty(both, together), bent)
    # Offsets that are affine in position bend nothing, and energy is quadratic.
    sheared = (spline.control_points.float() @ torch.tensor([[0.1, 0.3], [0.0, 0.2]])).reshape(
        1, -1
    )
    assert bending_penalty(spline, sheared).item() == pytest.approx(0, abs=1e-5)
    assert bending_penalty(spline, 2 * theta).item() == pytest.approx(4 * bent.item(), rel=1e-4)
