"""The estimator that needs no training: an annealed fit to soft matches.

Features give every pair of positions, one in each picture, a probability of being each other's best
match. Two maps, there and back, are then fitted to these soft matches by annealing: each position
reads its match as the mean of its candidates that lie near both maps, the maps are fitted to the
readings, and "near" shrinks; affine first, then the whole family. Maps stay within bounds in
rotation, scale and stretch, and fade where the pictures share little geometry.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.estimate.bounds import bounded, stretch_of
from geostyle.estimate.frames import Frame, square
from geostyle.estimate.result import Estimate, faded, guarded
from geostyle.estimate.settings import GeometrySettings
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine

TEMPERATURE = 0.05  # of the match probability, in cosine similarity
# The annealing: how far from the maps a match may lie (a Gaussian's σ, in half long sides), and the
# spline's smoothing as a multiple of the final one; None fits affine maps.
SCHEDULE: tuple[tuple[float, float | None], ...] = (
    (1.0, None), (0.7, None), (0.5, None), (0.35, 100.0), (0.25, 10.0), (0.18, 3.0), (0.12, 1.0),
)  # fmt: skip
HOME = 0.1  # how near a round trip must end to count as returned, in half long sides


def robust(
    probability: Tensor, source: Tensor, target: Tensor, frame: Frame, settings: GeometrySettings
) -> Estimate:
    """Annealed fit of two maps, there and back, to soft matches; see the top of the file.

    probability: (Ns, Nt). source: (Ns, 2) in the content. target: (Nt, 2) in the geometry style.
    Source: after the deterministic annealing of Chui & Rangarajan, "A new point matching algorithm
    for non-rigid registration".
    Differs: features give the prior probabilities, and a match counts as far as it lies near both
    maps, so that neither can gather a region of one picture into a point of the other.
    """
    there = Side(target * frame.to_output, frame, settings)
    back = Side(source, frame.inverse(), settings)
    for reach, stiffness in SCHEDULE:
        near = there.closeness(source, reach) * back.closeness(there.points, reach).mT
        support = near * probability
        there.update(source, support, stiffness)
        back.update(there.points, support.mT, stiffness)
    confidence = math.sqrt(explained(near, probability) * _returning(there, back))
    theta, message = faded(there.family, there.theta, frame, confidence, settings)
    parameters = guarded(there.family, theta, frame, confidence)
    return Estimate(parameters, confidence, there.points, there.matches, there.weights, message)


def explained(near: Tensor, probability: Tensor) -> float:
    """The share of all matches near the map, beyond what as wide a net would catch anyhow."""
    share, chance = float((near * probability).sum() / probability.sum()), float(near.mean())
    return max(0.0, share - chance) / (1 - chance) if chance < 1 else 0.0


class Side:
    """One of the two maps while it is fitted: points (N, 2) of its output frame, their matches."""

    def __init__(self, points: Tensor, frame: Frame, settings: GeometrySettings) -> None:
        self.points, self.frame, self.settings = points, frame, settings
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
        pull = self.settings.prior
        affine = self._fit(Affine(), self.spread * self.frame.neutral, pull, 0.0)
        centre = (self.weights[:, None] * self.points).sum(0) / self.weights.sum()
        affine = bounded(affine, self.frame, self.settings, centre)
        if stiffness is None:
            self.mapped = Affine().map(affine[None], self.points[None])[0]
            return
        # The whole family is pulled to the affine map, the harder the more it would distort.
        prior = Affine().map(affine[None], self.spread[None])[0]
        smoothing = self.settings.smoothing * stiffness
        for _ in range(20):
            self.theta = self._fit(self.family, prior, pull, smoothing)
            if stretch_of(self.family, self.theta, self.frame) <= self.settings.max_stretch:
                break
            pull = 2 * pull + 1e-3
        self.mapped = self.family.map(self.theta[None], self.points[None])[0]

    def _fit(self, family: WarpFamily, prior: Tensor, pull: float, smoothing: float) -> Tensor:
        pulls = torch.full_like(prior[:, 0], pull * float(self.weights.sum()) / len(prior))
        return family.fit(
            torch.cat((self.points, self.spread)),
            torch.cat((self.matches, prior)),
            torch.cat((self.weights, pulls)),
            smoothing,
        )


def _returning(there: Side, back: Side) -> float:
    """The share of matched points that both maps, one after the other, bring back home."""
    again = back.family.map(back.theta[None], there.mapped[None])[0]
    error = square(again - there.points, there.frame.output_size).norm(dim=1)
    inside = (torch.cat((there.mapped, there.points), 1).abs() <= 1).all(1)
    home = inside & (error < HOME)
    return float((there.weights * home).sum() / there.weights.sum())
