"""Warps: theta → sampling grid → warped picture; one class per family.

Maps are backward, output → content, in normalized coordinates: [-1, 1], x right, y down, half-pixel
centers (`align_corners=False`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geostyle.config.lazy import lazy_names

if TYPE_CHECKING:
    from geostyle.warps.base import RandomRanges as RandomRanges
    from geostyle.warps.base import WarpFamily as WarpFamily
    from geostyle.warps.families import FAMILIES as FAMILIES
    from geostyle.warps.families import make_family as make_family
    from geostyle.warps.folds import fold_guard as fold_guard
    from geostyle.warps.folds import fold_mask as fold_mask
    from geostyle.warps.folds import jacobian_determinant as jacobian_determinant
    from geostyle.warps.folds import told_guard as told_guard
    from geostyle.warps.grid import sampling_grid as sampling_grid
    from geostyle.warps.grid import warp_image as warp_image
    from geostyle.warps.inverse import compose_grids as compose_grids
    from geostyle.warps.inverse import invert_grid as invert_grid
    from geostyle.warps.inverse import round_trip_error as round_trip_error
    from geostyle.warps.parameters import WarpParameters as WarpParameters
    from geostyle.warps.parameters import WarpResult as WarpResult
    from geostyle.warps.random import random_theta as random_theta

lazy_names(__name__)
