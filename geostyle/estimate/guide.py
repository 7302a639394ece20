"""What people give to guide a match: masks of the subject, and points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.estimate.points import Correspondences

LEAST_SUBJECT = 0.002  # share of a mask below which there is no subject
SHAPE = 0.03  # by how much a mask's shape may differ from its picture's


@dataclass(frozen=True)
class Guide:
    """Masks (1, 1, h, w) in [0, 1], 1 on what alone is matched, and correspondences; or None."""

    content_mask: Tensor | None = None
    geo_mask: Tensor | None = None
    points: Correspondences | None = None

    def check(self, content: Size, geo_style: Size) -> None:
        """Hold the masks to pictures of those sizes (H, W).

        Raises: InputError naming the mask that is of another shape, or shows no subject.
        """
        masks = (
            ("content_mask", self.content_mask, content),
            ("geo_mask", self.geo_mask, geo_style),
        )
        for name, mask, size in masks:
            if mask is None:
                continue
            height, width = mask.shape[-2:]
            if abs(width / height * size[0] / size[1] - 1) > SHAPE:
                raise InputError(
                    f"{name}: expected a picture of the shape {size[1]}x{size[0]}, "
                    f"got {width}x{height}"
                )
            if float(mask.mean()) < LEAST_SUBJECT:
                raise InputError(f"{name}: expected some white, on the subject, got black")
