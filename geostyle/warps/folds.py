"""Folds of sampling grids, and the guard that weakens warps until they do not fold."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import Size, check_grid, check_size
from geostyle.warps.base import WarpFamily
from geostyle.warps.grid import check_theta, sampling_grid

GUARD_CELLS = 64  # per side of the coarse lattice, at least 8 between control points
GUARD_STEPS = 20  # halvings of the strength's interval


def _slopes(grid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences along x (B, H, W-1, 2) and along y (B, H-1, W, 2)."""
    return grid[:, :, 1:] - grid[:, :, :-1], grid[:, 1:] - grid[:, :-1]


def _corner_determinants(dx: Tensor, dy: Tensor) -> Tensor:
    """Return cross products (B, 4, H-1, W-1) of the two slopes that meet at each cell's corners."""
    return torch.stack(
        [
            along[..., 0] * down[..., 1] - along[..., 1] * down[..., 0]
            for along in (dx[:, :-1], dx[:, 1:])
            for down in (dy[:, :, :-1], dy[:, :, 1:])
        ],
        1,
    )


def jacobian_determinant(grid: Tensor) -> Tensor:
    """Return the signed factor by which `grid` (B, H, W, 2) enlarges areas, output → content.

    One value per cell between four neighboring pixel centers: (B, H-1, W-1), the mean over the
    cell of the bilinear map's determinant, both frames in normalized units. The base grid has 1.
    """
    height, width = check_grid(grid).shape[1:3]
    return _corner_determinants(*_slopes(grid)).mean(1) * (width * height / 4)


def fold_mask(grid: Tensor) -> Tensor:
    """Return a mask (B, H-1, W-1), bool, of the cells of `grid` (B, H, W, 2) that fold anywhere.

    The determinant of a bilinear cell is least at a corner; a fold is one that is not above 0,
    NaN included.
    """
    return ~(_corner_determinants(*_slopes(check_grid(grid))) > 0).all(1)


def fold_guard(family: WarpFamily, theta: Tensor, size: Size, margin: float = 0.02) -> Tensor:
    """Weaken theta (B, P) until it has no fold on its dense grid of `size` (H, W).

    Each part of the family (affine part, spline) is multiplied by the largest factor up to 1 at
    which det J stays above `margin` times the means of |dT/dx| and |dT/dy| over the whole frame, on
    a coarse lattice; the measure does not depend on scale. The dense grid is checked last, in
    theta's dtype. A theta that passes is returned bit for bit; the factors have no gradient.

    Raises: InputError for theta of a wrong shape or with values that are not finite.
    """
    check_theta(family, theta)
    check_size(size)
    factor = torch.ones_like(theta)
    with torch.no_grad():
        for part, columns in family.parts():
            factor[:, columns] = _largest_factor(part, theta[:, columns], margin)[:, None]
        step = 0.01
        while bool((bad := _folds(sampling_grid(family, theta * factor, size))).any()):
            factor[bad] *= 1 - step
            step = min(2 * step, 1.0)  # after a few rounds, the identity
    return theta * factor


def told_guard(family: WarpFamily, asked: Tensor, held: Tensor) -> str:
    """Return one line on how far `fold_guard` weakened theta, and why; empty where it did not.

    Args: asked, held, (P,) before and after.
    """
    if torch.equal(asked, held):
        return ""
    parts = family.parts()
    kept = []
    for part, columns in parts:
        before, after = asked[columns].double(), held[columns].double()
        factor = float(after @ before / (before @ before).clamp_min(1e-30))
        if not torch.equal(before, after):
            name = "it is" if len(parts) == 1 else f"its {part.name} part is"
            kept.append(f"{name} held to {100 * factor:.3g} %")
    grid = sampling_grid(family, asked[None].double(), (GUARD_CELLS, GUARD_CELLS))
    y, x = divmod(int(jacobian_determinant(grid).argmin()), GUARD_CELLS - 1)
    row, column = (3 * place // (GUARD_CELLS - 1) for place in (y, x))
    where = f"{('top', 'middle', 'bottom')[row]} {('left', 'center', 'right')[column]}"
    return f"the warp would fold at the {where}: {', '.join(kept)}"


def _folds(grid: Tensor) -> Tensor:
    return fold_mask(grid).flatten(1).any(1)


def _largest_factor(family: WarpFamily, theta: Tensor, margin: float) -> Tensor:
    """Return the largest sound factor (B,), by bisection between no warp and the whole."""
    factor = torch.ones(len(theta), dtype=torch.float64, device=theta.device)
    bad = ~_sound(family, theta, margin)
    low, high = torch.zeros_like(factor[bad]), factor[bad]
    for _ in range(GUARD_STEPS if len(low) else 0):
        middle = (low + high) / 2
        sound = _sound(family, theta[bad] * middle[:, None], margin)
        low, high = torch.where(sound, middle, low), torch.where(sound, high, middle)
    factor[bad] = low
    return factor.to(theta.dtype)


def _sound(family: WarpFamily, theta: Tensor, margin: float) -> Tensor:
    """Return a mask (B,) of each theta that keeps its margin, in float64, frame edges included."""
    cells = max(GUARD_CELLS, 8 * getattr(family, "lattice", 0))
    axis = torch.linspace(-1, 1, cells + 1, dtype=torch.float64, device=theta.device)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    sound = torch.ones(len(theta), dtype=torch.bool, device=theta.device)
    for rows in torch.arange(len(theta), device=theta.device).split(64):
        mapped = family.map(theta[rows].double(), points.reshape(1, -1, 2))
        dx, dy = _slopes(mapped.unflatten(1, points.shape[:2]))
        reach = dx.norm(dim=-1).mean((1, 2)) * dy.norm(dim=-1).mean((1, 2))
        sound[rows] = _corner_determinants(dx, dy).flatten(1).amin(1) > margin * reach
    return sound
