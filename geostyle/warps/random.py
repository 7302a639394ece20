"""Random warps that do not fold and keep most of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size, check_size, inside_mask
from geostyle.errors import InputError
from geostyle.warps.base import RandomRanges, WarpFamily
from geostyle.warps.folds import fold_guard, jacobian_determinant
from geostyle.warps.grid import sampling_grid

CHECK_PX = 64  # side of the square grid on which a draw is checked
MAX_DRAWS = 1000


def random_theta(
    family: WarpFamily, seed: int | Sequence[int], size: Size, ranges: RandomRanges | None = None
) -> Tensor:
    """Draw theta for pictures of `size` (H, W), the same in both frames.

    Draws that the fold guard would change, or that lose more of the picture than `ranges` allows,
    are repeated.

    Args:
        family: of theta.
        seed: non-negative integers, such as (seed, index), which alone determine the result.
        size: (H, W).
        ranges: see `RandomRanges`.

    Returns: (P,) in float32.
    Raises: InputError where hardly any draw passes.
    """
    size, ranges = check_size(size), ranges or RandomRanges()
    rng = np.random.default_rng(seed)
    for _ in range(MAX_DRAWS):
        theta = torch.from_numpy(family.draw(rng, size, ranges)).float()[None]
        guarded = fold_guard(family, theta, (CHECK_PX, CHECK_PX))
        if torch.equal(guarded, theta) and _keeps_enough(family, theta, ranges):
            return theta[0]
    raise InputError(f"ranges: expected some warps that pass, got none in {MAX_DRAWS} draws")


def _keeps_enough(family: WarpFamily, theta: Tensor, ranges: RandomRanges) -> bool:
    grid = sampling_grid(family, theta, (CHECK_PX, CHECK_PX))
    inside = float(inside_mask(grid).float().mean())
    # The central quarter of the content has area 1; the Jacobian gives the visible part of it.
    center = (grid[:, :-1, :-1].abs() <= 0.5).all(-1)
    seen = float((jacobian_determinant(grid) * center).sum()) * 4 / CHECK_PX**2
    return inside >= ranges.min_inside and seen >= ranges.min_subject
