"""Correlation of two feature maps: similarity of every content position with every other one.

Correlations are (B, Hs·Ws, Ht, Wt): the source (the content) flattened row by row, the target (the
geometry style) as a map, so that a slice [:, :, y, x] scores the sources of one target position.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.errors import InputError

TEMPERATURE = 0.05  # of the match probability, in units of cosine similarity
HIDDEN = 1e-6  # weight of positions that a mask hides


def correlate(source: Tensor, target: Tensor, *, center: bool = False) -> Tensor:
    """Return the cosine similarity of every source position with every target position.

    Args:
        source: (B, C, Hs, Ws) features of the content.
        target: (B, C, Ht, Wt) features of the geometry style, from the same layer.
        center: subtract the mean direction of both pictures before comparing, so that features
            common to all positions (flat background, the layer's bias) do not count as similar.

    Returns: (B, Hs·Ws, Ht, Wt) in [-1, 1]; 0 where a feature vector is zero.
    Raises: InputError where the shapes do not go together.
    Source: Liu et al., "Geometric Style Transfer", section 3.2.
    Differs: the paper does not center.
    """
    if source.ndim != 4 or target.ndim != 4 or source.shape[:2] != target.shape[:2]:
        raise InputError(
            "features: expected two (B, C, H, W) maps of one layer, "
            f"got {tuple(source.shape)} and {tuple(target.shape)}"
        )
    a, b = F.normalize(source.flatten(2), dim=1), F.normalize(target.flatten(2), dim=1)
    if center:
        mean = (a.mean(2, keepdim=True) + b.mean(2, keepdim=True)) / 2
        # The lower bound keeps the rounding noise of flat pictures from counting as features.
        a, b = (F.normalize(x - mean, dim=1, eps=1e-3) for x in (a, b))
    return (a.mT @ b).unflatten(2, target.shape[2:])


def normalize_correlation(correlation: Tensor) -> Tensor:
    """Apply a ReLU, then scale to unit L2 norm over the source positions.

    Regression networks read correlations in this form.

    Args:
        correlation: (B, Hs·Ws, Ht, Wt).

    Returns: the same shape, in [0, 1].
    Source: Rocco et al., "Convolutional neural network architecture for geometric matching",
        section 3.2.
    """
    return F.normalize(F.relu(correlation), dim=1)


def mutual_probability(correlation: Tensor, temperature: float) -> Tensor:
    """Return the probability that two positions are mutual nearest neighbors.

    Args:
        correlation: (B, Hs·Ws, Ht, Wt).
        temperature: above 0, in units of cosine similarity.

    Returns: the same shape, in [0, 1]: softmax over the source times softmax over the target.
    Source: the dual softmax of Rocco et al., "Neighborhood Consensus Networks", section 3.
    """
    logits = correlation.flatten(2) / temperature
    return (logits.softmax(1) * logits.softmax(2)).view_as(correlation)


def masked_probability(correlation: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return `mutual_probability` among the positions that two masks show.

    Args:
        correlation: (1, Ns, Ht, Wt).
        source, target: (Ns,) and (Ht·Wt,), weights in [0, 1] of the positions; 0 excludes one.

    Returns: (Ns, Ht·Wt) in [0, 1], float64.
    """
    a, b = (w.double().clamp_min(HIDDEN) for w in (source, target))
    log_weights = TEMPERATURE * (a.log()[:, None] + b.log())
    logits = correlation.double() + log_weights.view_as(correlation)
    probability = mutual_probability(logits, TEMPERATURE)[0].flatten(1)
    return probability * (a > HIDDEN)[:, None] * (b > HIDDEN)


def mutual_neighbors(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions that are each other's best match.

    Args:
        correlation: (1, Hs·Ws, Ht, Wt).

    Returns: flat indices (N,) of the source and of the target.
    """
    scores = correlation[0].flatten(1)
    best_source, best_target = scores.argmax(0), scores.argmax(1)
    target = torch.arange(scores.shape[1], device=scores.device)
    mutual = best_target[best_source] == target
    return best_source[mutual], target[mutual]
