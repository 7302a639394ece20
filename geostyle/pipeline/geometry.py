"""The geometry stage without its estimate: apply a warp to a picture and to masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from geostyle.coords import Size, check_shape, resize, size_of
from geostyle.device import own_world
from geostyle.errors import InputError, brief, is_number
from geostyle.io.images import as_picture, check_shape_kept, fit_size
from geostyle.pipeline.inputs import Theta, as_theta
from geostyle.pipeline.results import GeometryResult
from geostyle.pipeline.settings import TransferSettings
from geostyle.texture import normalized_masks
from geostyle.texture.memory import check_warp_fits
from geostyle.warps import (
    WarpParameters,
    fold_guard,
    make_family,
    sampling_grid,
    told_guard,
    warp_image,
)
from geostyle.warps.extends import EXTENDS


@own_world
def warp(
    content: Any,
    theta: Theta,
    *,
    strength: float = 1.0,
    size_px: int | None = None,
    extend: str = TransferSettings.extend,
) -> GeometryResult:
    """Warp `content` by an estimated, loaded or hand-made theta, at any size.

    Args:
        content: as for `transfer`.
        theta: an estimate, its parameters, or the path of a ``theta.json``.
        strength: 0 gives no warp, 1 the warp as it is, above 1 exaggerates its shapes, not their
            place and size; never folds.
        size_px: long side of the result; default the canvas at the content's own scale.
        extend: how the picture is filled beyond the content, see `geostyle.warps.warp_image`.
    """
    picture, warp_ = as_picture(content, "content", keeps_alpha=True), as_theta(theta)
    if warp_ is None:
        raise InputError("theta: expected a warp, an estimate or its file, got None")
    if not is_number(strength):
        raise InputError(f"strength: expected a finite number, got {brief(strength)}")
    if extend not in EXTENDS:
        raise InputError(f"extend: expected one of {', '.join(EXTENDS)}, got {brief(extend)}")
    warped = apply_warp(picture.tensor, warp_, strength, size_px, extend)
    return replace(warped, alpha=place_alpha(picture.alpha, warped))


def apply_warp(
    content: Tensor, theta: WarpParameters, strength: float, size_px: int | None, extend: str
) -> GeometryResult:
    """Warp `content` (1, 3, H, W); arguments as for `warp`."""
    size = canvas_size(size_of(content), theta, size_px)
    check_warp_fits(size)
    family = make_family(theta.family, theta.lattice)
    asked = theta.scaled(strength)
    scaled = fold_guard(family, asked, size)
    meta = {key: value for key, value in theta.meta.items() if key != "held"}
    if held := told_guard(family, asked[0], scaled[0]):
        meta["held"] = held
    applied = replace(theta, theta=scaled[0], meta={**meta, "strength": strength})
    grid = sampling_grid(family, scaled, size).float()
    image = warp_image(content.flip(-1) if theta.mirrored else content, grid, extend=extend)
    return GeometryResult(image, applied, grid)


def place_masks(
    masks: Sequence[Tensor],
    geometry: GeometryResult,
    settings: TransferSettings,
    n_styles: int,
    tex_weights: Sequence[float] | None = None,
) -> Tensor | None:
    """The weight of each of `n_styles` in each pixel of the canvas, from masks warped with it.

    Args:
        masks: (1, 1, h, w) each, in [0, 1], drawn on `settings.mask_frame`.
        geometry: outcome of the geometry stage.
        tex_weights: one per style, default equal.

    Returns: (n_styles, 1, H, W), see `normalized_masks`; None without masks.
    Raises: InputError where a mask has not the shape of the picture it is drawn on.
    """
    if not masks:
        return None
    size, theta, grid = size_of(geometry.tensor), geometry.parameters, geometry.grid
    if settings.mask_frame != "content":
        theta = None
    for mask in masks:
        drawn_on = size if theta is None else theta.content_size
        check_shape(mask, drawn_on, "tex_mask", of=f"of the {settings.mask_frame}, ")
    if theta is not None and grid is not None:
        if theta.mirrored:
            masks = [mask.flip(-1) for mask in masks]
        masks = [warp_image(mask, grid, extend="border") for mask in masks]
    return normalized_masks(masks, n_styles, size, tex_weights)


def canvas_size(content: Size, theta: WarpParameters | None, size_px: int | None) -> Size:
    """The result's (H, W): the content's shape, or that of the frame theta was estimated in."""
    own = content
    if theta is not None and theta.output_size != theta.content_size:
        own = theta.output_size
    if size_px is None:
        return own
    size = fit_size(own, size_px)
    check_shape_kept(own, size_px)
    return size


def place_alpha(alpha: Tensor | None, geometry: GeometryResult) -> Tensor | None:
    """The content's transparency (1, 1, h, w) on the canvas, warped with it; None for opaque."""
    if alpha is None or geometry.grid is None or geometry.parameters is None:
        return None if alpha is None else resize(alpha, size_of(geometry.tensor)).clamp(0, 1)
    alpha = alpha.flip(-1) if geometry.parameters.mirrored else alpha
    return warp_image(alpha, geometry.grid, extend="border").clamp(0, 1)
