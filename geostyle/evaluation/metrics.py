"""Figures of merit for warps: PCK of keypoints, and bootstrap intervals over pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def keypoint_errors(found: Array, truth: Array, unit_px: float | None = None) -> Array:
    """Return the distance of every mapped keypoint from its true position.

    Args:
        found, truth: (K, 2) pixels (x, y) in the source picture: the target's keypoints mapped to
            it, and its own keypoints.
        unit_px: another unit, in pixels of the source.

    Returns:
        (K,), in units of `unit_px`; default max(width, height) of the box around `truth`.

    Source: Yang & Ramanan, "Articulated human detection with flexible mixtures of parts"; the box
        of the keypoints as in Ham et al., "Proposal Flow", section 5.1.
    """
    box = truth.max(0) - truth.min(0)
    distances: Array = np.linalg.norm(found - truth, axis=1)
    return distances / max(float(box.max()) if unit_px is None else unit_px, 1e-9)


def pck(errors: Sequence[Array], alpha: float) -> float:
    """Return the percentage of correct keypoints at `alpha`, a mean of each pair's own share.

    Args:
        errors: one (K,) array per pair, as `keypoint_errors` returns them.
        alpha: largest error of a keypoint that counts as right.
    """
    return 100 * float(np.mean([(e <= alpha).mean() for e in errors]))


def bootstrap_over_pictures(
    values: Sequence[float],
    pictures: Sequence[tuple[str, str]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values`, by a bootstrap over pictures, not pairs.

    Pairs that share a picture are not independent: drawing pairs would make the interval far too
    narrow. Every draw takes as many pictures as there are, with replacement; a pair counts as often
    as the product of its two pictures' counts.

    Args:
        values: one figure per pair.
        pictures: names of the two pictures of each pair.
        draws, seed: number of draws, and the seed of them.

    Returns: the bounds (low, high).

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


@dataclass(frozen=True)
class Reliability:
    """Agreement of confidences with correctness.

    Attributes:
        bins: (low, high, pairs, mean confidence, mean share right) of every bin that holds pairs.
        above: (threshold, pairs at or above it, mean share right among them).
        ranking: the probability that of two pairs, one mostly right and one not, the former has the
            higher confidence (0.5: no information); NaN where there are no two such pairs.
    """

    bins: list[tuple[float, float, int, float, float]]
    above: list[tuple[float, int, float]]
    ranking: float


def reliability(
    confidences: Sequence[float], right: Sequence[float], *, n_bins: int = 10
) -> Reliability:
    """Compare confidence with correctness.

    Args:
        confidences: one per pair, in [0, 1].
        right: the share of each pair that is right, in [0, 1].
        n_bins: bins of equal width.

    Source: the reliability diagram of Niculescu-Mizil & Caruana, "Predicting good probabilities
        with supervised learning"; ranking is the area under the ROC curve.
    """
    sure, good = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    number = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    bins = [
        (k / n_bins, (k + 1) / n_bins, int(m.sum()), float(sure[m].mean()), float(good[m].mean()))
        for k in range(n_bins)
        if (m := number == k).any()
    ]
    above = [
        (k / n_bins, int(m.sum()), float(good[m].mean()))
        for k in range(n_bins)
        if (m := sure >= k / n_bins).any()
    ]
    positive, negative = sure[good >= 0.5], sure[good < 0.5]
    ranking = float("nan")
    if len(positive) and len(negative):
        gaps = positive[:, None] - negative
        ranking = float((gaps > 0).mean() + (gaps == 0).mean() / 2)
    return Reliability(bins, above, ranking)


def reliability_by_name(samples: Iterable[tuple[str, float, float]]) -> dict[str, Reliability]:
    """Compare confidence with correctness, for each name alone.

    Args:
        samples: (name, confidence, share right) of every pair; see `reliability`.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for name, confidence, right in samples:
        groups.setdefault(name, []).append((confidence, right))
    return {name: reliability(*zip(*group, strict=True)) for name, group in groups.items()}


def reliability_table(found: Reliability) -> str:
    """Return the bins as text, one per line, each with the figures at or above its lower edge."""
    above = {low: (pairs, right) for low, pairs, right in found.above}
    lines = ["confidence   pairs   mean   right   at or above   right"]
    for low, high, pairs, mean, right in found.bins:
        count, good = above[low]
        lines.append(
            f"{low:.1f} to {high:.1f} {pairs:>7} {mean:>6.2f} {100 * right:>6.1f}%"
            f"{count:>13} {100 * good:>7.1f}%"
        )
    lines.append(f"the surer of a right and a wrong pair is right: {100 * found.ranking:.1f}%")
    return "\n".join(lines)
