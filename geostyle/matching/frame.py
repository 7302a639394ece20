"""Frames of the output, the content and the geometry style, and points spread over them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.coords import Size, base_grid


@dataclass(frozen=True)
class Frame:
    """Placement of the geometry style and the unwarped content in the output frame.

    Attributes:
        output_size, content_size: (H, W) in pixels.
        to_output: (2,), factors (x, y) from the geometry style's frame to the output frame.
        neutral: (2,), factors from the output frame to the content's, shapes undistorted.
    """

    output_size: Size
    content_size: Size
    to_output: Tensor
    neutral: Tensor

    @classmethod
    def of(cls, content: Size, geo_style: Size, frame: str) -> Frame:
        """Return the frame for two pictures of sizes (H, W); `frame` is "content" or "geo"."""
        if frame == "content":
            # Equal area rather than fitted in: a tall style would halve a wide content's subject.
            scale = math.sqrt(math.prod(content) / math.prod(geo_style))
        else:
            # The largest part of the content that fills the geometry style's frame.
            scale = min(content[0] / geo_style[0], content[1] / geo_style[1])
        placed = torch.tensor(
            [geo_style[1] * scale / content[1], geo_style[0] * scale / content[0]],
            dtype=torch.float64,
        )
        one = torch.ones_like(placed)
        if frame == "content":
            return cls(content, content, placed, one)
        return cls(geo_style, content, one, placed)

    def inverse(self) -> Frame:
        """Return the frame of the opposite maps, content → output."""
        return Frame(
            self.content_size, self.output_size, torch.ones_like(self.neutral), 1 / self.neutral
        )


def square_units(points: Tensor, size: Size) -> Tensor:
    """Scale normalized points (..., 2) of a picture of `size` (H, W) so that its long side is 2."""
    return points * (points.new_tensor([size[1], size[0]]) / max(size))


def lattice(side: int) -> Tensor:
    """Return points (side², 2) spread over the whole frame, edges included, in float64."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).flatten(0, 1)


def cell_centers(height: int, width: int) -> Tensor:
    """Return the centers (height · width, 2) of a grid's cells, row by row, in float64."""
    return base_grid((height, width), dtype=torch.float64).flatten(0, 1)
