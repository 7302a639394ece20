"""Guides of matched painting: the place of each part of the canvas in a texture style."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import base_grid, resize, sample, size_of
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.images import fit_size
from geostyle.matching import GeometrySettings, Guide, estimate_warp
from geostyle.matching.frame import Frame
from geostyle.pipeline.results import GeometryResult
from geostyle.texture import SourceGuide
from geostyle.warps.inverse import invert_grid

# Long side at which the maps are computed; they are smooth.
MAP_PX = 128
# The estimate is a correspondence, not a warp to look at: nothing holds it back but folds.
UNBOUNDED: dict[str, Any] = {
    "estimator": "refined",
    "frame": "content",
    "choose": 1,
    "fade": False,
    "keep_position": False,
    "max_outside": 1.0,
    "max_lost": 1.0,
}


def source_guide(
    content: Tensor,
    tex_style: Tensor,
    geometry: GeometryResult,
    network: FeatureExtractor,
    settings: GeometrySettings,
    guide: Guide | None = None,
    *,
    seed: int = 0,
) -> SourceGuide:
    """Find out where each part of the canvas is expected in a texture style.

    Args:
        content, tex_style: (1, 3, H, W), sRGB in [0, 1], before any warp.
        geometry: the canvas, and how it shows the content.
        network: the network whose features are compared.
        settings: family and matching of the estimate.
        guide: masks and points given by the user, where the style is the geometry style.
        seed: of the estimate.

    Returns: normalized positions in the style for every pixel of the canvas, and the confidence of
        the estimate, 0 where they lie outside the style.
    """
    found = estimate_warp(
        content, tex_style, network, replace(settings, **UNBOUNDED), guide, seed=seed
    )
    parameters, canvas = found.parameters, size_of(geometry.tensor)
    small = fit_size(canvas, min(MAP_PX, max(canvas)))
    content_px = fit_size(size_of(content), min(MAP_PX, max(size_of(content))))
    # Canvas → content → frame of the estimate → style.
    shown = base_grid(small)[None]
    if geometry.grid is not None:
        shown = resize(geometry.grid.permute(0, 3, 1, 2), small, "bilinear").permute(0, 2, 3, 1)
    applied = geometry.parameters is not None and geometry.parameters.mirrored
    if applied != parameters.mirrored:
        shown = shown * shown.new_tensor([-1.0, 1.0])
    if parameters.theta.numel():
        inverse = invert_grid(parameters.grid(content_px).double(), content_px).float()
        shown = sample(inverse.permute(0, 3, 1, 2), shown).permute(0, 2, 3, 1)
    frame = Frame.of(size_of(content), size_of(tex_style), "content")
    positions = shown / frame.to_output.to(shown)
    inside = (positions.abs() <= 1).all(-1)[:, None].float()
    return SourceGuide(
        resize(positions.permute(0, 3, 1, 2), canvas, "bilinear").permute(0, 2, 3, 1),
        torch.nn.functional.interpolate(found.confidence * inside, canvas),
    )
