"""Composition and inversion of sampling grids, which hold normalized points (x, y)."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import Size, base_grid, check_grid, check_size, normalized_to_pixel, sample
from geostyle.warps.filling import push_pull

NEWTON_STEPS = 20


def compose_grids(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the grid (B, h, w, 2) of `inner` (B, h, w, 2) followed by `outer` (B, H, W, 2).

    `outer` is read bilinearly, and continued linearly beyond its outermost pixel centers.
    """
    value, _ = _read(_with_jacobian(outer), check_grid(inner, "inner"))
    return value


def invert_grid(grid: Tensor, size: Size | None = None) -> Tensor:
    """Return the forward map, content → output, of a backward `grid` (B, H, W, 2) without folds.

    Args:
        grid: normalized content points (x, y).
        size: (h, w) of the content; default the grid's own. Output points of content that the grid
            does not show are extrapolated beyond [-1, 1].

    Returns: (B, h, w, 2), normalized output (x, y) for every pixel center of the content, with
    compose_grids(grid, result) the content's base grid.
    """
    height, width = check_grid(grid).shape[1:3]
    size = (height, width) if size is None else check_size(size)
    target = base_grid(size, dtype=grid.dtype, device=grid.device).expand(len(grid), -1, -1, -1)
    fields = _with_jacobian(grid)
    point = sample(_scattered(grid), target).movedim(1, -1)
    value, jacobian = _read(fields, point)
    damping = torch.ones_like(point[..., :1])
    for _ in range(NEWTON_STEPS):
        step = torch.linalg.solve_ex(jacobian, (target - value)[..., None]).result[..., 0]
        tried = point + damping * step
        value_there, jacobian_there = _read(fields, tried)
        before, after = ((target - v).norm(dim=-1, keepdim=True) for v in (value, value_there))
        better = after < before
        point = torch.where(better, tried, point)
        value = torch.where(better, value_there, value)
        jacobian = torch.where(better[..., None], jacobian_there, jacobian)
        damping = torch.where(better, 1.0, damping / 2)
    return point


def round_trip_error(grid: Tensor, inverse: Tensor) -> Tensor:
    """Return the distance between each point and its image under `inverse`, then `grid`.

    Args:
        grid: (B, H, W, 2).
        inverse: (B, h, w, 2).

    Returns: (B, h, w) in normalized units; meaningless where `inverse` points outside the frame of
        `grid` (see `inside_mask(inverse)`).
    """
    size = (inverse.shape[1], inverse.shape[2])
    base = base_grid(size, dtype=grid.dtype, device=grid.device)
    return (compose_grids(grid, inverse) - base).norm(dim=-1)


def _with_jacobian(grid: Tensor) -> Tensor:
    """Return the grid, its d/dx and its d/dy as one picture (B, 6, H, W)."""
    height, width = check_grid(grid).shape[1:3]
    dy, dx = torch.gradient(grid, dim=(1, 2))
    return torch.cat((grid, dx * (width / 2), dy * (height / 2)), -1).movedim(-1, 1)


def _read(fields: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Read values (B, h, w, 2) and Jacobians (B, h, w, 2, 2), with columns d/dx and d/dy."""
    edge = 1 - 1 / points.new_tensor([fields.shape[3], fields.shape[2]])
    held = torch.minimum(torch.maximum(points, -edge), edge)
    read = sample(fields, held).movedim(1, -1)
    jacobian = read[..., 2:].unflatten(-1, (2, 2)).mT
    return read[..., :2] + (jacobian @ (points - held)[..., None])[..., 0], jacobian


def _scattered(grid: Tensor) -> Tensor:
    """Return a rough inverse (B, 2, n, n): output points by content position, holes filled."""
    batch, height, width, _ = grid.shape
    side = max(2, min(height, width) // 4)
    cells = normalized_to_pixel(grid, (side, side)).round().flatten(1, 2)
    inside = ((cells >= 0) & (cells < side)).all(-1)
    index = (cells.clamp(0, side - 1) @ cells.new_tensor([1.0, side])).long()[:, None]
    values = torch.cat((base_grid((height, width)).to(grid), grid.new_ones(height, width, 1)), -1)
    values = values.reshape(1, -1, 3).mT * inside[:, None]
    total = values.new_zeros(batch, 3, side * side).scatter_add(2, index.expand_as(values), values)
    total = total.unflatten(2, (side, side))
    return push_pull(total[:, :2] / total[:, 2:].clamp_min(1), (total[:, 2:] > 0).to(grid.dtype))
