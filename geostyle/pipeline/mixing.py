"""Several geometry styles: their checks, and the one estimate that is made of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from geostyle.coords import check_shape
from geostyle.errors import InputError
from geostyle.matching import Estimate, GeometrySettings, Guide
from geostyle.warps.mixing import check_weights, mean_warp, regional_warp

TOLD = 0.03  # distance, in sides of the content, by which regions are missed before it is told


def check_geo_styles(n_styles: int, guide: Guide, settings: GeometrySettings) -> None:
    """Check that `n_styles` geometry styles can be mixed as asked.

    Raises: InputError for other numbers of weights or regions, and for guidance and settings that
        hold for a single geometry style.
    """
    weights, n_regions = guide.weights, len(guide.regions)
    if weights is not None:
        check_weights(weights, n_styles)
        if n_regions:
            raise InputError("geo_weights: expected either weights or --geo-regions, got both")
    if n_regions and (n_styles < 2 or n_regions not in (n_styles, n_styles - 1)):
        raise InputError(
            "geo_regions: expected one for each of several geometry styles, or one less, "
            f"got {n_regions} for {n_styles}"
        )
    if n_styles < 2:
        return
    single = {
        "geo_mask": guide.geo_mask is not None,
        "points": guide.points is not None,
        "frame geo": settings.frame == "geo",
        "mirror auto": settings.mirror == "auto",
        "choose": settings.choose > 1,
    }
    for name in (name for name, given in single.items() if given):
        raise InputError(f"geo_style: expected one beside {name}, got {n_styles}")


def mixed_estimate(estimates: Sequence[Estimate], guide: Guide) -> Estimate:
    """Return the one estimate given, or the mixture of several by the guide's weights or regions.

    Raises: InputError where a region has not the shape of the canvas, or is black.
    """
    if len(estimates) == 1:
        return estimates[0]
    warps, regions = [one.parameters for one in estimates], list(guide.regions)
    for number, mask in enumerate(regions, 1):
        check_shape(mask, warps[0].output_size, "geo_regions", of="of the result, ")
        if float(mask.max()) < 1 / 255:
            raise InputError(f"geo_regions: expected some white for style {number}, got black")
    if regions and len(regions) < len(warps):
        size = regions[0].shape[2:]
        rest = [torch.nn.functional.interpolate(m, size, mode="bilinear") for m in regions]
        regions.append((1 - torch.stack(rest).sum(0)).clamp_min(0))
    theta = regional_warp(warps, regions) if regions else mean_warp(warps, guide.weights)
    held = [f"geo_style {i}: {one.message}" for i, one in enumerate(estimates, 1) if one.message]
    if (missed := theta.meta.get("regions_missed", 0.0)) > TOLD:
        held.append(
            f"geo_regions: one smooth warp misses those of the regions by up to {missed:.0%} of "
            "the picture"
        )
    message = "; ".join(held)
    meta = {key: value for key, value in theta.meta.items() if key != "message"}
    theta = replace(theta, meta={**meta, **({"message": message} if message else {})})
    assert theta.confidence is not None
    return Estimate(
        theta,
        theta.confidence,
        torch.cat([one.output_points for one in estimates]),
        torch.cat([one.content_points for one in estimates]),
        torch.cat([one.weights for one in estimates]),
        message,
    )
