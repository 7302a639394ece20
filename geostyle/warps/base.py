"""Base class of the families of warps, and helpers that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size, base_grid
from geostyle.errors import InputError


@dataclass(frozen=True)
class RandomRanges:
    """Ranges of random warps; angles in degrees, lengths relative to the picture.

    Everything is drawn uniformly in square pixels, so that a rotation does not shear the picture.
    Source: the ranges of CNNGeo (Rocco et al. 2017).
    Differs: the spline's jitter is relative to the lattice's spacing (±0.4 of it, which is CNNGeo's
    ±0.4 for its 3×3 lattice), so that a finer lattice does not fold more often.
    """

    rotation_deg: float = 15.0  # ± rotation
    shear_deg: float = 30.0  # ± direction of the axes along which the two scales act
    scale: tuple[float, float] = (0.75, 1.25)  # both axes' factors, output → content
    translation: float = 0.25  # ± shift per axis, in half of the shorter side
    jitter: float = 0.4  # ± offset of a control point per axis, in the shorter lattice spacing
    perspective: float = 0.2  # ± both perspective terms
    quadratic: float = 0.1  # ± each second-order coefficient, in half of the shorter side
    min_inside: float = 0.5  # least share of output pixels that lie inside the content
    min_subject: float = 0.8  # least share of the content's central quarter that stays visible


class WarpFamily(ABC):
    """A family of backward maps, output frame → content frame, not clamped.

    Both frames are normalized to [-1, 1]², x right, y down, with half-pixel centers
    (`align_corners=False`); points are (x, y). `theta` (B, P) holds offsets from the identity:
    zeros map every point to itself exactly.

    Args: `lattice`, k of the k×k control points of the splines; other families ignore it.
    """

    name: str
    n_params: int
    min_points: int = 1  # least number of matches that determine theta

    def __init__(self, lattice: int = 4) -> None:
        del lattice

    @abstractmethod
    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        """Map output points to content points.

        Args:
            theta: (B, P).
            points: (B, N, 2) or (1, N, 2), normalized (x, y).

        Returns: (B, N, 2), differentiable in both.
        """

    def map_points(self, theta: Tensor, points: Tensor) -> Tensor:
        """Map points (N, 2) by one theta (P,): (N, 2)."""
        return self.map(theta[None], points[None])[0]

    @abstractmethod
    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """Fit theta (P,), which maps p (N, 2) to q (N, 2), in float64; weights (N,) of mean one."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        """Draw theta (P,) in float64 for pictures of `size` (H, W); it may fold."""

    def scale(self, theta: Tensor, strength: float) -> Tensor:
        """Return theta (B, P) at another strength: 0 is no warp, 1 theta, above 1 exaggerates."""
        return theta * strength

    def grid(self, theta: Tensor, size: Size) -> Tensor:
        """Map every pixel center of an output picture of `size` (H, W): (B, H, W, 2)."""
        points = base_grid(size, dtype=theta.dtype, device=theta.device)
        return self.map(theta, points.reshape(1, -1, 2)).reshape(-1, *points.shape)

    def parts(self) -> list[tuple[WarpFamily, slice]]:
        """Return the families that this one is composed of, with their columns of theta."""
        return [(self, slice(0, self.n_params))]

    def fit(
        self,
        output_points: Tensor,
        content_points: Tensor,
        weights: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> Tensor:
        """Fit theta to matches by weighted least squares, solved in float64.

        Minimizes the weighted mean of |map(output) - content|² in the content frame plus
        `smoothing` times the bending energy (families that cannot bend ignore it). Where the
        matches do not determine theta, the smallest one is taken.

        Args:
            output_points, content_points: (N, 2), normalized (x, y).
            weights: (N,), at least 0; default one.
            smoothing: at least 0.

        Returns: theta (P,) in the points' dtype.
        Raises: InputError on wrong shapes, too few matches, or values that are not finite.
        """
        shape = tuple(output_points.shape)
        if len(shape) != 2 or shape[1] != 2 or tuple(content_points.shape) != shape:
            raise InputError(
                "matches: expected two (N, 2) tensors, "
                f"got {shape} and {tuple(content_points.shape)}"
            )
        if weights is None:
            weights = output_points.new_ones(shape[0])
        if tuple(weights.shape) != shape[:1]:
            raise InputError(f"weights: expected ({shape[0]},), got {tuple(weights.shape)}")
        p, q, w = (values.detach().double() for values in (output_points, content_points, weights))
        if not all(bool(values.isfinite().all()) for values in (p, q, w)) or bool((w < 0).any()):
            raise InputError("matches: expected finite points and weights of at least 0")
        if int((w > 0).sum()) < self.min_points:
            raise InputError(
                f"matches: expected at least {self.min_points} with weight for {self.name}, "
                f"got {int((w > 0).sum())}"
            )
        if not 0 <= smoothing < float("inf"):
            raise InputError(f"smoothing: expected a number of at least 0, got {smoothing}")
        return self._solve(p, q, w / w.mean(), smoothing).to(output_points.dtype)

    def describe(self, theta: Tensor) -> dict[str, Any]:
        """Return theta (P,) as JSON types, for a file that can be edited by hand."""
        return {self.name: theta.tolist()}

    def parse(self, description: Mapping[str, Any]) -> list[float]:
        """Read a description that `describe` returned.

        Raises: InputError where a key is missing, unknown or holds something else.
        """
        check_keys(description, {self.name})
        return check_numbers(description[self.name], self.n_params, self.name)


def least_squares(matrix: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the smallest x (P, D) that minimizes Σ weights · |matrix @ x - target|²."""
    root = weights.sqrt()[:, None]
    return torch.linalg.lstsq(
        (root * matrix).cpu(), (root * target).cpu(), driver="gelsd"
    ).solution.to(matrix.device)


def check_keys(description: object, expected: set[str], name: str = "theta") -> None:
    """Raise InputError unless `description` is a mapping with exactly the `expected` keys."""
    if not isinstance(description, Mapping):
        raise InputError(f"{name}: expected a mapping, got {type(description).__name__}")
    if set(description) != expected:
        raise InputError(f"{name}: expected keys {sorted(expected)}, got {sorted(description)}")


def check_numbers(values: object, count: int, name: str) -> list[float]:
    """Return `values` if it is a list of `count` finite numbers; raise InputError otherwise."""
    if not isinstance(values, list) or len(values) != count:
        got = f"{len(values)} of them" if isinstance(values, list) else type(values).__name__
        raise InputError(f"{name}: expected a list of {count} numbers, got {got}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name}: expected numbers, got {value!r:.40}")
        if not abs(value) <= 1e6:
            raise InputError(f"{name}: expected numbers within ±1e6, got {value!r:.40}")
    return [float(value) for value in values]
