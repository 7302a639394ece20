"""The estimator that needs no training: an annealed fit to soft matches.

Features give every pair of positions, one in each picture, a probability of being each other's best
match. Two maps, there and back, are then fitted to these soft matches by annealing: each position
reads its match as the mean of its candidates that lie near both maps, the maps are fitted to the
readings, and "near" shrinks; affine first, then the whole family. Maps stay within bounds in
rotation, scale and stretch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.matching.bounds import bounded, exceeds
from geostyle.matching.frames import Frame, square
from geostyle.matching.matches import Matches
from geostyle.matching.points import Hand
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine

# The annealing: how far from the maps a match may lie (a Gaussian's σ, in half long sides), and the
# spline's smoothing as a multiple of the final one; None fits affine maps.
Schedule = Sequence[tuple[float, float | None]]
SCHEDULE: Schedule = (
    (1.0, None), (0.7, None), (0.5, None), (0.35, 100.0), (0.25, 10.0), (0.18, 3.0), (0.12, 1.0),
)  # fmt: skip
# From maps that are known roughly.
SHORT_SCHEDULE: Schedule = ((0.25, 10.0), (0.18, 3.0), (0.12, 1.0))
# A point given by hand weighs as this share of all matches, less where it is far off the map.
HAND, HAND_REACH = 0.5, 0.3
HOME = 0.1  # how near a round trip must end to count as returned, in half long sides


@dataclass(frozen=True)
class Fit:
    """Two maps fitted to matches, there (output → content) and back.

    explained: the share of all soft matches near the maps, beyond chance.
    returning: the share of matched points that one map after the other brings back home.
    """

    there: Side
    back: Side
    explained: float
    returning: float

    @property
    def confidence(self) -> float:
        """In [0, 1]; how far the pictures share the geometry that the map carries over."""
        return math.sqrt(self.explained * self.returning)


def anneal(
    matches: Matches,
    frame: Frame,
    settings: GeometrySettings,
    schedule: Schedule = SCHEDULE,
    start: tuple[Tensor, Tensor] | None = None,
    hand: Hand | None = None,
) -> Fit:
    """Fit two maps, there and back, to soft matches.

    start: where the targets lie in the content (Nt, 2), and the sources in the output (Ns, 2),
        before the first round; default: nothing warped.
    hand: correspondences given by hand, which count beside the matches.

    Source: after the deterministic annealing of Chui & Rangarajan, "A new point matching algorithm
        for non-rigid registration".
    Differs: features give the prior probabilities, and a match counts as far as it lies near both
        maps, so that neither can gather a region of one picture into a point of the other.
    """
    there = Side(matches.target, frame, settings, hand)
    opposite = None if hand is None else Hand(hand.contents, hand.outputs)
    back = Side(matches.source, frame.inverse(), settings, opposite)
    if start is not None:
        there.mapped, back.mapped = start
    for reach, stiffness in schedule:
        near = there.closeness(matches.source, reach) * back.closeness(matches.target, reach).mT
        support = near * matches.probability
        there.update(matches.source, support, stiffness)
        back.update(matches.target, support.mT, stiffness)
    return Fit(there, back, explained(near, matches.probability), _returning(there, back))


def explained(near: Tensor, probability: Tensor) -> float:
    """The share of all matches near the map, beyond what as wide a net would catch anyhow."""
    share, chance = float((near * probability).sum() / probability.sum()), float(near.mean())
    return max(0.0, share - chance) / (1 - chance) if chance < 1 else 0.0


class Side:
    """One of the two maps while it is fitted: points (N, 2) of its output frame, their matches."""

    affine: Tensor
    theta: Tensor

    def __init__(
        self, points: Tensor, frame: Frame, settings: GeometrySettings, hand: Hand | None = None
    ) -> None:
        self.points, self.frame, self.settings = points, frame, settings
        if hand is None:
            hand = Hand(points[:0], points[:0])
        self.hand, self.hand_mapped = hand, hand.contents  # trusted at first
        self.family = make_family(settings.geometry, settings.lattice)
        self.mapped = points * frame.neutral
        # The prior is matches of its own, spread over the output frame.
        self.spread = base_grid((8, 8), dtype=torch.float64).flatten(0, 1)

    def closeness(self, candidates: Tensor, reach: float) -> Tensor:
        """How near candidates (M, 2) lie to where the points map: (M, N) in [0, 1]."""
        size = self.frame.content_size
        distance = torch.cdist(square(candidates, size), square(self.mapped, size))
        return (distance / reach).square_().div_(-2).exp_()

    def update(self, candidates: Tensor, support: Tensor, stiffness: float | None) -> None:
        """Fit the map anew to candidates (M, 2), of which each point has `support` (M, N)."""
        mass = support.sum(0)
        self.matches = support.mT @ candidates / mass.clamp_min(1e-30)[:, None]
        self.weights = mass.sqrt() + 1e-12
        off = square(self.hand_mapped - self.hand.contents, self.frame.content_size).norm(dim=1)
        trust = 1 / (1 + (off / HAND_REACH).square())
        self.hand_weights = HAND * self.weights.sum() * trust
        pull = self.settings.prior
        affine = self._fit(Affine(), self.spread * self.frame.neutral, pull, 0.0)
        center = (self.weights[:, None] * self.points).sum(0) / self.weights.sum()
        self.affine = bounded(affine, self.frame, self.settings, center)
        if stiffness is None:
            self.mapped = Affine().map(self.affine[None], self.points[None])[0]
            self.hand_mapped = Affine().map(self.affine[None], self.hand.outputs[None])[0]
            return
        # The whole family is pulled to the affine map, the harder the more it would distort.
        prior = Affine().map(self.affine[None], self.spread[None])[0]
        smoothing = self.settings.smoothing * stiffness
        for _ in range(20):
            self.theta = self._fit(self.family, prior, pull, smoothing)
            if not exceeds(self.family, self.theta, self.frame, self.settings):
                break
            pull = 2 * pull + 1e-3
        self.mapped, self.hand_mapped = self.map(self.points), self.map(self.hand.outputs)

    def map(self, points: Tensor) -> Tensor:
        """Where points (N, 2) of the output frame lie in the content frame."""
        return self.family.map(self.theta[None], points[None])[0]

    def _fit(self, family: WarpFamily, prior: Tensor, pull: float, smoothing: float) -> Tensor:
        pulls = torch.full_like(prior[:, 0], pull * float(self.weights.sum()) / len(prior))
        return family.fit(
            torch.cat((self.points, self.spread, self.hand.outputs)),
            torch.cat((self.matches, prior, self.hand.contents)),
            torch.cat((self.weights, pulls, self.hand_weights)),
            smoothing,
        )


def _returning(there: Side, back: Side) -> float:
    again = back.map(there.mapped)
    error = square(again - there.points, there.frame.output_size).norm(dim=1)
    inside = (torch.cat((there.mapped, there.points), 1).abs() <= 1).all(1)
    home = inside & (error < HOME)
    return float((there.weights * home).sum() / there.weights.sum())
