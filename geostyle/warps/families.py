"""Families of warps beyond the affine map and the spline, and all families by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.warps.affine import Affine, affine_power, inverse, matrix_of
from geostyle.warps.base import RandomRanges, WarpFamily, check_keys, least_squares
from geostyle.warps.thin_plate import ThinPlate

LEAST_DEPTH = 0.1  # least w of a point while a homography is fitted


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


# A new family is one class, and one line here.
FAMILIES: dict[str, Callable[[int], WarpFamily]] = {
    "none": lambda lattice: NoWarp(),
    "affine": lambda lattice: Affine(),
    "tps": ThinPlate,
    "affine+tps": AffineThinPlate,
    "homography": lambda lattice: Homography(),
    "biquadratic": lambda lattice: Biquadratic(),
}


def make_family(name: str, lattice: int = 4) -> WarpFamily:
    """Return the family called `name`; `lattice` is k of the k×k control points of the splines.

    Raises: InputError for an unknown name, or a lattice out of range.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](lattice)
