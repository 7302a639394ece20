"""Warped pictures: exact where nothing moves, free of aliases, calm beyond the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import geostyle.warps.grid as module
from geostyle.coords import base_grid, normalized_to_pixel, resize, sample
from geostyle.errors import InputError
from geostyle.warps import make_family, sampling_grid, warp_image

MODES = ("mirror", "inpaint", "border")


def noise(height: int, width: int, batch: int = 1, channels: int = 3) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def smooth(height: int, width: int) -> Tensor:
    x, y = base_grid((height, width)).unbind(-1)
    return torch.stack((0.5 + 0.4 * torch.sin(3 * x + y), 0.5 + 0.4 * torch.cos(2 * y - x)))[None]


def affine_grid(size: tuple[int, int], *theta: float) -> Tensor:
    return sampling_grid(make_family("affine"), torch.tensor([theta]).float(), size)


def shift(size: tuple[int, int], x: float, y: float = 0.0) -> Tensor:
    return affine_grid(size, 0, 0, x, 0, 0, y)


@pytest.mark.parametrize("extend", MODES)
def test_the_base_grid_gives_the_picture(extend: str) -> None:
    image = noise(200, 300)
    grid = base_grid((200, 300))[None]
    same = warp_image(image, grid, extend=extend)
    assert torch.equal(same, image) and same.data_ptr() != image.data_ptr()
    for family in ("affine+tps", "homography", "biquadratic"):
        tiny = torch.full((1, make_family(family).n_params), 1e-7)
        nearly = warp_image(image, sampling_grid(make_family(family), tiny, (200, 300)))
        assert (nearly - image).abs().max() < 1e-4
    live = warp_image(image, grid.clone().requires_grad_(), extend=extend)
    assert live.requires_grad and (live - image).abs().max() < 1e-4


def test_other_pictures_than_the_base_grids_are_sampled() -> None:
    image = noise(20, 30)
    assert warp_image(image, base_grid((10, 15))[None]).shape == (1, 3, 10, 15)
    batch = base_grid((20, 30)).repeat(2, 1, 1, 1)
    batch[1] += 0.5
    result = warp_image(image.expand(2, -1, -1, -1), batch)
    assert (result[0] - image[0]).abs().max() < 1e-4 and (result[1] - image[0]).abs().max() > 0.1


def test_whole_pixels_move_exactly() -> None:
    image = noise(40, 60)
    moved = warp_image(image, shift((40, 60), 2 * 7 / 60, -2 * 5 / 40), extend="border")
    assert (moved[:, :, 5:, :-7] - image[:, :, :-5, 7:]).abs().max() < 1e-4


def test_directions_agree_with_opencv() -> None:
    """x to the right, y down, output → content, between pictures of different shapes."""
    image = smooth(50, 80)
    theta = (-0.3, 0.1, 0.05, -0.2, -0.4, 0.1)
    grid = affine_grid((64, 48), *theta)
    at = normalized_to_pixel(grid, (50, 80))[0].numpy()
    picture = image[0].permute(1, 2, 0).numpy()
    expected = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_CUBIC)
    warped = warp_image(image, grid)[0].permute(1, 2, 0).numpy()
    assert np.abs(warped - expected).max() < 4e-3  # OpenCV rounds to 1/32 of a pixel


def test_enlarging_is_plain_bicubic() -> None:
    image = noise(40, 60)
    grid = affine_grid((40, 60), -0.4, 0.1, 0, -0.1, -0.5, 0.1)
    expected = sample(image, grid, "bicubic")
    expected = expected.clamp(image.amin((2, 3), True), image.amax((2, 3), True))
    assert (warp_image(image, grid) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("shrink", [1.5, 2.0, 3.0, 4.0, 7.0])
def test_shrinking_does_not_alias(shrink: float) -> None:
    image = noise(240, 240)
    size = int(240 / shrink)
    warped = warp_image(image, base_grid((size, size))[None])
    reference = resize(image, (size, size))
    plain = sample(image, base_grid((size, size))[None], "bicubic")
    assert warped.std() < 1.35 * reference.std()
    assert (warped - reference).std() < 0.6 * (plain - reference).std()
    gentle = resize(noise(12, 12), (240, 240))
    blurred = warp_image(gentle, base_grid((size, size))[None])
    assert (blurred - resize(gentle, (size, size))).abs().mean() < 0.02


def test_the_footprint_grows_as_the_map_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four samples at ±d per axis, d² = (shrink² - 1) / 12 in content pixels, about the point."""
    read: list[Tensor] = []

    def spy(image: Tensor, grid: Tensor, *rest: str) -> Tensor:
        read.append(grid)
        return sample(image, grid, *rest)

    monkeypatch.setattr(module, "sample", spy)
    grid = base_grid((40, 50), dtype=torch.float64)[None]
    warp_image(noise(60, 60).double(), grid)  # shrinks by 1.5 along y and by 1.2 along x
    offsets = (torch.stack(read) - grid) * 30  # content pixels
    assert offsets.shape[0] == 4
    squares = torch.tensor([(1.2**2 - 1) / 12, (1.5**2 - 1) / 12], dtype=torch.float64)
    assert torch.allclose(offsets.square(), squares.expand_as(offsets))
    signs = {tuple(offset[0, 0, 0].sign().tolist()) for offset in offsets}
    assert signs == {(-1, -1), (-1, 1), (1, -1), (1, 1)}


def test_tall_and_thin_pictures_have_their_coarse_levels() -> None:
    for image, size in ((noise(256, 1, 1, 1), (8, 2)), (noise(1, 256, 1, 1), (2, 8))):
        assert warp_image(image, base_grid(size)[None]).std() < 0.35 * image.std()


def test_shrinking_one_axis_keeps_the_other_sharp() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat_interleave(2).repeat(30)
    across = stripes.expand(1, 1, 120, 120)
    for image, grid in (
        (across, base_grid((60, 120))[None]),
        (across.mT, base_grid((120, 60))[None]),
    ):
        kept = warp_image(image, grid)
        assert kept.std() > 0.49
    for image, grid in (
        (across, base_grid((120, 40))[None]),
        (across.mT, base_grid((40, 120))[None]),
    ):
        merged = warp_image(image, grid)
        assert merged[..., 2:-2, 2:-2].std() < 0.3 < sample(image, grid).std()


def test_the_footprint_is_measured_in_content_pixels() -> None:
    """A wide picture read into a square one: four to one along x, one to one along y."""
    image = noise(60, 240)
    warped = warp_image(image, base_grid((60, 60))[None])
    assert warped.std() < 0.6 * image.std()
    upright = warp_image(image.mT, base_grid((60, 60))[None])
    assert torch.allclose(upright.mT, warped, atol=1e-5)


def test_tiles_are_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(50, 70, batch=2)
    theta = 0.15 * torch.randn(2, 38, generator=torch.Generator().manual_seed(0))
    theta[0, 0], theta[1, 4] = 1.5, 0.7
    grid = sampling_grid(make_family("affine+tps"), theta, (50, 70))
    whole = warp_image(image, grid)
    monkeypatch.setattr(module, "TILE", 16)
    assert (warp_image(image, grid) - whole).abs().max() < 1e-4
    alone = warp_image(image[1:], grid[1:])
    assert (alone - whole[1:]).abs().max() < 1e-4


@pytest.mark.parametrize("extend", MODES)
def test_nothing_foreign_comes_in_from_outside(extend: str) -> None:
    flat = torch.full((1, 3, 24, 36), 0.7)
    for grid in (
        shift((24, 36), 0.9, 0.4),
        shift((24, 36), 50),
        affine_grid((24, 36), 3, 1, 0, -1, 3, 0),
    ):
        assert (warp_image(flat, grid, extend=extend) - 0.7).abs().max() < 1e-5
        image = 0.5 + 0.5 * noise(24, 36)
        image[:, 1] -= 3
        warped = warp_image(image, grid, extend=extend)
        low, high = image.amin((2, 3)), image.amax((2, 3))
        assert (warped.amin((2, 3)) >= low).all() and (warped.amax((2, 3)) <= high).all()
    far = warp_image(smooth(24, 36), shift((24, 36), 1e6), extend=extend)
    assert far.isfinite().all()


@pytest.mark.parametrize("extend", MODES)
def test_pixels_inside_do_not_depend_on_the_extension(extend: str) -> None:
    image = noise(40, 60)
    grid = shift((40, 60), 0.5)
    difference = warp_image(image, grid, extend=extend) - warp_image(image, grid, extend="border")
    assert difference[..., 1:-1, :42].abs().max() < 1e-5
    assert extend == "border" or difference[..., 45:].abs().max() > 0.1


def test_the_border_repeats() -> None:
    image = noise(40, 60)
    warped = warp_image(image, shift((40, 60), 1.0), extend="border")
    assert (warped[..., 30:] - image[..., -1:]).abs().max() < 1e-4


def test_the_mirror_starts_sharp_and_grows_calm() -> None:
    """Twice the picture's width out to the right, stripes of 16 pixels."""
    width = 240
    stripes = torch.tensor([0.0, 1.0]).repeat_interleave(8).repeat(15).expand(1, 1, 120, width)
    grid = shift((120, width), 2 * 120 / width)  # the right half is outside
    mirror, inpaint = (warp_image(stripes, grid, extend=extend)[0, 0, 60] for extend in MODES[:2])
    inside = stripes[0, 0, 60, 120:]
    assert torch.allclose(mirror[:115], inpaint[:115], atol=1e-5)
    # The edge is taken 2.4 pixels further in, so what follows it comes from 4.8 pixels further in.
    assert (mirror[118:122] - inside[-1]).abs().max() < 0.05
    assert (mirror[128:131] - inside[-9]).abs().max() < 0.35
    contrast = [float(part.max() - part.min()) for part in mirror[120:].split(24)]
    assert contrast[0] > 0.7 and contrast == sorted(contrast, reverse=True) and contrast[-1] < 0.25
    faster = [float(part.max() - part.min()) for part in inpaint[120:].split(24)]
    assert faster[0] > 0.2 and faster[1] < 0.6 * contrast[1] and faster[-1] < 0.02


@pytest.mark.parametrize("extend", ["mirror", "inpaint"])
def test_there_is_no_seam(extend: str) -> None:
    image = smooth(120, 160)
    for x, y in ((0.7, 0.0), (-0.7, 0.0), (0.0, 0.6), (0.4, -0.5)):
        warped = warp_image(image, shift((120, 160), x, y), extend=extend)
        for dim in (2, 3):
            assert warped.diff(dim=dim).abs().max() < 2.5 * image.diff(dim=dim).abs().max()


def test_the_fill_takes_the_colors_near_by() -> None:
    image = torch.zeros(1, 1, 80, 80)
    image[..., 40:, :] = 1
    filled = warp_image(image, shift((80, 80), 1.0), extend="inpaint")[0, 0, :, 60]
    assert filled[:15].max() < 0.4 and filled[-15:].min() > 0.6


@pytest.mark.parametrize("extend", ["mirror", "inpaint"])
def test_a_dark_rim_is_no_seam(extend: str) -> None:
    for height, width in ((200, 200), (200, 400), (400, 200)):  # the rim is 4 pixels
        image = torch.full((1, 1, height, width), 0.8)
        image[..., -2:] = image[..., -2:, :] = 0
        warped = warp_image(image, shift((height, width), 1.0, 1.0), extend=extend)
        assert warped.min() > 0.6
        # Where nothing is outside the rim belongs to the picture.
        whole = warp_image(image, affine_grid((height, width), -1e-4, 0, 0, 0, -1e-4, 0))
        assert (whole - image).abs().max() < 0.05


def test_a_theta_warps_pictures_of_any_size_alike() -> None:
    family = make_family("affine+tps")
    theta = 0.05 * torch.randn(1, 38, generator=torch.Generator().manual_seed(3))
    small, large = (
        warp_image(smooth(*size), sampling_grid(family, theta, size))
        for size in ((60, 80), (240, 320))
    )
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert (resize(large, (60, 80)) - small)[inner].abs().max() < 0.01


@pytest.mark.parametrize("extend", MODES)
def test_gradients(extend: str) -> None:
    image = noise(7, 9, channels=2).double().requires_grad_()
    theta = torch.tensor([[0.9, 0.31, 0.43, -0.24, -0.13, 0.17]], dtype=torch.float64)
    grid = sampling_grid(make_family("affine"), theta, (5, 6)).requires_grad_()
    assert grid.abs().max() > 1.5
    assert torch.autograd.gradcheck(
        lambda i, g: warp_image(i, g, extend=extend), (image, grid), eps=1e-7, atol=1e-4
    )


def test_bad_arguments_are_named() -> None:
    image, grid = noise(8, 8), base_grid((8, 8))[None]
    with pytest.raises(InputError, match="extend: expected patches, .*got 'wrap'"):
        warp_image(image, grid, extend="wrap")
    with pytest.raises(InputError, match="image: expected"):
        warp_image(image[0], grid)
    with pytest.raises(InputError, match="grid: expected a floating"):
        warp_image(image, grid[0])
    with pytest.raises(InputError, match="grid: expected a batch of 1"):
        warp_image(image, 0.9 * grid.expand(2, -1, -1, -1))
    for bad in (grid * torch.nan, grid[:, :1], grid[:, :, :1]):
        with pytest.raises(InputError, match="grid: expected finite points, at least 2×2"):
            warp_image(image, bad)
    assert warp_image(image, grid[:, :2, :2]).shape == (1, 3, 2, 2)
