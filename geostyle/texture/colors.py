"""Preservation of the content's colors: changes before a transfer, and after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import resize

GRAY_LEVELS = 2  # by which the channels of a gray picture may differ
# Least variance of a color axis; a gray picture has none.
MIN_VARIANCE = 1e-5
# Of `within_palette`: cells along the long side, about how many colors of the texture are taken,
# and the distance in sRGB over which they are averaged.
PALETTE_CELLS, PALETTE_COLORS, PALETTE_SOFTNESS = 128, 2048, 0.05


def before_transfer(
    content: Tensor, tex_styles: Sequence[Tensor], how: str, masks: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The content and styles to use so that the content's colors are preserved.

    Args:
        content, tex_styles: (1, 3, H, W), sRGB in [0, 1].
        how: "lab" transfers lightness alone; "histogram" gives the styles the content's colors;
            "off" changes nothing.
        masks: (n, 1, H, W), weight of each style in each pixel of the content; a style takes the
            colors of the pixels it paints.

    Source: Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", section 5.
    Differs: CIE lightness instead of the Y of YIQ; the optimal-transport map between the colors'
        Gaussians, which moves them least, instead of the square-root or Cholesky one.
    """
    weights = [None] * len(tex_styles) if masks is None else list(masks.split(1))
    pairs = list(zip(tex_styles, weights, strict=True))
    if how == "histogram":
        return content, [match_colors(style, content, weight) for style, weight in pairs]
    if how == "lab":
        lightness = _lightness(content)
        matched = [_match(_lightness(style), lightness, weight) for style, weight in pairs]
        return _gray(lightness), [_gray(style.clamp(0, 100)) for style in matched]
    return content, list(tex_styles)


def after_transfer(image: Tensor, content: Tensor, how: str) -> Tensor:
    """The transferred picture in the content's colors.

    Args:
        image: (1, 3, h, w), clamped to [0, 1] here.
        content: (1, 3, H, W), sRGB in [0, 1]; resized where the sizes differ.
        how: as for `before_transfer`.
    """
    if how != "lab":
        return image
    chroma = _to_lab(resize(content, (image.shape[-2], image.shape[-1])))[:, 1:]
    return _to_rgb(torch.cat([_lightness(image.clamp(0, 1)), chroma], 1))


def is_gray(image: Tensor) -> bool:
    """Return True for a picture (…, 3, H, W) without colors beyond rounding."""
    return float((image.amax(-3) - image.amin(-3)).max()) <= GRAY_LEVELS / 255


def without_chroma(image: Tensor) -> Tensor:
    """A picture (B, 3, H, W) in [0, 1] in grays of its own lightness, equal in all channels."""
    return _gray(_lightness(image.clamp(0, 1))).mean(-3, keepdim=True).expand_as(image).contiguous()


def match_colors(style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
    """`style` (1, 3, h, w) with the mean and covariance of the colors of `content` (1, 3, H, W).

    `weights` (1, 1, H, W) say which pixels of the content count. Clamped to [0, 1].
    """
    return _match(style, content, weights).clamp(0, 1)


def within_palette(image: Tensor, pictures: Sequence[Tensor], *, tolerance: float = 0.0) -> Tensor:
    """`image` with the colors of its cells moved to like colors of a palette.

    A map between Gaussians takes some colors beyond all of the texture's, such as the red of one
    flower under a pencil drawing, and optimizers tint. Each cell's mean moves to the mean of the
    palette's colors around it, weighted by distance; the detail within cells stays.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        pictures: (1, 3, h, w) each, whose colors together are the palette.
        tolerance: distance in sRGB from the nearest color of the palette up to which a cell stays;
            from twice that on it moves all the way.

    Returns: (1, 3, H, W) in [0, 1].
    """
    size = (image.shape[-2], image.shape[-1])
    cell_px = max(1, max(size) // PALETTE_CELLS)
    known = [F.avg_pool2d(picture, cell_px, ceil_mode=True) for picture in pictures]
    palette = torch.cat([picture[0].flatten(1).T for picture in known])
    palette = palette[:: max(1, len(palette) // PALETTE_COLORS)]
    cells = F.avg_pool2d(image, cell_px, ceil_mode=True)
    colors = cells[0].flatten(1).T
    moved = []
    for part in colors.split(PALETTE_COLORS):
        distance = torch.cdist(part, palette)
        like = (-(distance / PALETTE_SOFTNESS).square()).softmax(1) @ palette
        shift = like - part
        if tolerance:
            shift = shift * (distance.amin(1, keepdim=True) / tolerance - 1).clamp(0, 1)
        moved.append(shift)
    change = torch.cat(moved).T.reshape(cells.shape)
    return (image + F.interpolate(change, size, mode="bilinear", align_corners=False)).clamp(0, 1)


def _match(style: Tensor, content: Tensor, weights: Tensor | None) -> Tensor:
    """The affine map between Gaussians that moves least, applied to `style`, any channels."""
    mean, covariance = _moments(style, None)
    goal, wanted = _moments(content, weights)
    root = _power(covariance, 0.5)
    inverse = _power(covariance, -0.5)
    map_ = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    flat = style[0].flatten(1).double()
    return (map_ @ (flat - mean) + goal).view_as(style[0])[None].to(style.dtype)


def _moments(image: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (C, 1) and covariance (C, C) of the colors, float64."""
    flat = image[0].flatten(1).double()
    w = torch.ones_like(flat[:1]) if weights is None else weights[0].flatten(1).to(flat)
    w = w / w.sum()
    mean = (flat * w).sum(1, keepdim=True)
    centered = flat - mean
    spread = (centered * w) @ centered.T
    return mean, spread + MIN_VARIANCE * torch.eye(len(flat), dtype=flat.dtype, device=flat.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12).pow(exponent)) @ vectors.T


def _lightness(image: Tensor) -> Tensor:
    """CIE L*, (1, 1, H, W) in [0, 100]."""
    return _to_lab(image)[:, :1]


def _gray(lightness: Tensor) -> Tensor:
    """The gray picture (1, 3, H, W) of a lightness."""
    return _to_rgb(torch.cat([lightness, torch.zeros_like(lightness).expand(-1, 2, -1, -1)], 1))


def _to_lab(image: Tensor) -> Tensor:
    import kornia.color  # slow to load, and few runs need it

    lab: Tensor = kornia.color.rgb_to_lab(image)
    return lab


def _to_rgb(lab: Tensor) -> Tensor:
    import kornia.color

    rgb: Tensor = kornia.color.lab_to_rgb(lab)  # clamped to [0, 1]
    return rgb
