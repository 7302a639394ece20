"""From theta to a sampling grid, and from a grid to a warped picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geostyle.coords import (
    Size,
    base_grid,
    check_grid,
    check_image,
    check_size,
    resize,
    sample,
    within_range_of,
)
from geostyle.errors import InputError
from geostyle.warps.base import WarpFamily


def check_theta(family: WarpFamily, theta: Tensor) -> Tensor:
    """Return `theta` if it is a finite floating (B, P) tensor of `family`.

    Raises: InputError otherwise.
    """
    if theta.ndim != 2 or theta.shape[1] != family.n_params or not theta.is_floating_point():
        raise InputError(
            f"theta: expected a floating (B, {family.n_params}) tensor for {family.name}, "
            f"got {tuple(theta.shape)} of {theta.dtype}"
        )
    if not bool(theta.isfinite().all()):
        raise InputError("theta: expected finite numbers, got NaN or infinity")
    return theta


def sampling_grid(family: WarpFamily, theta: Tensor, size: Size) -> Tensor:
    """The backward map of `theta` (B, P) at every pixel centre of an output of `size` (H, W).

    Returns: (B, H, W, 2) normalized content (x, y), not clamped, in theta's dtype (float32 where
    that is of half precision); exactly the base grid where theta is zero.
    """
    check_theta(family, theta)
    if theta.dtype in (torch.float16, torch.bfloat16):
        theta = theta.float()
    return family.grid(theta, check_size(size))


def warp_image(image: Tensor, grid: Tensor, *, extend: str = "mirror") -> Tensor:
    """Read `image` (B, C, H, W) through the backward `grid` (B, h, w, 2), bicubic and antialiased.

    Where the grid leaves the picture, `extend` says what stands there:
    "mirror" reflects about the edges, ever softer with the distance; "border" repeats the edge.

    Returns: (B, C, h, w) within each channel's range; `image` bit for bit on its own base grid.
    """
    check_image(image)
    size = (check_grid(grid).shape[1], grid.shape[2])
    if image.shape[2:] == size and not grid.requires_grad:
        base = base_grid(size, dtype=grid.dtype, device=grid.device)
        if torch.equal(grid, base.expand_as(grid)):
            return image.clone()
    half = grid.new_tensor([image.shape[3], image.shape[2]]) / 2
    grid_y, grid_x = torch.gradient(grid, dim=(1, 2))
    stretch_x, stretch_y = ((step * half).norm(dim=-1) for step in (grid_x, grid_y))

    level = _level(torch.maximum(stretch_x, stretch_y))
    if extend == "mirror":
        outside = ((grid.abs() - 1).clamp_min(0) * half).norm(dim=-1)
        level = torch.maximum(level, (outside * SOFTENING).clamp_min(1).log2())
    offset_x, offset_y = (
        step * ((1 - stretch.clamp_min(1) ** -2).clamp_min(1e-12) / 12).sqrt()[..., None]
        for step, stretch in ((grid_x, stretch_x), (grid_y, stretch_y))
    )
    padding = "reflection" if extend == "mirror" else "border"
    result = (
        sum(
            sample(image, grid + i * offset_x + j * offset_y, "bicubic", padding)
            for i in (-1, 1)
            for j in (-1, 1)
        )
        / 4
    )
    result = within_range_of(image, result) * (1 - level).clamp_min(0)[:, None]
    last = min(math.ceil(float(level.max())), int(math.log2(max(image.shape[2:]))))
    level = level.clamp_max(last)
    for k in range(1, last + 1):
        smaller = resize(image, tuple(-(-side // 2**k) for side in image.shape[2:]))
        weight = (1 - (level - k).abs()).clamp_min(0)[:, None]
        result = result + weight * within_range_of(image, sample(smaller, grid, "bicubic", padding))
    return result


def _level(stretch: Tensor) -> Tensor:
    return torch.minimum(stretch.log2(), 2 * (stretch / 2).log2()).clamp_min(0)


SOFTENING = 0.15
