"""Affine warps, their inverses and powers; theta is in normalized coordinates, (x, y)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.warps.base import RandomRanges, WarpFamily, least_squares


class Affine(WarpFamily):
    """x' = x + a·x + b·y + c, y' = y + d·x + e·y + f, with theta = (a, b, c, d, e, f)."""

    name = "affine"
    n_params = 6
    min_points = 3

    def map(self, theta: Tensor, points: Tensor) -> Tensor:
        linear, shift = theta.unflatten(1, (2, 3)).split((2, 1), 2)
        with torch.autocast(theta.device.type, enabled=False):
            return points + (points @ linear.mT + shift.mT)  # exact where theta is zero

    def scale(self, theta: Tensor, strength: float) -> Tensor:
        """Return theta of the affine power A^strength; see `affine_power`."""
        return affine_power(theta, strength)

    def _solve(self, p: Tensor, q: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        terms = torch.cat((p, torch.ones_like(p[:, :1])), 1)
        return least_squares(terms, q - p, weights).T.reshape(-1)

    def draw(self, rng: np.random.Generator, size: Size, ranges: RandomRanges) -> np.ndarray:
        """Draw R(rotation) · R(-shear) · diag(two scales) · R(shear) and a shift, in pixels."""
        turn, shear = np.radians(rng.uniform(-1, 1, 2) * (ranges.rotation_deg, ranges.shear_deg))
        stretch = np.diag(rng.uniform(*ranges.scale, 2))
        shift = rng.uniform(-1, 1, 2) * ranges.translation * min(size) / 2
        matrix = _rotation(turn) @ _rotation(-shear) @ stretch @ _rotation(shear)
        return from_pixels(np.column_stack((matrix, shift)), size, size)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def matrix_of(theta: Tensor) -> Tensor:
    """Return affine theta (..., 6) as matrices (..., 2, 3) that act on (x, y, 1)."""
    return theta.unflatten(-1, (2, 3)) + torch.eye(2, 3, dtype=theta.dtype, device=theta.device)


def theta_of(matrix: Tensor) -> Tensor:
    """Return affine matrices (..., 2, 3) as theta (..., 6)."""
    return (matrix - torch.eye(2, 3, dtype=matrix.dtype, device=matrix.device)).flatten(-2)


def from_pixels(matrix: np.ndarray, output_size: Size, content_size: Size) -> np.ndarray:
    """Return theta (6,) of a map in pixels measured from the pictures' centers.

    Args:
        matrix: (2, 3), output pixels → content pixels, x right, y down.
        output_size, content_size: (H, W).
    """
    output, content = (np.array([size[1], size[0]]) / 2 for size in (output_size, content_size))
    normalized = matrix * np.array([*output, 1.0]) / content[:, None]
    return (normalized - np.eye(2, 3)).reshape(6)


def to_pixels(theta: Tensor, output_size: Size, content_size: Size) -> Tensor:
    """Return theta (..., 6) as matrices (..., 2, 3) in pixels: the inverse of `from_pixels`."""
    output, content = (
        torch.tensor([size[1], size[0], 2.0], dtype=theta.dtype, device=theta.device) / 2
        for size in (output_size, content_size)
    )
    return matrix_of(theta) * content[:2, None] / output


def inverse(theta: Tensor) -> Tensor:
    """Return theta (..., 6) of the inverse affine map."""
    linear, shift = matrix_of(theta).split((2, 1), -1)
    solved = torch.linalg.inv(linear)
    return theta_of(torch.cat((solved, -solved @ shift), -1))


def affine_power(theta: Tensor, strength: float) -> Tensor:
    """Return theta (B, 6) of A^strength, by the matrix logarithm, in float64.

    A matrix with two negative real eigenvalues (a half turn, stretched or not) has no real
    logarithm; there the powers of the rotation and of the stretch of the polar decomposition are
    taken separately, about the same fixed point. Either way determinants stay positive.

    Raises: InputError unless every determinant is positive (mirroring is a choice made before).
    """
    matrix = matrix_of(theta.double())
    linear, shift = matrix[..., :2], matrix[..., 2:]
    determinant = torch.linalg.det(linear)
    if not bool((determinant > 0).all()):
        raise InputError(
            "theta: expected an affine part of positive determinant, "
            f"got {determinant.min().item():.3g}"
        )
    if strength == 1:
        return theta.clone()
    eye = torch.eye(2, dtype=linear.dtype, device=linear.device).expand_as(linear)

    # With M = m·I + N and N² = δ·I, log M = ½ log(det)·I + (φ/ω)·N, where ω² = |δ| and m ± ω (or
    # m ± iω) are the eigenvalues.
    m = (linear[..., 0, 0] + linear[..., 1, 1]) / 2
    half_gap = (linear[..., 0, 0] - linear[..., 1, 1]) / 2
    delta = half_gap.square() + linear[..., 0, 1] * linear[..., 1, 0]  # free of cancellation
    omega = delta.abs().sqrt()
    angle = torch.where(delta < 0, torch.atan2(omega, m), torch.atanh(omega / m))
    per_n = torch.where(omega > 0, angle / omega, 1 / m)
    log = (determinant.log() / 2 - per_n * m)[..., None, None] * eye + (
        per_n[..., None, None] * linear
    )
    half_turn = ((m < 0) & (delta >= 0))[..., None, None]
    log = log.where(~half_turn, torch.zeros_like(log))
    # exp [[L, I], [0, 0]] holds the integral of exp(uL) over u in [0, 1], which turns the
    # generator's shift into the map's.
    block = torch.nn.functional.pad(torch.cat((log, eye), -1), (0, 0, 0, 2))
    drift = torch.linalg.solve(torch.linalg.matrix_exp(block)[..., :2, 2:], shift)
    generator = torch.nn.functional.pad(torch.cat((log, drift), -1), (0, 0, 0, 1))
    power = torch.linalg.matrix_exp(strength * generator)[..., :2, :]

    if bool(half_turn.any()):
        turn = torch.atan2(linear[..., 1, 0] - linear[..., 0, 1], 2 * m)
        values, vectors = torch.linalg.eigh(_turns(turn).mT @ linear)
        stretch = vectors @ torch.diag_embed(values.abs() ** strength) @ vectors.mT
        linear_s = _turns(strength * turn) @ stretch
        safe = linear.where(half_turn, -eye)
        shift_s = (eye - linear_s) @ torch.linalg.solve(eye - safe, shift)
        power = torch.cat((linear_s, shift_s), -1).where(half_turn, power)
    return theta_of(power).to(theta.dtype)


def _turns(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos, -sin, sin, cos), -1).unflatten(-1, (2, 2))
