"""Smooth filling of holes in maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import resize

SMOOTHINGS = 4  # per level


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Fill holes smoothly, by averaging known values to coarser levels and reading them back.

    Args:
        values: (B, C, H, W).
        known: (B, 1, H, W) in [0, 1]; values are kept at 1, filled at 0, blended between.

    Returns: (B, C, H, W); zeros where nothing is known.
    Source: Gortler et al. 1996, "The Lumigraph", section 3.4 (pull-push).
    Differs: each level is relaxed towards a harmonic fill, so that colors continue from the nearest
        edge instead of fading into the mean.
    """
    height, width = values.shape[-2:]
    if height * width == 1:
        return values * known
    pulled = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(values * known, 2, ceil_mode=True, count_include_pad=False)
    coarse = push_pull(mean / pulled.clamp_min(1e-12), (4 * pulled).clamp_max(1))
    filled = known * values + (1 - known) * resize(coarse, (height, width), "bilinear")
    for _ in range(SMOOTHINGS):
        around = F.avg_pool2d(filled, 3, 1, 1, count_include_pad=False)
        filled = known * values + (1 - known) * around
    return filled
