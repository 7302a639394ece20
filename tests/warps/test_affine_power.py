"""The power of an affine map: the matrix logarithm, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power
from torch import Tensor

from geostyle.errors import InputError
from geostyle.warps.affine import affine_power, matrix_of, theta_of

SHIFT = [0.3, -0.2]


def affine(matrix: list[list[float]] | np.ndarray, shift: list[float] = SHIFT) -> Tensor:
    columns = torch.tensor([[shift[0]], [shift[1]]], dtype=torch.float64)
    return theta_of(torch.cat((torch.as_tensor(matrix, dtype=torch.float64), columns), 1))[None]


def turn(degrees: float) -> np.ndarray:
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def apply_twice(theta: Tensor) -> Tensor:
    square = torch.cat((matrix_of(theta), torch.tensor([[[0.0, 0.0, 1.0]]]).double()), 1)
    return theta_of((square @ square)[:, :2])


MATRICES = {
    "turned and sheared": [[0.9, -0.5], [0.7, 0.8]],
    "real eigenvalues": [[1.3, 0.2], [0.1, 0.8]],
    "a pure shift": [[1.0, 0.0], [0.0, 1.0]],
    "a shear": [[1.0, 0.4], [0.0, 1.0]],
    "a similarity": 1.4 * turn(-70),
    "nearly a half turn": 0.8 * turn(179.9),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("strength", [-0.7, 0.25, 0.5, 1.0, 1.6, 2.0])
def test_powers_agree_with_scipy(name: str, strength: float) -> None:
    theta = affine(MATRICES[name])
    whole = np.vstack((matrix_of(theta)[0].numpy(), [0, 0, 1]))
    expected = fractional_matrix_power(whole, strength)
    assert np.allclose(matrix_of(affine_power(theta, strength))[0], expected[:2], atol=1e-7)


@pytest.mark.parametrize("degrees", [180.0, 179.999999, -179.999999])
def test_half_turns_turn_half_way_about_their_fixed_point(degrees: float) -> None:
    theta = affine(turn(degrees))
    half = matrix_of(affine_power(theta, 0.5))[0]
    sign = math.copysign(1, degrees)
    assert np.allclose(half[:, :2], turn(sign * 90), atol=1e-6)
    assert torch.allclose(apply_twice(affine_power(theta, 0.5)), theta, atol=1e-6)


@pytest.mark.parametrize("stretch", [[1.0, 2.0], [0.5, 0.5001], [1.0, 1.0 + 1e-13]])
def test_a_stretched_half_turn_has_no_logarithm_but_a_path(stretch: list[float]) -> None:
    theta = affine(turn(180) @ np.diag(stretch))
    middle = matrix_of(affine_power(theta, 0.5))[0].numpy()
    assert np.allclose(np.abs(middle[:, :2]), np.abs(turn(90) @ np.diag(np.sqrt(stretch))))
    assert np.linalg.det(middle[:, :2]) == pytest.approx(math.sqrt(stretch[0] * stretch[1]))
    assert torch.allclose(affine_power(theta, 1 - 1e-12), theta, atol=1e-9)
    assert affine_power(theta, 0.0).abs().max() < 1e-15
    fixed = np.linalg.solve(np.eye(2) - matrix_of(theta)[0, :, :2].numpy(), SHIFT)
    assert np.allclose(middle[:, :2] @ fixed + middle[:, 2], fixed)


def test_the_path_never_turns_singular() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(400, 2, 3))
    matrices[np.linalg.det(matrices[:, :, :2]) < 0, 0] *= -1
    theta = theta_of(torch.from_numpy(matrices))
    determinant = torch.linalg.det(matrix_of(theta)[:, :, :2])
    for strength in (0.0, 0.1, 0.5, 0.9, 1.3, 2.0):
        between = torch.linalg.det(matrix_of(affine_power(theta, strength))[:, :, :2])
        assert torch.allclose(between, determinant**strength, rtol=1e-6)


def test_rows_are_independent_and_types_are_kept() -> None:
    theta = torch.cat([affine(MATRICES["a shear"]), affine(turn(180) * 2), affine(turn(20))])
    together = affine_power(theta, 0.3)
    for i in range(3):
        assert torch.allclose(together[i : i + 1], affine_power(theta[i : i + 1], 0.3))
    assert affine_power(theta.float(), 0.3).dtype == torch.float32
    assert affine_power(theta[:0], 0.3).shape == (0, 6)
    assert torch.equal(affine_power(theta, 1), theta)


@pytest.mark.parametrize("matrix", [[[-1.0, 0], [0, 1]], [[1.0, 1], [1, 1]], [[0.0, 0], [0, 0]]])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_mirrors_and_singular_maps_are_refused(matrix: list[list[float]], strength: float) -> None:
    theta = torch.cat((affine(turn(20)), affine(matrix)))
    with pytest.raises(InputError, match="positive determinant, got (-1|0)"):
        affine_power(theta, strength)
