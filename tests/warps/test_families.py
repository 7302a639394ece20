"""What every family must offer, and each one against an independent implementation."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from skimage.transform import EuclideanTransform, PolynomialTransform
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.warps import FAMILIES, RandomRanges, WarpFamily, make_family, sampling_grid
from geostyle.warps.affine import from_pixels, inverse, matrix_of, theta_of, to_pixels
from geostyle.warps.thin_plate import ThinPlate

WARPING = [name for name in FAMILIES if name != "none"]


def small_theta(family: WarpFamily, seed: int = 0, batch: int = 1, size: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(batch, family.n_params, generator=generator, dtype=torch.float64)


def some_points(count: int, seed: int = 0, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, count, 2, generator=generator, dtype=torch.float64)
    return 2.4 * points - 1.2


def test_names_and_sizes() -> None:
    counts = {name: make_family(name).n_params for name in FAMILIES}
    assert counts == {
        **{"none": 0, "affine": 6, "tps": 32, "affine+tps": 38},
        **{"homography": 8, "biquadratic": 12},
    }
    assert all(make_family(name).name == name for name in FAMILIES)
    assert make_family("tps", 3).n_params == 18 and make_family("affine+tps", 5).n_params == 56
    with pytest.raises(InputError, match="family: expected one of none, affine"):
        make_family("rigid")
    for lattice in (1, 33, 2.5, "4"):
        with pytest.raises(InputError, match="lattice: expected"):
            make_family("tps", lattice)  # type: ignore[arg-type]
    assert [make_family("tps", lattice).n_params for lattice in (2, 32)] == [8, 2048]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_theta_is_the_base_grid_exactly(name: str, dtype: torch.dtype) -> None:
    family = make_family(name)
    zero = torch.zeros(2, family.n_params, dtype=dtype)
    for size in ((31, 50), (128, 97)):
        grid = sampling_grid(family, zero, size)
        assert grid.dtype == dtype
        assert torch.equal(grid, base_grid(size, dtype=dtype).expand(2, -1, -1, -1))


@pytest.mark.parametrize("name", FAMILIES)
def test_strength(name: str) -> None:
    family = make_family(name)
    theta = small_theta(family, batch=3)
    assert torch.equal(family.scale(theta, 1.0), theta)
    assert torch.equal(family.scale(theta, 0.0), torch.zeros_like(theta))
    assert torch.equal(family.scale(theta.float(), 0.0), torch.zeros_like(theta).float())
    assert torch.allclose(family.scale(family.scale(theta, 0.4), 2.5), theta, atol=1e-12)


@pytest.mark.parametrize("name", WARPING)
def test_gradients_of_the_map(name: str) -> None:
    family = make_family(name, 3)
    theta = small_theta(family, batch=2).requires_grad_()
    points = some_points(5, batch=2).requires_grad_()
    assert torch.autograd.gradcheck(family.map, (theta, points))


@pytest.mark.parametrize("name", FAMILIES)
def test_points_of_one_batch_serve_many_thetas(name: str) -> None:
    family = make_family(name)
    theta, points = small_theta(family, batch=3), some_points(7)
    together = family.map(theta, points)
    assert together.shape == (3, 7, 2)
    for i in range(3):
        assert torch.allclose(together[i : i + 1], family.map(theta[i : i + 1], points))


@pytest.mark.parametrize("name", FAMILIES)
def test_grids_of_two_sizes_are_the_same_map(name: str) -> None:
    family = make_family(name)
    theta = small_theta(family).float()
    coarse, fine = (sampling_grid(family, theta, size) for size in ((24, 32), (72, 96)))
    assert torch.allclose(fine[:, 1::3, 1::3], coarse, atol=2e-6)  # every third center is shared


@pytest.mark.parametrize("name", WARPING)
def test_half_precision_costs_nothing(name: str) -> None:
    family = make_family(name)
    theta = small_theta(family).half()
    grid = sampling_grid(family, theta, (20, 30))
    assert torch.equal(grid, sampling_grid(family, theta.float(), (20, 30)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(grid, sampling_grid(family, theta, (20, 30)))


def test_sampling_grid_checks_theta() -> None:
    family = make_family("affine")
    for bad in (torch.zeros(6), torch.zeros(1, 5), torch.zeros(1, 6).long()):
        with pytest.raises(InputError, match=r"theta: expected a floating \(B, 6\) tensor"):
            sampling_grid(family, bad, (4, 4))
    with pytest.raises(InputError, match="theta: expected finite"):
        sampling_grid(family, torch.full((1, 6), torch.nan), (4, 4))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("smoothing", [0.0, 1e-12])
def test_fit_recovers_its_own_map(name: str, smoothing: float) -> None:
    family = make_family(name, 3)
    theta, points = small_theta(family), some_points(60)
    mapped = family.map(theta, points)
    weights = torch.rand(60, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    fitted = family.fit(points[0], mapped[0], weights, smoothing)
    assert fitted.shape == (family.n_params,)
    assert torch.allclose(family.map(fitted[None], points), mapped, atol=1e-6)
    assert family.fit(points[0].float(), mapped[0].float()).dtype == torch.float32


@pytest.mark.parametrize("name", WARPING)
def test_fit_is_weighted(name: str) -> None:
    """A weight of two is the match given twice, a weight of zero is no match."""
    family = make_family(name, 2)
    p = some_points(20, seed=1)[0]
    q = p + 0.1 * some_points(20, seed=2)[0]
    weights = torch.ones(20, dtype=torch.float64)
    weights[3], weights[5] = 2.0, 0.0
    keep = [i for i in range(20) if i != 5] + [3]
    weighted = family.fit(p, q, weights, smoothing=0.01)
    repeated = family.fit(p[keep], q[keep], smoothing=0.01)
    assert torch.allclose(weighted, repeated, atol=1e-8)
    assert torch.allclose(family.fit(p, q, 7 * weights, smoothing=0.01), weighted, atol=1e-8)


@pytest.mark.parametrize("name", ["affine", "tps", "biquadratic"])
def test_fit_minimizes_what_it_says(name: str) -> None:
    family = make_family(name, 3)
    p = some_points(30, seed=1)[0]
    q = p + 0.1 * some_points(30, seed=2)[0]
    weights = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    smoothing = 0.02
    theta = family.fit(p, q, weights, smoothing)[None].requires_grad_()
    residual = (family.map(theta, p[None])[0] - q).square().sum(-1)
    energy = torch.zeros((), dtype=torch.float64)
    if isinstance(family, ThinPlate):
        energy = family.bending_energy(theta)[0]
    elif name == "biquadratic":
        bend = theta[0, 6:].reshape(2, 3)  # f_xx = 2a, f_xy = b, f_yy = 2c, over an area of 4
        energy = 4 * (4 * bend[:, 0] ** 2 + 2 * bend[:, 1] ** 2 + 4 * bend[:, 2] ** 2).sum()
    loss = (weights * residual).sum() / weights.sum() + smoothing * energy
    (slope,) = torch.autograd.grad(loss, theta)
    assert slope.abs().max() < 1e-10


def test_fit_refuses_what_it_cannot_use() -> None:
    family, p = make_family("homography"), some_points(5)[0]
    for points, other in ((p, p[:4]), (p[None], p[None]), (p[:, :1], p[:, :1])):
        with pytest.raises(InputError, match="matches: expected two"):
            family.fit(points, other)
    with pytest.raises(InputError, match=r"weights: expected \(5,\), got \(4,\)"):
        family.fit(p, p, torch.ones(4))
    with pytest.raises(InputError, match="at least 4 with weight for homography, got 3"):
        family.fit(p, p, torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    assert family.fit(p, p, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])).abs().max() < 1e-9
    for weights in (torch.tensor([1.0, 1, 1, 1, -1]), torch.full((5,), torch.inf)):
        with pytest.raises(InputError, match="finite points and weights"):
            family.fit(p, p, weights)
    with pytest.raises(InputError, match="finite points and weights"):
        family.fit(p, p * torch.nan)
    for smoothing in (-1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="smoothing: expected"):
            family.fit(p, p, smoothing=smoothing)
    needs = {name: make_family(name).min_points for name in FAMILIES}
    assert needs == {
        **{"none": 0, "affine": 3, "tps": 1, "affine+tps": 3},
        **{"homography": 4, "biquadratic": 6},
    }


def test_too_few_matches_for_a_spline_take_the_smallest_theta() -> None:
    p = torch.tensor([[-1.0, -1.0]], dtype=torch.float64)
    theta = make_family("tps", 3).fit(p, p + 0.2)
    assert torch.allclose(theta[:2], torch.full((2,), 0.2, dtype=torch.float64))
    assert theta[2:].abs().max() < 1e-12


# Affine


def test_affine_convention() -> None:
    theta = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], dtype=torch.float64)
    points = some_points(4)
    x, y = points.unbind(-1)
    expected = torch.stack((1.1 * x + 0.2 * y + 0.3, 0.4 * x + 1.5 * y + 0.6), -1)
    assert torch.allclose(make_family("affine").map(theta, points), expected)
    matrix = torch.tensor([[1.1, 0.2, 0.3], [0.4, 1.5, 0.6]], dtype=torch.float64)
    assert torch.equal(matrix_of(theta)[0], matrix)
    assert torch.allclose(theta_of(matrix_of(theta)), theta)
    back = make_family("affine").map(inverse(theta), expected)
    assert torch.allclose(back, points)


def test_affine_in_square_pixels() -> None:
    """A turn of a wide picture about its center, made by scikit-image on pixels."""
    output, content = (40, 100), (60, 80)
    turn = EuclideanTransform(rotation=0.3, translation=(5, -7)).params[:2]
    theta = torch.from_numpy(from_pixels(turn, output, content))
    pixels = np.array([[12.0, 3.0], [-20.0, 9.0]])
    mapped = make_family("affine").map(theta[None], torch.from_numpy(pixels / (50, 20))[None])
    assert np.allclose(mapped[0].numpy() * (40, 30), pixels @ turn[:, :2].T + turn[:, 2])
    assert np.allclose(to_pixels(theta, output, content).numpy(), turn)


def test_matrices_keep_their_type_and_device() -> None:
    for dtype in (torch.float16, torch.float32, torch.float64):
        theta = torch.zeros(6, dtype=dtype)
        assert theta_of(matrix_of(theta)).dtype == to_pixels(theta, (4, 5), (6, 7)).dtype == dtype
        assert ThinPlate(2).bending_energy(torch.zeros(1, 8, dtype=dtype)).dtype == dtype
    there = torch.zeros(6, device="meta")
    assert to_pixels(matrix_of(there).flatten(), (4, 5), (6, 7)).device.type == "meta"
    assert theta_of(matrix_of(there)).device.type == "meta"


@pytest.mark.parametrize("name", ["homography", "biquadratic"])
def test_random_terms_fill_their_ranges_both_ways(name: str) -> None:
    """Terms beyond the affine ones, for a picture of 90×120, in square pixels."""
    rng, ranges = np.random.default_rng(0), RandomRanges()
    drawn = np.array([make_family(name).draw(rng, (90, 120), ranges)[6:] for _ in range(300)])
    if name == "homography":
        limits = ranges.perspective * np.array([1.0, 90 / 120])
    else:
        limits = ranges.quadratic * np.array([45 / 60] * 3 + [1.0] * 3)
    assert drawn.shape[1] == len(limits)
    for extreme, sign in ((drawn.max(0), 1), (drawn.min(0), -1)):
        assert (sign * extreme <= limits).all() and (sign * extreme > 0.97 * limits).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(len(limits))).max() < 0.2


# Thin-plate splines


def test_spline_agrees_with_scipy() -> None:
    for lattice in (2, 3, 4, 7):
        family = ThinPlate(lattice)
        theta = small_theta(family, size=0.2)
        at, offsets = family.control_points, theta.reshape(-1, 2)
        points = some_points(300)
        reference = RBFInterpolator(at, at + offsets, kernel="thin_plate_spline", degree=1)
        assert np.allclose(family.map(theta, points)[0], reference(points[0]), atol=1e-10)
        single = family.map(theta.float(), points.float())[0]
        assert np.allclose(single, reference(points[0]), atol=2e-5)


def test_spline_interpolates_its_lattice_row_by_row() -> None:
    family = ThinPlate(3)
    at = family.control_points
    assert at[:4].tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 0]] and at.dtype == torch.float64
    theta = small_theta(family)
    assert torch.allclose(family.map(theta, at[None])[0], at + theta.reshape(-1, 2), atol=1e-12)


def test_spline_has_gradients_at_its_centers() -> None:
    family = ThinPlate(3)
    for dtype in (torch.float32, torch.float64):
        points = family.control_points[None].to(dtype).requires_grad_()
        theta = small_theta(family).to(dtype)
        (slope,) = torch.autograd.grad(family.map(theta, points).sum(), points)
        step = 1e-3
        moved = points.detach().double() + torch.tensor([step, 0.0])
        back = points.detach().double() - torch.tensor([step, 0.0])
        rise = (family.map(theta.double(), moved) - family.map(theta.double(), back)).sum(-1)
        assert torch.allclose(slope[..., 0].double(), rise / (2 * step), atol=1e-3)


def test_splines_larger_than_a_chunk() -> None:
    family = ThinPlate(4)
    theta, points = small_theta(family), some_points(20_000)
    whole = family.map(theta, points)
    assert whole.shape == points.shape
    assert torch.allclose(whole[:, -5:], family.map(theta, points[:, -5:]))
    assert torch.allclose(whole[:, 8190:8195], family.map(theta, points[:, 8190:8195]))


def test_spline_offsets_of_an_affine_map_reproduce_it_and_do_not_bend() -> None:
    family, affine = ThinPlate(4), torch.tensor([[0.1, -0.2, 0.3, 0.2, 0.1, -0.1]]).double()
    at = family.control_points[None]
    theta = (make_family("affine").map(affine, at) - at).reshape(1, -1)
    points = some_points(50)
    expected = make_family("affine").map(affine, points)
    assert torch.allclose(family.map(theta, points), expected, atol=1e-12)
    assert family.bending_energy(theta).abs().max() < 1e-12


def test_bending_energy_is_the_integral_of_squared_second_derivatives() -> None:
    family = ThinPlate(2)  # a saddle: opposite corners up, the others down
    theta = torch.tensor([[0.1, 0, -0.1, 0, -0.1, 0, 0.1, 0]], dtype=torch.float64)
    points = torch.linspace(-20, 20, 801, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(points, points, indexing="xy"), -1).reshape(1, -1, 2)
    bent = (family.map(theta, grid) - grid)[0, :, 0].reshape(801, 801).numpy()
    step = 40 / 800
    dy, dx = np.gradient(bent, step)
    (dyy, dyx), dxx = np.gradient(dy, step), np.gradient(dx, step, axis=1)
    integral = (dxx**2 + 2 * dyx**2 + dyy**2).sum() * step**2
    assert family.bending_energy(theta).item() == pytest.approx(integral, rel=0.02)
    twice = theta.reshape(1, -1, 2).repeat(2, 1, 1)
    twice[1, :, 1] = 2 * twice[1, :, 0]
    energies = family.bending_energy(twice.reshape(2, -1))
    assert energies[1].item() == pytest.approx(5 * energies[0].item())


def test_smoothing_trades_the_matches_for_stiffness() -> None:
    family = ThinPlate(4)
    p = some_points(80, seed=1)[0]
    q = p + 0.05 * some_points(80, seed=2)[0]
    energies, errors = [], []
    for smoothing in (0.0, 1e-4, 1e-2, 1e4):
        theta = family.fit(p, q, smoothing=smoothing)[None]
        energies.append(family.bending_energy(theta).item())
        errors.append((family.map(theta, p[None])[0] - q).square().sum().item())
    assert energies == sorted(energies, reverse=True) and errors == sorted(errors)
    affine = make_family("affine").fit(p, q)[None]  # what is left when nothing may bend
    stiff = family.map(family.fit(p, q, smoothing=1e4)[None], p[None])
    assert torch.allclose(stiff, make_family("affine").map(affine, p[None]), atol=1e-6)


# The composition


def test_composite_is_the_spline_then_the_affine_map() -> None:
    family = make_family("affine+tps", 3)
    theta, points = small_theta(family), some_points(40)
    expected = make_family("affine").map(
        theta[:, :6], make_family("tps", 3).map(theta[:, 6:], points)
    )
    assert torch.equal(family.map(theta, points), expected)
    (affine, first), (spline, second) = family.parts()
    assert (affine.name, first, spline.name, second) == (
        *("affine", slice(0, 6)),
        *("tps", slice(6, 24)),
    )
    assert torch.equal(family.control_points, ThinPlate(3).control_points)  # type: ignore[attr-defined]


def test_composite_strength_acts_on_each_part() -> None:
    family = make_family("affine+tps", 3)
    theta = small_theta(family)
    scaled = family.scale(theta, 1.7)
    assert torch.equal(scaled[:, :6], make_family("affine").scale(theta[:, :6], 1.7))
    assert torch.equal(scaled[:, 6:], 1.7 * theta[:, 6:])


def test_composite_fit_leaves_the_affine_share_to_the_affine_part() -> None:
    family = make_family("affine+tps", 3)
    p = some_points(80, seed=1)[0]
    q = 1.4 * p + 0.1 * some_points(80, seed=2)[0]
    weights = torch.rand(80, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    theta = family.fit(p, q, weights, smoothing=0.01)
    affine = make_family("affine").fit(p, q, weights)
    back = make_family("affine").map(inverse(affine)[None], q[None])[0]
    spline = make_family("tps", 3).fit(p, back, weights, smoothing=0.01)
    assert torch.allclose(theta, torch.cat((affine, spline)), atol=1e-12)


# Homographies


def test_homography_agrees_with_opencv() -> None:
    family = make_family("homography")
    source = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float32)
    target = np.array([[-0.9, -1.1], [0.8, -0.7], [1.2, 0.9], [-1, 1.3]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    theta = family.fit(torch.from_numpy(source).double(), torch.from_numpy(target).double())
    assert np.allclose(theta.numpy(), (matrix - np.eye(3)).reshape(9)[:8], atol=1e-6)
    points = some_points(30)
    expected = cv2.perspectiveTransform(points.numpy(), matrix)
    assert np.allclose(family.map(theta[None], points).numpy(), expected, atol=1e-6)


def test_homography_fits_distances_like_opencv() -> None:
    """More matches than needed, with noise: the algebraic error alone would be a third off."""
    family = make_family("homography")
    theta = torch.tensor([[0.1, 0.05, 0.1, -0.1, 0.2, -0.1, 0.45, -0.4]], dtype=torch.float64)
    p = (some_points(60) / 1.2)[0]
    q = family.map(theta, p[None])[0] + 0.02 * some_points(60, seed=9)[0]
    matrix, _ = cv2.findHomography(p.numpy(), q.numpy(), 0)

    def error(values: Tensor) -> float:
        return (family.map(values[None], p[None])[0] - q).square().sum().item()

    least = error(torch.from_numpy((matrix / matrix[2, 2] - np.eye(3)).reshape(9)[:8]))
    assert error(family.fit(p, q)) < 1.02 * least


def test_a_homography_of_points_on_the_horizon_is_finite() -> None:
    """Matches whose least-squares map sends some of them to infinity, where weights once did."""
    rows = [
        (0.05, 0.9375, -0.015315, 0.0, 0.844533), (0.15, 0.9375, 0.474748, 0.0, 0.58034),
        (0.25, 0.9375, 0.604664, 0.0, 0.597688), (0.35, 0.9375, 0.403081, 0.0, 0.831925),
        (0.45, 0.9375, 0.181304, 0.0, 1.173002), (0.55, 0.9375, 0.164344, 0.0, 4.778691),
        (-0.625, -0.625, -0.123309, 0.051824, 3.809192),
    ]  # fmt: skip
    p, q, w = torch.tensor(rows, dtype=torch.float64).split((2, 2, 1), 1)
    theta = make_family("homography").fit(p, q, w[:, 0])
    assert theta.isfinite().all() and theta.abs().max() < 1e3


def test_homography_strength_takes_affine_part_and_perspective_apart() -> None:
    """A∘P: the affine part at strength s is the affine power, the perspective s times (g, h)."""
    affine = torch.tensor([[0.2, -0.3, 0.1, 0.4, 0.1, -0.2]], dtype=torch.float64)
    perspective = torch.tensor([0.2, -0.1], dtype=torch.float64)
    points = some_points(20) / 1.2

    def compose(strength: float) -> Tensor:
        depth = 1 + strength * (points @ perspective)[..., None]
        family = make_family("affine")
        return family.map(family.scale(affine, strength), points / depth)

    family = make_family("homography")
    theta = family.fit(points[0], compose(1.0)[0])[None]
    for strength in (-0.5, 0.3, 1.5):
        mapped = family.map(family.scale(theta, strength), points)
        assert torch.allclose(mapped, compose(strength), atol=1e-9)


# Bi-quadratic warps


def test_biquadratic_agrees_with_scikit_image() -> None:
    family = make_family("biquadratic")
    theta = small_theta(family, size=0.1)
    a, b, c, d, e, f = theta[0, :6].tolist()
    (xx, xy, yy), (uu, uv, vv) = theta[0, 6:].reshape(2, 3).tolist()
    # Its order of terms: 1, x, y, x², x·y, y².
    reference = PolynomialTransform(
        np.array([[c, 1 + a, b, xx, xy, yy], [f, d, 1 + e, uu, uv, vv]])
    )
    points = some_points(30)
    assert np.allclose(family.map(theta, points)[0].numpy(), reference(points[0].numpy()))


def test_biquadratic_strength_scales_the_bend_before_the_affine_part() -> None:
    affine = torch.tensor([[0.2, -0.3, 0.1, 0.4, 0.1, -0.2]], dtype=torch.float64)
    bend = torch.tensor([[0.05, -0.1, 0.08], [0.02, 0.06, -0.04]], dtype=torch.float64)
    points = some_points(20)

    def compose(strength: float) -> Tensor:
        x, y = points.unbind(-1)
        bent = points + strength * torch.stack((x * x, x * y, y * y), -1) @ bend.T
        family = make_family("affine")
        return family.map(family.scale(affine, strength), bent)

    family = make_family("biquadratic")
    theta = family.fit(points[0], compose(1.0)[0])[None]
    for strength in (-0.5, 0.3, 1.5):
        mapped = family.map(family.scale(theta, strength), points)
        assert torch.allclose(mapped, compose(strength), atol=1e-9)
