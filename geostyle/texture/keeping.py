"""Keeping the subject: self-similarity of the content, and where it matters most."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size

# Cells of flat areas are compared by the mean of the cells this far around them: one by one, they
# could have equal features only by a pattern that repeats in every cell.
FLAT_RADIUS = 3
# Cosine distance from its surroundings below which a cell is flat, and above which it is not.
FLAT, NOT_FLAT = 0.04, 0.12


def self_similarity_error(found: Tensor, goal: Tensor, weights: Tensor | None = None) -> Tensor:
    """Difference of two normalized self-distance matrices, a scalar in [0, 2].

    Args:
        found, goal: (N, C), features of a picture and of the content at the same positions.
        weights: (N,), of the positions, of mean 1; default equal.

    Source: Kolkin et al., "Style Transfer by Relaxed Optimal Transport and Self-Similarity",
        equation 9.
    """
    difference = (_distances(found) - _distances(goal)).abs().sum(1)
    return difference.mean() if weights is None else (difference * weights).mean()


def _distances(features: Tensor) -> Tensor:
    """(N, N) cosine distances, every row of sum 1."""
    unit = F.normalize(features, dim=1)
    distances = (1 - unit @ unit.T).clamp_min(0)
    return distances / distances.sum(1, keepdim=True).clamp_min(1e-6)


def sums_around(maps: Tensor) -> Tensor:
    """Sums of `maps` (B, C, H, W) over squares of FLAT_RADIUS on each side, zeros beyond them.

    Returns: (B, C, H + 2·FLAT_RADIUS, W + 2·FLAT_RADIUS), centers beyond the edges included.
    """
    found: Tensor = _SumsAround.apply(maps)
    return found


class _SumsAround(torch.autograd.Function):
    """`sums_around`, nine times as fast on a CPU as pooling, whose kernel is not vectorized."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return _box_sums(F.pad(maps, (2 * FLAT_RADIUS,) * 4))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _box_sums(grads[0])


def _box_sums(maps: Tensor) -> Tensor:
    """Sums over squares of 2 · FLAT_RADIUS + 1 that lie within `maps`, down and then across."""
    for axis in (2, 3):
        side = maps.shape[axis] - 2 * FLAT_RADIUS
        total = maps.narrow(axis, 0, side).clone()
        for start in range(1, 2 * FLAT_RADIUS + 1):
            total += maps.narrow(axis, start, side)
        maps = total
    return maps


def sharpness(columns: Tensor, means: Tensor) -> Tensor:
    """Difference of features from the mean of those around them, 0 in flat areas, to 1.

    Args: columns, means: (1, C, H, W).
    Returns: (1, 1, H, W).
    """
    distance = 1 - F.cosine_similarity(columns, means, dim=1)[:, None]
    return ((distance - FLAT) / (NOT_FLAT - FLAT)).clamp(0, 1)


def structure(content: Tensor, size: Size) -> Tensor:
    """Map of the content's fine structure that stands out, (1, 1, H, W) in [0, 1].

    Eyes, faces, the heads of animals and text are dense in contrast at a fine scale and stand in
    calmer surroundings; foliage and gravel are dense everywhere, a sky nowhere.

    Args:
        content: (1, 3, h, w), sRGB in [0, 1].
        size: (H, W) of the map.
    """
    gray = content.mean(1, keepdim=True)
    fine = gray - F.avg_pool2d(gray, 5, 1, 2, count_include_pad=False)
    energy = F.interpolate(
        fine.square(), size, mode="bilinear", align_corners=False, antialias=True
    )
    near = blurred(energy, max(1, max(size) // 32)).sqrt()
    wide = blurred(energy, max(2, max(size) // 5)).sqrt()
    contrast = near / (wide + 0.5 * wide.mean() + 1e-4)
    return ((contrast - 0.6) / 0.9).clamp(0, 1)


def blurred(maps: Tensor, radius: int) -> Tensor:
    """`maps` averaged twice over squares of 2·radius + 1."""
    radius = min(radius, *((side - 1) // 2 for side in maps.shape[-2:]))
    if radius < 1:
        return maps
    for _ in range(2):
        maps = F.avg_pool2d(maps, 2 * radius + 1, 1, radius, count_include_pad=False)
    return maps


def random_positions(size: Size, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of `count` distinct positions of a map of `size` (H, W), or of all there are."""
    total = size[0] * size[1]
    if count >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=generator)[:count]
