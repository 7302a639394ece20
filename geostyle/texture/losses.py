"""Texture and content losses: small modules with their target as a buffer.

Every loss is relative to its target's own energy, so the same weights serve VGG-19 in Caffe's
scale, in torchvision's, and `lite`; the papers' absolute losses are in `published.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Gram(torch.autograd.Function):
    """F Fᵀ / N with a one-product backward: its upstream gradient meets a symmetric matrix."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        return flat @ flat.transpose(1, 2) / flat.shape[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        (grad,) = grads
        return (grad + grad.transpose(1, 2)) @ flat / flat.shape[-1]


def gram(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Gram matrix of a feature map, averaged over positions.

    Args:
        features: (B, C, H, W), any floating dtype; products are taken in float32 at least.
        weights: optional (B, 1, H, W) non-negative position weights (a mask); the average is then
            over them.

    Returns:
        (B, C, C), divided by H·W (or by the sum of `weights`).

    Source: Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks", equation
        1.
    Differs: divided by the number of positions, so that pictures of different sizes compare.
    """
    if features.dtype in (torch.bfloat16, torch.float16):
        features = features.float()
    flat = features.flatten(2)
    if weights is None:
        return _Gram.apply(flat)
    w = weights.flatten(2).to(flat.dtype)
    weighted: Tensor = flat * w
    return weighted @ flat.transpose(1, 2) / w.sum(-1, keepdim=True).clamp_min(1e-8)


def relative_error(x: Tensor, target: Tensor) -> Tensor:
    """‖x − target‖² / ‖target‖² summed over items; targets of no energy count absolutely."""
    energy = target.flatten(1).pow(2).sum(1)
    # A constant black picture has features of (almost) no energy; dividing by them would explode.
    floor = 1e-16 * target[0].numel()
    # Item by item, so that pictures of one batch are optimised as each would be alone.
    return ((x - target).flatten(1).pow(2).sum(1) / energy.clamp_min(floor)).sum()


class GramLoss(nn.Module):
    """Relative squared distance of Gram matrices.

    Args:
        target: (B, C, C), as `gram` returns it.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 4.
    Differs: divided by ‖target‖² instead of 4 N² M².
    """

    target: Tensor

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target.detach())

    def forward(self, features: Tensor, weights: Tensor | None = None) -> Tensor:
        return relative_error(gram(features, weights), self.target)


class ContentLoss(nn.Module):
    """Relative squared distance of feature maps.

    Args:
        target: (B, C, H, W).

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 1.
    Differs: divided by ‖target‖² instead of 2.
    """

    target: Tensor

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target.detach())

    def forward(self, features: Tensor) -> Tensor:
        return relative_error(features.to(self.target.dtype), self.target)


class MomentLoss(nn.Module):
    """Relative squared distance of channel means and standard deviations.

    Args:
        mean, std: (B, C, 1) of the target features.

    Source: Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
        Normalization", equation 13; beside Gram matrices it removes washed-out colour (Texler et
        al. and others).
    Differs: divided by the target's energy.
    """

    target: Tensor

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.register_buffer("target", target.detach())

    @staticmethod
    def statistics(features: Tensor, weights: Tensor | None = None) -> Tensor:
        """(B, C, 2): mean and standard deviation of each channel over (weighted) positions."""
        flat = features.float().flatten(2)
        if weights is None:
            mean, square = flat.mean(-1), flat.pow(2).mean(-1)
        else:
            w = weights.flatten(2).to(flat.dtype)
            w = w / w.sum(-1, keepdim=True).clamp_min(1e-8)
            mean, square = (flat * w).sum(-1), (flat.pow(2) * w).sum(-1)
        std = (square - mean.pow(2)).clamp_min(1e-8).sqrt()
        return torch.stack([mean, std], dim=-1)

    def forward(self, features: Tensor, weights: Tensor | None = None) -> Tensor:
        return relative_error(self.statistics(features, weights), self.target)


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, horizontally plus vertically; a scalar.

    Args:
        image: (B, C, H, W).

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses", section 3.2 (after Mahendran & Vedaldi
        2015, β = 2).
    """
    right = (image[..., :, 1:] - image[..., :, :-1]).pow(2).mean() if image.shape[-1] > 1 else 0.0
    down = (image[..., 1:, :] - image[..., :-1, :]).pow(2).mean() if image.shape[-2] > 1 else 0.0
    return image.new_zeros(()) + right + down
