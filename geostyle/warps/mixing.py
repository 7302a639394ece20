"""Several warps of one content as one: their mean, or each in a region of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import base_grid, sample
from geostyle.device import own_world
from geostyle.errors import InputError, brief, is_number
from geostyle.io.images import as_mask
from geostyle.warps.affine import Affine, affine_power, theta_of
from geostyle.warps.parameters import WarpParameters

LOG_STEP = 1e-4  # exponent that the logarithm of an affine map is taken at
REGION_POINTS = 40  # per side, at which warps of regions are blended
REGION_SMOOTHING = 1e-5


@own_world
def mean_warp(warps: Sequence[Any], weights: Sequence[float] | None = None) -> WarpParameters:
    """Average warps of one content: affine parts by the matrix logarithm, offsets linearly.

    Args:
        warps: parameters, estimates or their files, of one family, between frames of the same
            sizes.
        weights: one per warp, at least 0, of any sum above 0; default equal.

    Raises: InputError for warps that do not fit together, or unusable weights.
    """
    warps = _several(warps)
    share = _shares(warps, weights)
    first = warps[0]
    thetas = torch.stack([warp.theta.double() for warp in warps])
    parts = [
        _affine_mean(thetas[:, columns], share) if isinstance(family, Affine)
        else share @ thetas[:, columns]
        for family, columns in first.warp_family.parts()
    ]  # fmt: skip
    return _mixed(warps, share, torch.cat(parts))


@own_world
def regional_warp(warps: Sequence[Any], masks: Sequence[Any]) -> WarpParameters:
    """Blend warps of one content, each as far as its mask says, into one of their family.

    Args:
        warps: as for `mean_warp`.
        masks: (1, 1, h, w) each, in [0, 1], or gray pictures of another kind, drawn on the output
            frame; where all are 0 the warps count equally.

    Raises: InputError for warps that do not fit together, or another number of masks.
    """
    warps, masks = _several(warps), [_drawn(mask) for mask in masks or ()]
    if len(masks) != len(warps):
        raise InputError(f"geo_regions: expected {len(warps)} masks, got {len(masks)}")
    share = _shares(warps, None)
    family = warps[0].warp_family
    grid = base_grid((REGION_POINTS, REGION_POINTS), dtype=torch.float64)
    points = grid.flatten(0, 1)
    drawn = [sample(mask.double().cpu(), grid[None], "bilinear", "border") for mask in masks]
    parts = torch.cat(drawn).flatten(1) + 1e-6
    parts = parts / parts.sum(0)
    mapped = torch.stack([family.map_points(warp.theta.double(), points) for warp in warps])
    blended = (parts[:, :, None] * mapped).sum(0)
    return _mixed(warps, share, family.fit(points, blended, None, REGION_SMOOTHING))


def _several(warps: Any) -> list[WarpParameters]:
    if not isinstance(warps, Iterable) or isinstance(warps, str):
        raise InputError(f"warps: expected a list of warps, got {brief(warps)}")
    return [WarpParameters.of(warp) for warp in warps]


def _drawn(mask: Any) -> Tensor:
    ready = isinstance(mask, Tensor) and mask.ndim == 4 and mask.is_floating_point()
    mask = mask if ready else as_mask(mask, "geo_regions")
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise InputError("geo_regions: expected values in [0, 1], got others")
    return mask


def _mixed(warps: Sequence[WarpParameters], share: Tensor, theta: Tensor) -> WarpParameters:
    known = [warp.confidence for warp in warps if warp.confidence is not None]
    confidence = None
    if len(known) == len(warps):
        confidence = min(1.0, float(share @ torch.tensor(known, dtype=share.dtype)))
    meta = {**warps[0].meta, "mixed": [round(part, 6) for part in share.tolist()]}
    return replace(warps[0], theta=theta, confidence=confidence, meta=meta)


def _shares(warps: Sequence[WarpParameters], weights: Sequence[float] | None) -> Tensor:
    """Return the weights (N,) in float64, of sum 1, once everything fits together."""
    given: Any = [1.0] * len(warps) if weights is None else weights
    given = given.tolist() if hasattr(given, "tolist") else given
    weights = list(given) if isinstance(given, Sequence) else [given]
    if not warps or len(weights) != len(warps):
        raise InputError(
            f"geo_weights: expected one for each of {len(warps)} geometry styles, "
            f"got {len(weights)}"
        )
    if not all(is_number(v) and v >= 0 for v in weights) or not sum(weights) > 0:
        raise InputError(f"geo_weights: expected numbers of at least 0, not all 0, got {weights}")
    for name in ("family", "lattice", "output_size", "content_size", "mirrored"):
        kinds = list(dict.fromkeys(getattr(warp, name) for warp in warps))
        if len(kinds) > 1:
            raise InputError(f"warps: expected one {name} for all, got {kinds}")
    total = torch.tensor(weights, dtype=torch.float64)
    return total / total.sum()


def _affine_mean(thetas: Tensor, share: Tensor) -> Tensor:
    """Return exp(Σ share · log A) for affine thetas (N, 6): (6,)."""
    # A^ε = I + ε·log A + …; the even terms cancel.
    ahead, behind = (affine_power(thetas, step) for step in (LOG_STEP, -LOG_STEP))
    logs = (ahead - behind) / (2 * LOG_STEP)
    generator = torch.nn.functional.pad((share @ logs).unflatten(0, (2, 3)), (0, 0, 0, 1))
    return theta_of(torch.linalg.matrix_exp(generator)[:2])
