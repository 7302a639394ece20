"""Thin-plate splines over a square lattice of control points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.warps.base import RandomRanges, WarpFamily, check_keys, check_numbers, least_squares

MAX_LATTICE = 32
CHUNK_POINTS = 1 << 13  # mapped together, so that the kernels stay in the processor's cache


class ThinPlate(WarpFamily):
    """The smoothest interpolation of offsets at a k×k lattice spanning the output frame.

    theta (B, 2k²): offsets (x, y) of the control points, row by row, from the top left. The map
    takes control point i to itself plus offset i, with the least bending energy; kernel centers
    are the control points, in the output frame.
    Source: Bookstein 1989, "Principal Warps".
    """

    name = "tps"

    def __init__(self, lattice: int) -> None:
        if not isinstance(lattice, int) or not 2 <= lattice <= MAX_LATTICE:
            raise InputError(f"lattice: expected an integer from 2 to {MAX_LATTICE}, got {lattice}")
        self.lattice = lattice
        self.n_params = 2 * lattice**2

    @property
    def control_points(self) -> Tensor:
        """The lattice (k², 2) in float64: normalized (x, y) in the output frame, corners at ±1."""
        axis = _axis(self.lattice)
        return torch.cartesian_prod(axis, axis).flip(-1)

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        offsets = theta.double().unflatten(-1, (-1, 2))
        with torch.autocast(theta.device.type, enabled=False):
            weights = (_solver(self.lattice).to(offsets.device) @ offsets).mT.to(points.dtype)
            moved = [
                chunk + (weights @ _features(chunk, self.lattice)).mT
                for chunk in points.split(CHUNK_POINTS, 1)
            ]
        return torch.cat(moved, 1)

    def bending_energy(self, theta: Tensor) -> Tensor:
        """Return ∫ f_xx² + 2·f_xy² + f_yy² over the plane, of x and y, for theta (B, P): (B,)."""
        offsets = theta.double().unflatten(-1, (-1, 2))
        return (offsets * (self.bending_form(theta.device) @ offsets)).sum((-1, -2)).to(theta.dtype)

    def bending_form(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the quadratic form (k², k²) in float64 of the bending energy, of x or of y."""
        return _bending(self.lattice).to(device)

    def basis(self, points: Tensor) -> Tensor:
        """Return the weights (N, k²) with which points (N, 2) follow each control point."""
        return _features(points, self.lattice).T @ _solver(self.lattice).to(points)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        count = len(p)
        basis = self.basis(p)
        if smoothing:
            values, vectors = torch.linalg.eigh(self.bending_form(p.device))
            root = values.clamp_min(0).sqrt()[:, None] * vectors.mT
            basis = torch.cat((basis, math.sqrt(smoothing * count) * root))
        rows = len(basis) - count
        target = torch.cat((q - p, p.new_zeros(rows, 2)))
        weights = torch.cat((weights, weights.new_ones(rows)))
        return least_squares(basis, target, weights).reshape(-1)

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        """Draw a shift for each control point, up to `jitter` of the shorter spacing in pixels."""
        spacing = min(size) / (self.lattice - 1)
        shift = rng.uniform(-1, 1, (self.lattice**2, 2)) * ranges.jitter * spacing
        return (shift / (size[1] / 2, size[0] / 2)).reshape(-1)

    def describe(self, theta: Tensor) -> dict[str, Any]:
        rows = zip(self.control_points.tolist(), theta.reshape(-1, 2).tolist(), strict=True)
        return {"control_points": [{"at": at, "offset": offset} for at, offset in rows]}

    def parse(self, description: Mapping[str, Any]) -> list[float]:
        check_keys(description, {"control_points"})
        points = description["control_points"]
        if not isinstance(points, list) or len(points) != self.lattice**2:
            raise InputError(f"control_points: expected a list of {self.lattice**2} entries")
        theta: list[float] = []
        for point, expected in zip(points, self.control_points.tolist(), strict=True):
            check_keys(point, {"at", "offset"}, "control_points")
            at = check_numbers(point["at"], 2, "at")
            if math.dist(at, expected) > 1e-6:
                raise InputError(f"at: expected the lattice point {expected}, got {at}")
            theta += check_numbers(point["offset"], 2, "offset")
        return theta


@lru_cache
@torch.inference_mode(False)
def _axis(k: int) -> Tensor:
    return torch.linspace(-1, 1, k, dtype=torch.float64)


def _features(points: Tensor, k: int) -> Tensor:
    """Return the kernels 2·r² log r, then 1, x, y, at points (..., N, 2): (..., K + 3, N)."""
    axis = _axis(k).to(points)[:, None]
    x, y = points.mT.contiguous().split(1, -2)  # each (..., 1, N)
    # A number too small to matter keeps the kernel and its gradient at zero on a center.
    across, down = (x - axis).square(), (y - axis).square() + torch.finfo(points.dtype).tiny
    squared = (down.unsqueeze(-2) + across.unsqueeze(-3)).flatten(-3, -2)  # rows of the lattice
    return torch.cat((squared * squared.log(), torch.ones_like(x), x, y), -2)


@lru_cache
@torch.inference_mode(False)
def _solver(k: int) -> Tensor:
    """Return the matrix (K + 3, K) that maps offsets at the lattice to weights of the features."""
    features = _features(ThinPlate(k).control_points, k)  # (K + 3, K)
    system = torch.zeros(k * k + 3, k * k + 3, dtype=torch.float64)
    system[:, : k * k] = features
    system[: k * k, k * k :] = features[k * k :].T
    return torch.linalg.inv(system)[:, : k * k]


@lru_cache
@torch.inference_mode(False)
def _bending(k: int) -> Tensor:
    """Return the quadratic form (K, K) of the bending energy in the offsets at the lattice."""
    # 8π·wᵀUw with w = 2·weights of the kernels r² log r, where Uw = offsets - affine part and the
    # affine part is orthogonal to w.
    energy = 16 * math.pi * _solver(k)[: k * k]
    return (energy + energy.T) / 2
