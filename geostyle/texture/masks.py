"""Soft masks: which texture style paints where."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geostyle.coords import Size, resize
from geostyle.errors import InputError
from geostyle.texture.objective import normalized_weights


def normalized_masks(
    masks: Sequence[Tensor], n_styles: int, size: Size, tex_weights: Sequence[float] | None = None
) -> Tensor:
    """The weight of every texture style in every pixel.

    Args:
        masks: (1, 1, h, w) in [0, 1] each, white where its style paints: one per style, or one
            less, and the last style takes the rest. A single mask for a single style says where
            anything is painted.
        n_styles: number of texture styles.
        size: (H, W) of the picture that is painted.
        tex_weights: one weight per style, default equal, which its mask is multiplied by.

    Returns: (n_styles, 1, H, W); the weights of a pixel sum to 1 (for a single style they are its
        mask), and where all masks are black they are `tex_weights`.
    Raises: InputError for a style that paints nowhere.
    """
    found = torch.cat([resize(mask, size, "bilinear") for mask in masks]).clamp(0, 1)
    if len(masks) < n_styles:
        found = torch.cat([found, (1 - found.sum(0, keepdim=True)).clamp_min(0)])
    black = [number + 1 for number, mask in enumerate(found) if float(mask.max()) < 1 / 255]
    if black:
        raise InputError(
            f"tex_mask: expected some white for texture style {black[0]}, got a black mask"
        )
    if n_styles == 1:
        return found
    weights = found.new_tensor(normalized_weights(tex_weights, n_styles)).view(-1, 1, 1, 1)
    weighted = found * weights
    total = weighted.sum(0, keepdim=True)
    return torch.where(total < 1e-4, weights, weighted / total.clamp_min(1e-4))


def keep_unmasked(image: Tensor, content: Tensor, masks: Tensor) -> Tensor:
    """`image` (1, 3, H, W) where it is painted, `content` of the same size elsewhere.

    Args: masks, (n, 1, H, W), see `normalized_masks`.
    """
    return torch.lerp(content, image, masks.sum(0, keepdim=True).clamp(0, 1))
