"""Losses on warps: the paper's on pictures, the grid's, and penalties on folds and bending.

Grids and points are normalized content (x, y), as `WarpFamily.map` gives them, not clamped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import inside_mask, sample
from geostyle.warps import WarpFamily
from geostyle.warps.folds import jacobian_determinant

SMOOTHING = 1e-3  # of `distance_loss` about zero, in normalized units: 0.12 px at 240


def image_loss(content: Tensor, target: Tensor, grid: Tensor) -> Tensor:
    """Return the mean squared difference of I_b and M_Θ(I_a) where M_Θ reads inside I_a.

    Args:
        content: (B, 3, H, W), I_a in [0, 1].
        target: (B, 3, h, w), I_b in [0, 1].
        grid: (B, h, w, 2), output → content.

    Source: Liu et al., "Geometric Style Transfer", section 3.2.
    Differs: pixels that the grid reads outside the picture do not count; zeros there would add a
        loss of their own.
    """
    inside = inside_mask(grid)[:, None].to(target.dtype)
    difference = (sample(content, grid) - target).square() * inside
    return difference.sum() / (inside.sum() * target.shape[1]).clamp_min(1)


def grid_loss(estimated: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean squared distance of estimated and true content points.

    Args:
        estimated, truth: (B, ..., 2), the same output points mapped by either theta.
        weights: (B, ...), at least 0, of the points in each item's mean.

    Source: Rocco et al., "Convolutional neural network architecture for geometric matching",
        section 4.1.
    """
    return _mean((estimated - truth).square().sum(-1), weights)


def distance_loss(estimated: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean distance of estimated and true content points, smooth about zero.

    Arguments as in `grid_loss`, whose square lets the worst pairs dominate.
    """
    squared = (estimated - truth).square().sum(-1)
    return _mean((squared + SMOOTHING**2).sqrt() - SMOOTHING, weights)


def fold_penalty(grid: Tensor, margin: float = 0.1) -> Tensor:
    """Return the mean of max(0, margin − det J)² over `grid` (B, H, W, 2).

    det J as `jacobian_determinant` gives it: 1 for the base grid, 0 or less in a fold.
    """
    return (margin - jacobian_determinant(grid)).clamp_min(0).square().mean()


def bending_penalty(family: WarpFamily, theta: Tensor) -> Tensor:
    """Return the mean bending energy of the splines in `theta` (B, P); 0 without splines."""
    energies = [
        part.bending_energy(theta[:, columns]).mean()
        for part, columns in family.parts()
        if hasattr(part, "bending_energy")
    ]
    return torch.stack(energies).sum() if energies else theta.new_zeros(())


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over items of each item's (weighted) mean of values (B, ...)."""
    values = values.flatten(1)
    if weights is None:
        return values.mean()
    weights = weights.flatten(1).to(values.dtype)
    return ((values * weights).sum(1) / weights.sum(1).clamp_min(1e-12)).mean()
