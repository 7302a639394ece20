"""The second look: what is left of the warp once the picture is warped.

Features change under rotation and scale, so those of the warped picture tell more of the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from geostyle.coords import Size, base_grid, inside_mask
from geostyle.matching.description import Description, describe
from geostyle.matching.frames import Frame
from geostyle.matching.matches import Matches, cells_of, match
from geostyle.matching.points import Hand
from geostyle.matching.robust import SHORT_SCHEDULE, Fit, anneal
from geostyle.matching.settings import GeometrySettings
from geostyle.warps.grid import warp_image

Map = Callable[[Tensor], Tensor]  # (N, 2) → (N, 2), in float64


def look_again(
    fit: Fit,
    content: Description,
    geo_style: Description,
    frame: Frame,
    settings: GeometrySettings,
    hand: Hand | None = None,
) -> Fit:
    """Compare the content as `fit` warps it with the geometry style, and fit anew from there.

    Source: the cascade of Rocco et al., "Convolutional neural network architecture for geometric
        matching", section 3.4.
    Differs: what is found is fitted as a whole and in the content's own frame, so that nothing is
        resampled twice and the bounds hold for the whole.
    """
    long_px = max(settings.match_sizes_px)
    height, width = (max(16, round(s * long_px / max(geo_style.size))) for s in geo_style.size)
    warped = seen_through(lambda p: fit.there.map(p * frame.to_output), content, (height, width))
    again = describe(warped.picture, content.extractor, settings, warped.mask)
    matches = match(again, geo_style, frame)
    outputs = cells_of(again) * frame.to_output
    matches = Matches(fit.there.map(outputs), matches.target, matches.probability)
    start = (fit.there.map(matches.target), outputs)
    return anneal(matches, frame, settings, SHORT_SCHEDULE, start, hand)


def seen_through(
    mapping: Map, content: Description, size: Size, *, hide: bool = True
) -> Description:
    """The content warped: its picture and its mask at `size` (H, W), without features.

    mapping: from the new picture's frame to the content's. hide: whether the mask leaves out what
    lies beyond the content, too.
    """
    points = base_grid(size, dtype=torch.float64).reshape(-1, 2)
    grid = mapping(points).reshape(1, *size, 2).float()
    picture = warp_image(content.picture.cpu(), grid, extend="mirror").clamp(0, 1)
    mask = inside_mask(grid)[:, None].float() if hide else None
    if content.mask is not None:
        own = warp_image(content.mask.cpu(), grid, extend="border").clamp(0, 1)
        mask = own if mask is None else mask * own
    return replace(content, size=size, maps=(), picture=picture, mask=mask)
