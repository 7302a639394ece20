"""A spline and an affine map, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.warps.affine import Affine, inverse
from geostyle.warps.base import RandomRanges, WarpFamily, check_keys
from geostyle.warps.thin_plate import ThinPlate


class AffineThinPlate(WarpFamily):
    """A thin-plate spline T, then an affine map A: output point → T → A → content point.

    theta (B, 6 + 2k²): the affine part, then the spline's offsets. Strength takes the power of A
    and scales the offsets of T.
    """

    name = "affine+tps"
    min_points = 3

    def __init__(self, lattice: int) -> None:
        self.affine = Affine()
        self.spline = ThinPlate(lattice)
        self.lattice = lattice
        self.n_params = self.affine.n_params + self.spline.n_params

    def parts(self) -> list[tuple[WarpFamily, slice]]:
        return [(self.affine, slice(0, 6)), (self.spline, slice(6, self.n_params))]

    @property
    def control_points(self) -> Tensor:
        """The spline's lattice (k², 2) in float64, normalized in the output frame."""
        return self.spline.control_points

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        return self.affine.map(theta[:, :6], self.spline.map(theta[:, 6:], points))

    def scale(self, theta: Tensor, strength: float) -> Tensor:
        """Take A^strength (see `affine_power`), and strength times the spline's offsets."""
        parts = [part.scale(theta[:, columns], strength) for part, columns in self.parts()]
        return torch.cat(parts, 1)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """Fit the affine map, then the spline to the residual, carried back to the output."""
        affine = self.affine._solve(p, q, weights, smoothing)
        back = self.affine.map_points(inverse(affine), q)
        return torch.cat((affine, self.spline._solve(p, back, weights, smoothing)))

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        return np.concatenate([part.draw(rng, size, ranges) for part, _ in self.parts()])

    def describe(self, theta: Tensor) -> dict[str, Any]:
        return self.affine.describe(theta[:6]) | self.spline.describe(theta[6:])

    def parse(self, description: Mapping[str, Any]) -> list[float]:
        check_keys(description, {"affine", "control_points"})
        affine, spline = ({key: description[key]} for key in ("affine", "control_points"))
        return self.affine.parse(affine) + self.spline.parse(spline)
