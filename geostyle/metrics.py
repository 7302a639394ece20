"""Figures of merit for warps: PCK of keypoints, and bootstrap intervals over pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def keypoint_errors(found: Array, truth: Array) -> Array:
    """Distance of every keypoint from where it belongs, in units of the keypoint box's long side.

    Args:
        found, truth: (K, 2) pixels (x, y) in the source picture; where the target's keypoints are
            carried to, and the source's own.

    Returns:
        (K,), in units of max(width, height) of the box around `truth`.

    Source: Yang & Ramanan, "Articulated human detection with flexible mixtures of parts"; the box
        of the keypoints as in Ham et al., "Proposal Flow", section 5.1.
    """
    box = truth.max(0) - truth.min(0)
    distances: Array = np.linalg.norm(found - truth, axis=1)
    return distances / max(float(box.max()), 1e-9)


def pck(errors: Sequence[Array], alpha: float) -> float:
    """Percentage of correct keypoints at `alpha`: the mean over pairs of each pair's own share.

    Args:
        errors: one (K,) array a pair, as `keypoint_errors` returns them.
        alpha: a keypoint is right when its error is at most this.
    """
    return 100 * float(np.mean([(e <= alpha).mean() for e in errors]))


def bootstrap_over_pictures(
    values: Sequence[float],
    pictures: Sequence[tuple[str, str]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of the mean of per-pair `values` when pictures, not pairs, are drawn anew.

    Pairs that share a picture are not independent: drawing pairs would make the interval far too
    narrow. Every draw takes as many pictures as there are, with replacement; a pair counts as often
    as the product of its two pictures' counts.

    Args:
        values: one figure a pair.
        pictures: names of the two pictures of each pair.

    Source: Owen, "The pigeonhole bootstrap", 2007.
    """
    names = sorted({name for pair in pictures for name in pair})
    index = {name: i for i, name in enumerate(names)}
    a, b = (np.array([index[pair[k]] for pair in pictures]) for k in (0, 1))
    rng = np.random.default_rng(seed)
    figures = np.asarray(values, dtype=np.float64)
    means = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = counts[a] * counts[b]
        if weights.sum():
            means.append(float((weights * figures).sum() / weights.sum()))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
