"""From theta to a sampling grid, and from a grid to a warped picture."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import Size, check_size
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
