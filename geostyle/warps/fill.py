"""Filling holes smoothly, by pulling known values to coarser levels and pushing them back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import resize


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Keep `values` (B, C, H, W) where `known` (B, 1, H, W) is 1 and fill smoothly where it is 0.

    Weights between blend. Nothing known at all gives zeros.
    Source: Gortler et al. 1996, "The Lumigraph", section 3.4 (pull-push).
    """
    height, width = values.shape[-2:]
    if height * width == 1:
        return values * known
    pulled = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(values * known, 2, ceil_mode=True, count_include_pad=False)
    coarse = push_pull(mean / pulled.clamp_min(1e-12), (4 * pulled).clamp_max(1))
    filled = resize(coarse, (height, width), "bilinear")
    return known * values + (1 - known) * filled
