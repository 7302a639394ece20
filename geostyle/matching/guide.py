"""What people give to guide a match: masks of the subject, and points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from geostyle.coords import Size, check_shape
from geostyle.errors import InputError
from geostyle.matching.points import Correspondences

LEAST_SUBJECT = 0.002  # share of a mask below which there is no subject


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
            check_shape(mask, size, name)
            if float(mask.mean()) < LEAST_SUBJECT:
                raise InputError(f"{name}: expected some white, on the subject, got black")
