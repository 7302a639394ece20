"""Filling holes smoothly, by pulling known values to coarser levels and pushing them back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import resize

SMOOTHINGS = 4  # per level


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Keep `values` (B, C, H, W) where `known` (B, 1, H, W) is 1 and fill smoothly where it is 0.

    Weights between blend. Nothing known at all gives zeros.
    Source: Gortler et al. 1996, "The Lumigraph", section 3.4 (pull-push).
    Differs: each level is relaxed towards a harmonic fill, so that colors carry on from the
    nearest edge instead of sinking into the mean.
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
