"""Sampling grids from theta, and pictures warped by them.

Grids are backward maps in normalized coordinates: output pixel → content point (x, y) in [-1, 1]²,
half-pixel centers (`align_corners=False`).
"""

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
from geostyle.warps.completion import complete
from geostyle.warps.extends import EXTENDS, REACH
from geostyle.warps.filling import push_pull


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
    """Map every pixel center of an output of `size` (H, W) backward by `theta` (B, P).

    Returns: (B, H, W, 2) normalized content (x, y), not clamped, in theta's dtype (float32 where
    that is of half precision); exactly the base grid where theta is zero.
    """
    check_theta(family, theta)
    if theta.dtype in (torch.float16, torch.bfloat16):
        theta = theta.float()
    return family.grid(theta, check_size(size))


SOFTENING = 0.15  # radius of the mirror image's blur, as a share of the distance from the edge
SHRINKS = 1.01  # least stretch, output → content pixels, that needs more than one sample
TILE = 256  # pixels per side
RIM = 0.02  # share of the shorter side that counts as outside: many photographs have a dark rim


def warp_image(image: Tensor, grid: Tensor, *, extend: str = "mirror") -> Tensor:
    """Read `image` (B, C, H, W) through the backward `grid` (B, h, w, 2), bicubic and antialiased.

    Args:
        image: (B, C, H, W).
        grid: (B, h, w, 2), normalized content points (x, y).
        extend: values where the grid leaves the picture. "mirror" reflects about the edges, softer
            and fainter with the distance, over a smooth fill; "inpaint" is the fill with a narrow
            transition; "patches" gives that the texture of patches of the picture, see `complete`;
            "border" repeats the outermost pixels. For all but that, the picture's outermost
            fiftieth counts as outside if the grid leaves the picture anywhere.

    Returns: (B, C, h, w) within each channel's range; `image` bit for bit on its own base grid.
    Raises: InputError for wrong shapes or an unknown `extend`.
    """
    check_image(image)
    if extend not in EXTENDS:
        raise InputError(f"extend: expected {', '.join(EXTENDS)}, got {extend!r}")
    height, width = check_grid(grid).shape[1:3]
    if not bool(grid.isfinite().all()) or min(height, width) < 2:
        raise InputError("grid: expected finite points, at least 2×2 of them")
    if image.shape[2:] == (height, width) and not grid.requires_grad:
        base = base_grid((height, width), dtype=grid.dtype, device=grid.device)
        if torch.equal(grid, base.expand_as(grid)):
            return image.clone()
    half = grid.new_tensor([image.shape[3], image.shape[2]]) / 2
    if extend == "border" or not bool((grid.abs() > 1).any()):
        return _filtered(image, grid, half, torch.zeros_like(grid[..., 0]), "border")
    short = 2 * half.min()
    edge = 1 - RIM * short / half
    beyond = (grid.abs() - edge).clamp_min(0)
    outside = (beyond * half).norm(dim=-1)  # (B, h, w), content pixels
    result = _filtered(image, grid - 2 * grid.sign() * beyond, half, outside * SOFTENING)
    mean = image.mean((2, 3), keepdim=True)
    fill = mean + push_pull(result - mean, (outside == 0)[:, None].to(result.dtype))
    filled = torch.lerp(fill, result, (-outside / (REACH[extend] * short)).exp()[:, None])
    if extend != "patches":
        return filled
    known = (outside == 0)[:, None]
    pairs = zip(filled.split(1), known.split(1), strict=True)
    return within_range_of(image, torch.cat([complete(*pair) for pair in pairs]))


def _filtered(
    image: Tensor, grid: Tensor, half: Tensor, blur: Tensor, padding: str = "reflection"
) -> Tensor:
    """Sample without aliasing, and blur further by a radius `blur` (B, h, w) in pixels.

    Up to a shrinking by two, four samples cover a pixel's footprint, spread only as far as the
    map shrinks; beyond, a pyramid of smaller pictures is read. In tiles, so that the cost arises
    only where it is needed.
    """
    pyramid = [image]
    while max(pyramid[-1].shape[2:]) > 1:
        height, width = pyramid[-1].shape[2:]
        pyramid.append(resize(pyramid[-1], (-(-height // 2), -(-width // 2))))
    fields = (grid, *torch.gradient(grid, dim=(1, 2)), blur)
    rows = [
        torch.cat([_tile(pyramid, half, padding, *tile) for tile in _tiles(row, 2)], 3)
        for row in _tiles(fields, 1)
    ]
    return within_range_of(image, torch.cat(rows, 2))


def _tiles(fields: tuple[Tensor, ...], dim: int) -> zip[tuple[Tensor, ...]]:
    return zip(*(field.split(TILE, dim) for field in fields), strict=True)


def _tile(
    pyramid: list[Tensor], half: Tensor, padding: str, grid: Tensor, *fields: Tensor
) -> Tensor:
    step_y, step_x, blur = fields
    stretch_x, stretch_y = (
        (step * half).square().sum(-1).clamp_min(1e-12).sqrt() for step in (step_x, step_y)
    )
    stretch = torch.maximum(stretch_x, stretch_y)
    level = torch.minimum(stretch.log2(), 2 * (stretch / 2).log2())
    level = torch.maximum(level, blur.clamp_min(1).log2()).clamp(0, len(pyramid) - 1)

    points = [grid]
    if bool((stretch > SHRINKS).any()):
        # Two samples at ±s of a unit box have its variance of 1/12 if s² = 1/12; the blur of the
        # interpolation itself, 1/stretch², is subtracted.
        x, y = (
            step * ((1 - length.clamp_min(1) ** -2).clamp_min(1e-12) / 12).sqrt()[..., None]
            for step, length in ((step_x, stretch_x), (step_y, stretch_y))
        )
        points = [grid - x - y, grid + x - y, grid - x + y, grid + x + y]
    result = pyramid[0].new_zeros(())
    lowest, highest = level.detach().aminmax()
    for k in range(math.floor(lowest), math.ceil(highest) + 1):
        reads = [sample(pyramid[k], p, "bicubic", padding) for p in (points if k == 0 else [grid])]
        weight = (1 - (level - k).abs()).clamp_min(0)
        result = result + weight[:, None] * (sum(reads) / len(reads))
    return result
