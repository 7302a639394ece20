"""Texture and content losses: small modules with their target as a buffer.

Every loss is relative to its target's energy, so the same weights serve VGG-19 in Caffe's scale,
in torchvision's, and `lite`; the papers' absolute losses are in `published.py`. Texture losses take
averages over a layer's positions (`Statistics`), which may be summed over the parts of a picture.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Statistics(NamedTuple):
    """Averages over the positions of a layer: Gram matrix (B, C, C), channel means (B, C)."""

    gram: Tensor
    mean: Tensor


class _Gram(torch.autograd.Function):
    """F Fᵀ / total with one product in the backward pass, since the result is symmetric."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, total: float) -> Tensor:
        ctx.save_for_backward(flat)
        ctx.total = total
        return flat @ flat.transpose(1, 2) / total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (flat,) = ctx.saved_tensors
        (grad,) = grads
        symmetric = (grad + grad.transpose(1, 2)) / ctx.total
        if flat.stride(1) == 1:  # channels last: keep the layout of the network's gradient
            return (flat.transpose(1, 2) @ symmetric).transpose(1, 2), None
        return symmetric @ flat, None


def gram(features: Tensor, weights: Tensor | None = None, *, total: float | None = None) -> Tensor:
    """Gram matrix of a feature map, averaged over positions.

    Args:
        features: (B, C, H, W), any floating dtype; products are taken in float32 at least.
        weights: optional (B, 1, H, W) non-negative position weights (a mask); the average is then
            over them.
        total: divisor of the sum; default H·W, or the sum of `weights`. With that of the whole
            picture, the Gram matrices of its parts add up to its own.

    Returns:
        (B, C, C).

    Source: Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks", equation
        1.
    Differs: divided by the number of positions, so that pictures of different sizes compare.
    """
    flat = _flat(features)
    if weights is None:
        return _Gram.apply(flat, total or flat.shape[-1])
    w = weights.flatten(2).to(flat.dtype)
    if total is None:
        w = w / w.sum(-1, keepdim=True).clamp_min(1e-8)
    return _Gram.apply(flat * w.sqrt(), total or 1.0)


def channel_mean(
    features: Tensor, weights: Tensor | None = None, *, total: float | None = None
) -> Tensor:
    """Mean of each channel over (weighted) positions, (B, C); arguments as for `gram`."""
    flat = _flat(features)
    if weights is None:
        return flat.sum(-1) / (total or flat.shape[-1])
    w = weights.flatten(2).to(flat.dtype)
    divisor = w.sum(-1).clamp_min(1e-8) if total is None else total
    return (flat @ w.transpose(1, 2)).squeeze(-1) / divisor


def statistics(features: Tensor, weights: Tensor | None = None) -> Statistics:
    """Statistics of a whole feature map; arguments as for `gram`."""
    return Statistics(gram(features, weights), channel_mean(features, weights))


def energy(target: Tensor) -> Tensor:
    """‖target‖² of each item, (B,), at least a small number: black pictures have almost none."""
    return target.flatten(1).pow(2).sum(1).clamp_min(1e-16 * target[0].numel())


def squared_distance(x: Tensor, target: Tensor) -> Tensor:
    """‖x − target‖² of each item, (B,)."""
    return (x - target).flatten(1).pow(2).sum(1)


def relative_error(x: Tensor, target: Tensor) -> Tensor:
    """‖x − target‖² / ‖target‖² summed over items, so that each is optimized independently.

    Source: for feature maps, Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style",
        equation 1.
    Differs: divided by ‖target‖² instead of 2.
    """
    return (squared_distance(x, target) / energy(target)).sum()


class GramLoss(nn.Module):
    """Relative squared distance of Gram matrices.

    Args:
        target: the exemplar's statistics.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 4.
    Differs: divided by ‖target‖² instead of 4 N² M².
    """

    target: Tensor

    def __init__(self, target: Statistics) -> None:
        super().__init__()
        self.register_buffer("target", target.gram.detach())

    def forward(self, found: Statistics) -> Tensor:
        return relative_error(found.gram, self.target)


class MomentLoss(nn.Module):
    """Relative squared distance of channel means and standard deviations.

    Args:
        target: the exemplar's statistics.

    Source: Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
        Normalization", equation 13; beside Gram matrices it removes washed-out color (Texler et
        al. and others).
    Differs: divided by the target's energy.
    """

    target: Tensor

    def __init__(self, target: Statistics) -> None:
        super().__init__()
        self.register_buffer("target", self.moments(target).detach())

    @staticmethod
    def moments(found: Statistics) -> Tensor:
        """(B, C, 2): mean and standard deviation of each channel."""
        square = found.gram.diagonal(dim1=1, dim2=2)
        std = (square - found.mean.pow(2)).clamp_min(1e-8).sqrt()
        return torch.stack([found.mean, std], dim=-1)

    def forward(self, found: Statistics) -> Tensor:
        return relative_error(self.moments(found), self.target)


class WassersteinLoss(nn.Module):
    """Relative squared 2-Wasserstein distance of the Gaussians with a layer's mean and covariance.

    Args:
        target: the exemplar's statistics.

    Source: Dowson & Landau, "The Fréchet distance between multivariate normal distributions"; for
        textures, Xia et al. 2014, "Synthesizing and mixing stationary Gaussian texture models",
        and K. Crowson, style-transfer-pytorch.
    Differs: divided by the target's energy, the mean of ‖f‖² over its positions; the root's
        derivative in closed form, not through an eigendecomposition, which has none where
        eigenvalues coincide.
    """

    mean: Tensor
    root: Tensor
    variance: Tensor
    energy: Tensor
    floor: Tensor

    def __init__(self, target: Statistics) -> None:
        super().__init__()
        covariance = _covariance(target).detach()
        values, vectors = torch.linalg.eigh(covariance)
        root = (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.transpose(1, 2)
        energy = target.gram.diagonal(dim1=1, dim2=2).sum(1)
        self.register_buffer("mean", target.mean.detach())
        self.register_buffer("root", root)
        self.register_buffer("variance", values.clamp_min(0).sum(1))
        self.register_buffer("energy", energy.detach().clamp_min(1e-16 * root.shape[-1]))
        self.register_buffer("floor", 1e-6 * values[:, -1:].pow(2).clamp_min(1e-30))

    def forward(self, found: Statistics) -> Tensor:
        covariance = _covariance(found)
        means = squared_distance(found.mean, self.mean)
        variance = covariance.diagonal(dim1=1, dim2=2).sum(1)
        common = _RootTrace.apply(self.root @ covariance @ self.root, self.floor)
        return ((means + variance + self.variance - 2 * common) / self.energy).sum()


class _RootTrace(torch.autograd.Function):
    """tr(M^½) of positive semidefinite matrices (B, C, C), smoothed where M is singular.

    Eigenvalues λ count √(λ + ε) − √ε, ε = `floor` (B, 1): zero ones would have an infinite slope.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor, floor: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrices)
        roots = (values.clamp_min(0) + floor).sqrt()
        ctx.save_for_backward(roots, vectors)
        return (roots - floor.sqrt()).sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        roots, vectors = ctx.saved_tensors
        half = (0.5 * grads[0][:, None] / roots)[:, None]
        return (vectors * half) @ vectors.transpose(1, 2), None


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, horizontally plus vertically; a scalar.

    Args:
        image: (B, C, H, W).

    Source: Johnson, Alahi, Fei-Fei, "Perceptual Losses", section 3.2 (after Mahendran & Vedaldi
        2015, β = 2).
    """
    right = (image[..., :, 1:] - image[..., :, :-1]).pow(2).mean() if image.shape[-1] > 1 else 0.0
    down = (image[..., 1:, :] - image[..., :-1, :]).pow(2).mean() if image.shape[-2] > 1 else 0.0
    return image.new_zeros(()) + right + down


def _covariance(found: Statistics) -> Tensor:
    return found.gram - found.mean[:, :, None] * found.mean[:, None, :]


def _flat(features: Tensor) -> Tensor:
    """(B, C, H·W) in float32 at least: half precision would overflow or round in the sums."""
    if features.dtype in (torch.bfloat16, torch.float16):
        features = features.float()
    return features.flatten(2)
