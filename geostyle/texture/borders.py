"""A border of mirrored content around what is painted, which is cut off again.

The networks see zeros beyond a picture's edges, so its outermost pixels turn flat and off-color.
With a border, that happens to pixels that are cut off.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, size_of


def border_of(size: Size, border_px: int) -> Size:
    """Rows above and below, columns left and right: `border_px`, or all that can be mirrored."""
    return min(border_px, size[0] - 1), min(border_px, size[1] - 1)


def bordered_size(size: Size, border_px: int) -> Size:
    """The (H, W) of a picture of `size` (H, W) with its border."""
    down, across = border_of(size, border_px)
    return size[0] + 2 * down, size[1] + 2 * across


def add_border(image: Tensor, border_px: int) -> Tensor:
    """`image` (B, C, H, W) with its mirror image on all sides, of `bordered_size`."""
    down, across = border_of(size_of(image), border_px)
    return F.pad(image, (across, across, down, down), mode="reflect")


def cut_border(image: Tensor, size: Size) -> Tensor:
    """The middle of `image` (B, C, H, W), of `size` (H, W) or smaller where `image` is smaller."""
    top, left = (max(0, image.shape[axis - 2] - size[axis]) // 2 for axis in (0, 1))
    return image[..., top : top + size[0], left : left + size[1]]
