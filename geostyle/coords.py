"""Coordinates: the only file with `align_corners`, `grid_sample` and resizing.

Normalized coordinates run over [-1, 1], x right, y down, with half-pixel centers: -1 and 1 are
the outer edges of the first and last pixel, so a map means the same at every size. Pixel
coordinates put 0 at the center of the first pixel. Points are (..., 2) as (x, y), sizes are (H, W).
"""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.errors import InputError

Size = tuple[int, int]
SHAPE_TOLERANCE = 0.03  # relative difference of a mask's proportions from its picture's


def check_size(size: Size, name: str = "size") -> Size:
    """Return `size` as two plain positive integers (H, W).

    Raises: InputError for anything else.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected (height, width), got {size!r}") from None
    if height < 1 or width < 1:
        raise InputError(f"{name}: expected sides of at least 1 pixel, got {size!r}")
    return height, width


def check_grid(grid: Tensor, name: str = "grid") -> Tensor:
    """Return `grid` if it is a floating (B, H, W, 2) tensor.

    Raises: InputError otherwise.
    """
    if grid.ndim != 4 or grid.shape[-1] != 2 or not grid.is_floating_point():
        raise InputError(
            f"{name}: expected a floating (B, H, W, 2) tensor, "
            f"got {tuple(grid.shape)} of {grid.dtype}"
        )
    return grid


def check_image(image: Tensor, name: str = "image") -> Tensor:
    """Return `image` if it is a floating, non-empty (B, C, H, W) tensor.

    Raises: InputError otherwise.
    """
    if image.ndim != 4 or image.numel() == 0 or not image.is_floating_point():
        raise InputError(
            f"{name}: expected a floating (B, C, H, W) tensor, "
            f"got {tuple(image.shape)} of {image.dtype}"
        )
    return image


def check_shape(mask: Tensor, size: Size, name: str, of: str = "") -> None:
    """Check that `mask` (..., h, w) has the proportions of a picture of `size` (H, W), within 3 %.

    Args: name, the argument that the error is about; of, words for the picture.
    Raises: InputError where they differ.
    """
    height, width = size_of(mask)
    if abs(width / height * size[0] / size[1] - 1) > SHAPE_TOLERANCE:
        raise InputError(
            f"{name}: expected a picture of the shape {of}{size[1]}x{size[0]}, got {width}x{height}"
        )


def size_of(picture: Tensor) -> Size:
    """Return the (H, W) of a picture or a map (..., H, W)."""
    return picture.shape[-2], picture.shape[-1]


def base_grid(
    size: Size, *, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> Tensor:
    """Return the normalized (x, y) of every pixel center of a picture of `size` (H, W).

    Returns: (H, W, 2), within (-1, 1), rounded once from float64.
    """
    height, width = check_size(size)
    x, y = (
        (2 * torch.arange(side, dtype=torch.float64, device=device) + 1) / side - 1
        for side in (width, height)
    )
    grid = torch.empty(height, width, 2, dtype=dtype, device=device)
    grid[..., 0] = x
    grid[..., 1] = y[:, None]
    return grid


def _sides(points: Tensor, size: Size) -> Tensor:
    height, width = check_size(size)
    return torch.tensor([width, height], dtype=points.dtype, device=points.device)


def pixel_to_normalized(points: Tensor, size: Size) -> Tensor:
    """Return pixel (x, y) points (..., 2) of a picture of `size` (H, W) normalized, not clamped."""
    return (2 * points + 1) / _sides(points, size) - 1


def normalized_to_pixel(points: Tensor, size: Size) -> Tensor:
    """Return normalized (x, y) points (..., 2) in pixels of a picture of `size`, not clamped."""
    return ((points + 1) * _sides(points, size) - 1) / 2


def sample(image: Tensor, grid: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Read `image` (B, C, H, W) at the normalized positions of `grid` (B, h, w, 2).

    Args:
        mode: "bilinear", "bicubic" (values may overshoot) or "nearest".
        padding: "border", "zeros" or "reflection" (about the edges), outside [-1, 1].

    Returns: (B, C, h, w) in the image's dtype.
    """
    check_image(image)
    check_grid(grid)
    if grid.shape[0] != image.shape[0]:
        raise InputError(
            f"grid: expected a batch of {image.shape[0]} as the image's, got {grid.shape[0]}"
        )
    return F.grid_sample(image, grid.to(image.dtype), mode, padding, align_corners=False)


def resize(image: Tensor, size: Size, mode: str = "bicubic") -> Tensor:
    """Resize `image` (B, C, H, W) to `size` (H, W), antialiased, within the image's own range.

    Args: mode, "bicubic", "bilinear" or "nearest".
    Returns: (B, C, *size); `image` itself where the size does not change.
    """
    check_image(image)
    size = check_size(size)
    if size == tuple(image.shape[-2:]):
        return image
    if mode == "nearest":
        return F.interpolate(image, size, mode="nearest-exact")
    resized = F.interpolate(image, size, mode=mode, align_corners=False, antialias=True)
    return within_range_of(image, resized) if mode == "bicubic" else resized


def resize_grid(grid: Tensor, cells: int) -> Tensor:
    """Interpolate `grid` (B, H, W, 2) linearly at the pixel centers of a map of cells×cells.

    Returns: (B, cells, cells, 2); `grid` itself where the size does not change.
    """
    if check_grid(grid).shape[1:3] == (cells, cells):
        return grid
    planes = grid.permute(0, 3, 1, 2)
    resized = F.interpolate(planes, (cells, cells), mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1)


def within_range_of(image: Tensor, result: Tensor) -> Tensor:
    """Clamp `result` (B, C, h, w) to each channel's range in `image` (B, C, H, W)."""
    low, high = (bound((2, 3), keepdim=True) for bound in (image.amin, image.amax))
    return torch.minimum(torch.maximum(result, low), high)


def inside_mask(grid: Tensor) -> Tensor:
    """Return where `grid` (B, H, W, 2) is inside the picture, edges included: (B, H, W), bool."""
    return (check_grid(grid).abs() <= 1).all(-1)
