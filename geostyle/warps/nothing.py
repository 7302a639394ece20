"""The family without parameters."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from geostyle.coords import Size
from geostyle.warps.base import RandomRanges, WarpFamily


class NoWarp(WarpFamily):
    """The family without parameters: every point stays where it is."""

    name = "none"
    n_params = 0
    min_points = 0

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        return points.expand(theta.shape[0], -1, -1)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        return p.new_zeros(0)

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        return np.zeros(0)
