"""Maps of second order in x and y."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.warps.affine import Affine, affine_power, matrix_of
from geostyle.warps.base import RandomRanges, WarpFamily, least_squares


class Biquadratic(WarpFamily):
    """p' = A(p) + Q·(x², x·y, y²), with theta = (affine part of six, Q row by row)."""

    name = "biquadratic"
    n_params = 12
    min_points = 6

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        a, b, c, d, e, f = theta[:, 6:, None].unbind(1)
        x, y = points.unbind(-1)
        xx, xy, yy = x * x, x * y, y * y
        bent = torch.stack((a * xx + b * xy + c * yy, d * xx + e * xy + f * yy), -1)
        return Affine().map(theta[:, :6], points) + bent

    def scale(self, theta: Tensor, strength: float) -> Tensor:
        """Take A^strength and strength times the bend A⁻¹Q, of the map A∘(p + A⁻¹Q)."""
        affine, bend = theta.split((6, 6), 1)
        power = affine_power(affine, strength)
        if strength == 1:
            return theta.clone()
        linear, linear_s = (matrix_of(part)[..., :2] for part in (affine, power))
        bend = linear_s @ torch.linalg.solve(linear, strength * bend.unflatten(1, (2, 3)))
        return torch.cat((power, bend.flatten(1)), 1)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """Fit with `smoothing` times the bending energy ∫ f_xx² + 2·f_xy² + f_yy² of the frame."""
        x, y = p.unbind(1)
        terms = torch.stack((x, y, torch.ones_like(x), x * x, x * y, y * y), 1)
        # Over the frame's area of 4 the energy of (a, b, c) is 4·(4a² + 2b² + 4c²).
        energy = p.new_tensor([0.0, 0.0, 0.0, 16.0, 8.0, 16.0]) * smoothing * len(p)
        solution = least_squares(
            torch.cat((terms, energy.sqrt().diag())),
            torch.cat((q - p, p.new_zeros(6, 2))),
            torch.cat((weights, weights.new_ones(6))),
        )
        return torch.cat((solution[:3].T.reshape(-1), solution[3:].T.reshape(-1)))

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        """Draw an affine map and a bend of up to `quadratic` per term, in square pixels."""
        affine = Affine().draw(rng, size, ranges)
        half = np.array([[size[1]], [size[0]]]) / 2
        bend = rng.uniform(-1, 1, (2, 3)) * ranges.quadratic * min(size) / 2 / half
        return np.concatenate((affine, bend.reshape(-1)))
