"""Warps: theta → sampling grid → warped picture; one class per family.

Maps are backward, output → content, in normalized coordinates: [-1, 1], x right, y down, half-pixel
centers (`align_corners=False`).
"""

from __future__ import annotations

from geostyle.warps.base import RandomRanges, WarpFamily
from geostyle.warps.families import FAMILIES, make_family
from geostyle.warps.folds import fold_guard, fold_mask, jacobian_determinant
from geostyle.warps.grid import sampling_grid, warp_image
from geostyle.warps.inverse import compose_grids, invert_grid, round_trip_error
from geostyle.warps.parameters import WarpParameters, WarpResult
from geostyle.warps.random import random_theta

__all__ = [
    "FAMILIES",
    "RandomRanges",
    "WarpFamily",
    "WarpParameters",
    "WarpResult",
    "compose_grids",
    "fold_guard",
    "fold_mask",
    "invert_grid",
    "jacobian_determinant",
    "make_family",
    "random_theta",
    "round_trip_error",
    "sampling_grid",
    "warp_image",
]
