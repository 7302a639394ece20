"""Checks and conversions of what a transfer is given."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from geostyle.config import resolve
from geostyle.coords import size_of
from geostyle.errors import InputError, brief
from geostyle.io.images import as_mask
from geostyle.matching import Correspondences, Estimate, Guide
from geostyle.matching.estimators import MISSED
from geostyle.matching.frame import Frame
from geostyle.pipeline.settings import TransferSettings
from geostyle.texture.objective import normalized_weights
from geostyle.warps import WarpParameters

_log = logging.getLogger(__name__)
Points = Correspondences | Mapping[str, Any] | str | os.PathLike[str] | None
Theta = WarpParameters | Estimate | str | os.PathLike[str] | None


def as_settings(settings: TransferSettings | None, changes: Mapping[str, Any]) -> TransferSettings:
    """Return settings that are given whole, or singly by name.

    Raises: InputError for both at once, for anything else, and for unusable values.
    """
    if settings is None:
        device = changes.get("device")
        own = {"device": str(device)} if isinstance(device, torch.device) else {}
        return resolve(TransferSettings, None, {**changes, **own})
    if not isinstance(settings, TransferSettings):
        raise InputError(
            f"settings: expected TransferSettings, or single ones by name, got {brief(settings)}"
        )
    if changes:
        raise InputError(
            f"settings: expected either settings or single ones, got {list(changes)} too"
        )
    return settings


def check_tex_styles(n_styles: int, tex_weights: Sequence[float] | None, n_masks: int) -> None:
    """Check the numbers of weights and masks against that of the texture styles."""
    if tex_weights is not None:
        normalized_weights(tex_weights, n_styles)
    if n_masks and (not n_styles or n_masks not in (n_styles, max(1, n_styles - 1))):
        raise InputError(
            "tex_mask: expected one mask for each texture style, or one less than the "
            f"{n_styles} given, got {n_masks}"
        )


def as_guide(content_mask: Any = None, geo_mask: Any = None, points: Points = None) -> Guide:
    """Masks and points of any kind, as `transfer` takes them, for the estimate."""
    return Guide(
        None if content_mask is None else as_mask(content_mask, "content_mask"),
        None if geo_mask is None else as_mask(geo_mask, "geo_mask"),
        Correspondences.of(points),
    )


def as_theta(theta: Any) -> WarpParameters | None:
    """A warp given as parameters, as an estimate or result that holds them, or as a file; or None.

    Raises: InputError for anything else.
    """
    return None if theta is None else WarpParameters.of(theta)


def tell_unused(theta: WarpParameters | None, geo_style: Tensor | None, guide: Guide) -> None:
    """Say in one line which inputs of a warp have no use beside the others."""
    inputs: dict[str, Any] = {} if theta is None else {"geo_style": geo_style}
    if theta is not None or geo_style is None:
        inputs |= {"content_mask": guide.content_mask, "geo_mask": guide.geo_mask}
    if theta is not None:
        inputs["points"] = guide.points
    unused = ", ".join(name for name, value in inputs.items() if value is not None)
    if unused:
        reason = "without a geo_style" if theta is None else "beside a theta that is given"
        _log.warning("%s: not used for the warp %s", unused, reason)


def tell_missed(
    points: Correspondences,
    estimate: Estimate,
    content: Tensor,
    geo_style: Tensor | None,
    frame: str,
) -> None:
    """Say in one line by how much a warp misses points given by hand, where that can be seen.

    Args: content, geo_style, frame, of the estimate.
    """
    theta, own = estimate.parameters, size_of(content)
    other, frame = (own, "content") if geo_style is None else (size_of(geo_style), frame)
    pairs = points.within(Frame.of(own, other, frame), own, other)
    pairs = pairs.mirrored() if theta.mirrored else pairs
    mapped = theta.warp_family.map_points(theta.theta.double(), pairs.outputs)
    errors = pairs.errors(mapped, own)
    missed = int((errors > MISSED).sum())
    if missed:
        farthest = float(errors.max()) * max(own) / 2
        _log.warning(
            "points: the warp misses %d of %d, the farthest by %.0f px of the content",
            missed, len(errors), farthest,
        )  # fmt: skip


def several(given: Any) -> list[Any]:
    """A list of pictures from one, several, or none."""
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def same_picture(a: Tensor, b: Tensor) -> bool:
    """Return True where two pictures are equal in every pixel."""
    return a.shape == b.shape and bool((a == b).all())
