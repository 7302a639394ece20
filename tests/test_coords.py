"""Normalized coordinates, sampling and resizing, against closed forms and torch-free references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from geostyle.coords import (
    base_grid,
    check_shape,
    check_size,
    inside_mask,
    normalized_to_pixel,
    pixel_to_normalized,
    resize,
    resize_grid,
    sample,
    within_range_of,
)
from geostyle.errors import InputError


def test_base_grid_holds_the_pixel_centers_x_first() -> None:
    grid = base_grid((2, 4))
    assert grid.shape == (2, 4, 2) and grid.dtype == torch.float32
    assert grid[0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid[:, 0, 1].tolist() == [-0.5, 0.5]
    assert (grid[:, :, 0] == grid[0, :, 0]).all() and (grid[:, :, 1] == grid[:, :1, 1]).all()


def test_base_grid_is_rounded_once_from_float64() -> None:
    exact = (2 * np.arange(1237) + 1) / 1237 - 1
    assert np.array_equal(base_grid((3, 1237))[0, :, 0].numpy(), exact.astype(np.float32))
    assert np.array_equal(base_grid((1237, 3), dtype=torch.float64)[:, 0, 1].numpy(), exact)


def test_dtype_and_device_are_those_of_what_came() -> None:
    points = torch.rand(1, 3, 3, 2, dtype=torch.float64)
    for convert in (pixel_to_normalized, normalized_to_pixel):
        assert convert(points, (4, 8)).dtype == torch.float64
        assert convert(points.to("meta"), (4, 8)).device.type == "meta"
        half = convert(points.half(), (4, 8))
        assert half.dtype == torch.float16
    assert base_grid((2, 2), device="meta").device.type == "meta"


def test_pixels_and_normalized_coordinates() -> None:
    size = (4, 8)
    pixels = torch.tensor([[0.0, 0.0], [7.0, 3.0], [-0.5, 3.5], [3.5, 1.5]])
    normalized = torch.tensor([[-0.875, -0.75], [0.875, 0.75], [-1.0, 1.0], [0.0, 0.0]])
    assert torch.equal(pixel_to_normalized(pixels, size), normalized)
    assert torch.equal(normalized_to_pixel(normalized, size), pixels)
    outside = torch.tensor([[-9.0, 20.0]])
    assert torch.equal(normalized_to_pixel(pixel_to_normalized(outside, size), size), outside)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (1, 2, 3), None, ("a", 2)])
def test_sizes_are_checked(size: object) -> None:
    with pytest.raises(InputError, match="size: expected"):
        base_grid(size)  # type: ignore[arg-type]
    assert check_size([3, np.int64(1)]) == (3, 1)  # type: ignore[arg-type, list-item]


def test_sampling_reads_where_the_grid_says() -> None:
    ramp = torch.stack((base_grid((5, 7))[..., 0], base_grid((5, 7))[..., 1]))[None]
    points = torch.tensor([[[[0.3, -0.1], [-0.55, 0.4]]]])
    assert torch.allclose(sample(ramp, points)[0, :, 0].T, points[0, 0], atol=1e-6)
    assert torch.equal(sample(ramp, base_grid((5, 7))[None], "nearest"), ramp)


@pytest.mark.parametrize(("padding", "value"), [("border", 3.0), ("zeros", 0.0), ("reflection", 2)])
def test_sampling_beyond_the_edge(padding: str, value: float) -> None:
    image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    point = pixel_to_normalized(torch.tensor([[[[4.0, 0.0]]]]), (1, 3))
    assert sample(image, point, "bilinear", padding).item() == pytest.approx(value, abs=1e-5)


def test_sampling_checks_its_arguments() -> None:
    image, grid = torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 2)
    for bad in (image[0], image.byte(), image[:, :, :0]):
        with pytest.raises(InputError, match="image: expected"):
            sample(bad, grid)
    for bad in (grid[0], grid.long(), grid[..., :1], grid.expand(2, -1, -1, -1)):
        with pytest.raises(InputError, match="grid: expected"):
            sample(image, bad)
    assert sample(image, grid.double()).dtype == torch.float32


def test_resizing_is_antialiased() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64)
    assert (resize(stripes, (16, 16))[..., 2:-2] - 0.5).abs().max() < 0.03
    rng = np.random.default_rng(0)
    picture = rng.random((24, 36), dtype=np.float32)
    for mode, reference in (("bicubic", Image.BICUBIC), ("bilinear", Image.BILINEAR)):
        expected = np.asarray(Image.fromarray(picture).resize((15, 10), reference))
        resized = resize(torch.from_numpy(picture)[None, None], (10, 15), mode)[0, 0]
        assert np.abs(resized.numpy() - expected).max() < 1e-5


def test_resizing_keeps_range_identity_and_labels() -> None:
    image = torch.zeros(1, 2, 8, 8)
    image[0, 0, :, 4:] = 1
    image[0, 1, :, 4:] = -2
    grown = resize(image, (20, 20))
    assert grown[0, 0].min() == 0 and grown[0, 0].max() == 1
    assert grown[0, 1].min() == -2 and grown[0, 1].max() == 0
    assert resize(image, (8, 8)) is image
    labels = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = labels.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.equal(resize(labels, (6, 6), "nearest"), expected)


def test_range_is_kept_per_item_and_channel() -> None:
    image = torch.tensor([[0.0, 1.0], [2.0, 5.0]]).reshape(2, 1, 1, 2)
    result = within_range_of(image, torch.tensor([-1.0, 3.0]).expand(2, 1, 1, 2))
    assert result.flatten().tolist() == [0.0, 1.0, 2.0, 3.0]


def test_inside_includes_the_edges() -> None:
    grid = torch.tensor([[[[1.0, -1.0], [1.001, 0.0], [0.0, -1.001], [0.2, 0.3]]]])
    assert inside_mask(grid).tolist() == [[[True, False, False, True]]]


def test_a_resized_grid_reads_the_same_affine_map() -> None:
    """Inside the outermost centers, an affine map's grid is exactly the map at the new centers."""
    matrix = torch.tensor([[0.9, 0.2], [-0.1, 1.1]])
    fine, coarse = (base_grid((n, n)) @ matrix.mT + 0.1 for n in (20, 15))
    assert torch.allclose(resize_grid(fine[None], 15)[0], coarse, atol=1e-6)
    assert resize_grid(fine[None], 20)[0].data_ptr() == fine.data_ptr()


def test_a_mask_may_differ_from_its_picture_in_size_but_not_in_shape() -> None:
    for width in (195, 200, 205):
        check_shape(torch.ones(1, 1, 100, width), (300, 600), "mask")
    for width in (193, 207):
        with pytest.raises(InputError, match=f"^mask: .* shape of it, 600x300, got {width}x100$"):
            check_shape(torch.ones(1, 1, 100, width), (300, 600), "mask", of="of it, ")
