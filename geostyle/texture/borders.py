"""A border of mirrored content around what is painted, cut off in the end.

The networks see zeros beyond a picture's edges. Painted to look right to them, its outermost pixels
turn flat and off-color; with a border, that happens where nobody looks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size


def add_border(image: Tensor, border_px: int) -> Tensor:
    """`image` (B, C, H, W), continued by its mirror image on all sides, as far as it has pixels."""
    down, across = (min(border_px, side - 1) for side in image.shape[-2:])
    return F.pad(image, (across, across, down, down), mode="reflect")


def cut_border(image: Tensor, size: Size) -> Tensor:
    """The middle of `image` (B, C, H, W), of `size` (H, W) or what there is."""
    top, left = (max(0, image.shape[axis - 2] - size[axis]) // 2 for axis in (0, 1))
    return image[..., top : top + size[0], left : left + size[1]]
