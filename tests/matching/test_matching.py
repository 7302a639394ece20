"""Estimators on pictures whose warp is known: what they find, and what bounds and masks do."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.coords import base_grid, inside_mask, resize
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import load_picture
from geostyle.matching import GeometrySettings, Guide, describe, estimate_from, estimate_warp
from geostyle.matching.estimators import closer
from geostyle.matching.fitting import bounded, exceeds, tilt_deg
from geostyle.matching.frame import Frame
from geostyle.warps import WarpParameters, make_family, warp_image
from geostyle.warps.affine import Affine, from_pixels, to_pixels

SIZE = (176, 240)


@pytest.fixture(scope="module")
def coffee() -> Tensor:
    path = resources.files("geostyle") / "assets" / "pictures" / "content" / "coffee.jpg"
    return resize(load_picture(Path(str(path))).tensor, SIZE).clamp(0, 1)


def turned(angle_deg: float, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> Tensor:
    """Theta (1, 6) of a turn and zoom about the center, in square pixels."""
    angle = torch.tensor(angle_deg).deg2rad()
    linear = scale * torch.stack(
        (torch.stack((angle.cos(), -angle.sin())), torch.stack((angle.sin(), angle.cos())))
    )
    matrix = torch.cat((linear, torch.tensor(shift)[:, None]), 1).numpy()
    return torch.from_numpy(from_pixels(matrix, SIZE, SIZE)).float()[None]


def error_px(found: WarpParameters, truth: Tensor) -> float:
    """Mean distance of the grids where the truth reads inside, in pixels."""
    half = torch.tensor([SIZE[1], SIZE[0]]) / 2
    distance = ((found.grid((24, 32)).float() - truth) * half).norm(dim=-1)
    return float(distance[inside_mask(truth)].mean())


@pytest.mark.parametrize("estimator", ["robust", "refined"])
def test_a_known_warp_is_found(lite: FeatureExtractor, coffee: Tensor, estimator: str) -> None:
    theta = turned(7.0, 0.85, (14.0, -10.0))
    style = warp_image(coffee, Affine().grid(theta, SIZE)).clamp(0, 1)
    truth = Affine().grid(theta, (24, 32))
    nothing = WarpParameters("none", 4, torch.zeros(0), SIZE, SIZE)
    found = estimate_warp(coffee, style, lite, GeometrySettings(estimator=estimator))
    assert error_px(nothing, truth) > 15
    assert error_px(found.parameters, truth) < 5
    assert found.confidence > 0.6 and not found.message


def test_looking_again_comes_closer(lite: FeatureExtractor, coffee: Tensor) -> None:
    family = make_family("affine+tps", 3)
    theta = torch.zeros(1, family.n_params)
    theta[:, :6] = turned(-9.0, 1.15)
    theta[0, 6 + 8 : 6 + 10] = torch.tensor([0.12, -0.1])
    style = warp_image(coffee, family.grid(theta, SIZE)).clamp(0, 1)
    truth = family.grid(theta, (24, 32))
    a, b = (describe(p, lite, GeometrySettings()) for p in (coffee, style))
    once, again = (
        error_px(estimate_from(a, b, GeometrySettings(looks=looks)).parameters, truth)
        for looks in (0, 2)
    )
    assert again < 0.9 * once


def test_the_same_input_gives_the_same_bits(lite: FeatureExtractor, coffee: Tensor) -> None:
    style = coffee.flip(-1)
    a, b = (estimate_warp(coffee, style, lite).parameters.theta for _ in range(2))
    assert torch.equal(a, b)


def test_bounds_hold_in_square_pixels() -> None:
    frame = Frame.of((100, 200), (100, 200), "content")
    settings = GeometrySettings(max_rotation_deg=10.0, max_scale=1.2, max_anisotropy=1.3)
    wild = torch.tensor([[0.2, -1.4, 30.0], [1.9, 0.9, -5.0]])
    theta = torch.from_numpy(from_pixels(wild.numpy(), (100, 200), (100, 200))).double()
    center = torch.tensor([0.3, -0.2]).double()
    held = bounded(theta, frame, settings, center)
    linear = to_pixels(held, (100, 200), (100, 200))[:, :2]
    scales = torch.linalg.svdvals(linear)
    assert scales[0] / scales[1] <= 1.3 + 1e-6
    assert float(torch.linalg.det(linear)) ** 0.5 == pytest.approx(1.2)
    turn = torch.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
    assert abs(float(turn)) <= torch.pi / 18 + 1e-6
    both = (Affine().map(t[None], center[None, None])[0, 0] for t in (theta, held))
    torch.testing.assert_close(*both)
    upright = bounded(theta, frame, GeometrySettings(max_rotation_deg=0.0), center)
    assert tilt_deg(upright, frame) == pytest.approx(0, abs=1e-6)
    mild = turned(4.0, 1.05)[0].double()
    square = Frame.of(SIZE, SIZE, "content")
    torch.testing.assert_close(bounded(mild, square, settings, center), mild)
    assert tilt_deg(mild, square) == pytest.approx(4.0, abs=1e-3)


def test_a_spline_that_turns_the_picture_counts_as_a_turn() -> None:
    frame, family = Frame.of(SIZE, SIZE, "content"), make_family("affine+tps")
    points = base_grid((9, 9), dtype=torch.float64).flatten(0, 1)
    settings = GeometrySettings(max_rotation_deg=10.0)
    for angle, beyond in ((22.0, False), (24.0, True)):  # 3 degrees are tolerated
        theta = torch.zeros(family.n_params).double()
        mapped = Affine().map(turned(angle).double(), points[None])[0]
        # All of the turn in the spline's part, none in the affine one.
        theta[6:] = make_family("tps").fit(points, mapped, None, 1e-9)
        assert exceeds(family, theta, frame, settings) == beyond
    assert not exceeds(family, torch.zeros(family.n_params).double(), frame, settings)


def test_what_matches_as_well_upright_stays_upright(lite: FeatureExtractor, coffee: Tensor) -> None:
    """A turn that the pictures do not show is not made; one that they show is."""
    frame = Frame.of(SIZE, SIZE, "content")
    same = estimate_warp(coffee, coffee, lite, GeometrySettings(geometry="affine"))
    assert tilt_deg(same.parameters.theta.double(), frame) < 1
    style = warp_image(coffee, Affine().grid(turned(15.0), SIZE)).clamp(0, 1)
    found = estimate_warp(coffee, style, lite, GeometrySettings(geometry="affine"))
    assert tilt_deg(found.parameters.theta.double(), frame) == pytest.approx(15, abs=4)


def test_a_mask_says_which_of_two_subjects(lite: FeatureExtractor) -> None:
    """The style shows the cup in the middle; the content shows it left and right."""
    path = resources.files("geostyle") / "assets" / "pictures" / "content" / "coffee.jpg"
    cup = resize(load_picture(Path(str(path))).tensor, (96, 96)).clamp(0, 1)
    content, style = torch.full((1, 3, 128, 288), 0.5), torch.full((1, 3, 128, 288), 0.5)
    content[..., 16:112, 16:112] = cup
    content[..., 16:112, 176:272] = cup
    style[..., 16:112, 96:192] = cup
    masks = torch.zeros(2, 1, 1, 128, 288)
    masks[0, ..., :144], masks[1, ..., 144:] = 1, 1
    middle = torch.zeros(1, 1, 2)
    settings = GeometrySettings(geometry="affine", fade=False, max_scale=1.2)
    for mask, where in zip(masks, (-80, 80), strict=True):
        found = estimate_warp(content, style, lite, settings, Guide(content_mask=mask)).parameters
        x = float(found.warp_family.map(found.theta[None], middle)[0, 0, 0]) * 144
        assert x == pytest.approx(where, abs=12)
    style[..., 16:112, 16:112] = cup  # now two of them here, too
    settings = GeometrySettings(geometry="affine", fade=False, max_scale=1.2)
    guide = Guide(content_mask=masks[1], geo_mask=masks[1])
    found = estimate_warp(content, style, lite, settings, guide).parameters
    x = float(found.warp_family.map(found.theta[None], middle)[0, 0, 0]) * 144
    assert x == pytest.approx(80, abs=16)


def test_masks_must_fit_and_show_something(lite: FeatureExtractor, coffee: Tensor) -> None:
    for mask, message in (
        (torch.ones(1, 1, 100, 100), "geo_mask: expected a picture of the shape 240x176"),
        (torch.zeros(1, 1, *SIZE), "geo_mask: expected some white"),
    ):
        with pytest.raises(InputError, match=message):
            estimate_warp(coffee, coffee, lite, None, Guide(geo_mask=mask))


def test_a_mirrored_pair_is_seen_as_one(lite: FeatureExtractor, coffee: Tensor) -> None:
    style = coffee.flip(-1)
    found = estimate_warp(coffee, style, lite, GeometrySettings(mirror="auto"))
    assert found.parameters.mirrored
    base = base_grid((12, 16))[None]
    torch.testing.assert_close(found.parameters.grid((12, 16)), base, atol=0.05, rtol=0)
    for mirror, style in (("auto", coffee), ("off", coffee.flip(-1))):
        found = estimate_warp(coffee, style, lite, GeometrySettings(mirror=mirror))
        assert not found.parameters.mirrored


def test_what_is_seen_through_a_map(lite: FeatureExtractor, coffee: Tensor) -> None:
    """The picture is the warped one, and its mask leaves out what lies beyond the content."""
    content = describe(coffee, lite, GeometrySettings())
    seen = content.warped(lambda p: p + p.new_tensor([0.5, 0.0]), SIZE)
    shift = SIZE[1] // 4
    inner, outer = seen.picture[..., 4:-4, : -shift - 4], coffee[..., 4:-4, shift:-4]
    torch.testing.assert_close(inner, outer, atol=1e-3, rtol=0)
    assert seen.mask is not None
    assert seen.mask[..., : SIZE[1] - shift].all() and not seen.mask[..., SIZE[1] - shift :].any()
    assert content.warped(lambda p: p, SIZE, hide=False).mask is None


def test_aligned_pictures_are_compared_at_larger_sizes_within_the_bounds() -> None:
    for given, expected in (((240, 320), (320, 480)), ((64,), (64, 96)), ((1024,), (1024, 1024))):
        assert closer(GeometrySettings(match_sizes_px=given)).match_sizes_px == expected
