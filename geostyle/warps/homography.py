"""Homographies: maps between two views of a plane."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from geostyle.coords import Size
from geostyle.warps.affine import Affine, affine_power
from geostyle.warps.base import RandomRanges, WarpFamily, least_squares

LEAST_DEPTH = 0.1  # least w of a point while a homography is fitted


class Homography(WarpFamily):
    """x' = (x + a·x + b·y + c) / w, y' = (y + d·x + e·y + f) / w, w = 1 + g·x + h·y.

    theta = (a, b, c, d, e, f, g, h): the 3×3 matrix minus the identity, row by row.
    """

    name = "homography"
    n_params = 8
    min_points = 4

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        g, h = theta[:, 6:, None].unbind(1)
        x, y = points.unbind(-1)
        return Affine().map(theta[:, :6], points) / (1 + (g * x + h * y))[..., None]

    def scale(self, theta: Tensor, strength: float) -> Tensor:
        """Take A^strength and strength times (g, h), of the map A∘P with P(p) = p / w."""
        affine, perspective = theta.split((6, 2), 1)
        power = affine_power(affine - _shift_times(affine, perspective), strength)
        if strength == 1:
            return theta.clone()
        perspective = strength * perspective
        return torch.cat((power + _shift_times(power, perspective), perspective), 1)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """Fit by least squares, weighted by the last w so that residuals become distances."""
        terms = torch.cat((p, torch.ones_like(p[:, :1])), 1)
        zero = torch.zeros_like(terms)
        x_rows = torch.cat((terms, zero, -q[:, :1] * p), 1)
        y_rows = torch.cat((zero, terms, -q[:, 1:] * p), 1)
        rows, target = torch.cat((x_rows, y_rows)), (q - p).T.reshape(-1, 1)
        depth = terms[:, 2]
        for _ in range(10):
            theta = least_squares(rows, target, (weights / depth.square()).repeat(2))[:, 0]
            # Points near or behind the horizon would outweigh all others, without bound.
            depth = (1 + p @ theta[6:]).clamp_min(LEAST_DEPTH)
        return theta

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        """Draw an affine map that follows a perspective."""
        affine = Affine().draw(rng, size, ranges)
        sides = np.array([size[1], size[0]])
        perspective = rng.uniform(-1, 1, 2) * ranges.perspective * sides / max(size)
        affine[[0, 1]] += affine[2] * perspective
        affine[[3, 4]] += affine[5] * perspective
        return np.concatenate((affine, perspective))


def _shift_times(affine: Tensor, perspective: Tensor) -> Tensor:
    """Return the affine theta (B, 6) that the shift of `affine` adds after a perspective."""
    shift = affine.unflatten(1, (2, 3))[..., 2:] * perspective[:, None]  # (B, 2, 2)
    return pad(shift, (0, 1)).flatten(1)
