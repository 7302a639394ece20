"""Annealed fit of two maps, there and back, to soft matches, within bounds; needs no training.

Features give every pair of positions, one in each picture, a probability of being each other's best
match. Two maps, there and back, are fitted to these soft matches by annealing: the match of each
position is the mean of its candidates near both maps, the maps are fitted to these matches, and
"near" shrinks; affine maps first, then the whole family. Rotation, scale and stretch stay within
bounds, measured in square pixels against the unwarped placement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.matching.description import Matches
from geostyle.matching.frame import Frame, cell_centers, lattice, square_units
from geostyle.matching.guide import PointPairs
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine, from_pixels, to_pixels

# Annealing steps: distance from the maps at which a match still counts (σ of a Gaussian, in half
# long sides), and the spline's smoothing as a multiple of the final one; None fits affine maps.
Schedule = Sequence[tuple[float, float | None]]
SCHEDULE: Schedule = (
    (1.0, None), (0.7, None), (0.5, None), (0.35, 100.0), (0.25, 10.0), (0.18, 3.0), (0.12, 1.0),
)  # fmt: skip
SHORT_SCHEDULE: Schedule = SCHEDULE[4:]  # from maps that are roughly known
# Weight of each point given by the user, as a share of all matches, and the distance from the map
# at which half of that weight is left.
GUIDE_WEIGHT, GUIDE_REACH = 0.5, 0.3
RETURNED = 0.1  # largest error of a round trip that counts as returned, in half long sides
# Bounds and spline stiffness for pictures that share little geometry.
MILD = {
    "max_scale": 1.25, "max_anisotropy": 1.2, "max_stretch": 1.3, "max_outside": 0.02,
    "max_lost": 0.15,
}  # fmt: skip
MILD_ROTATION_DEG = 2.0
STIFFER = 10.0
TOLERATED_DEG = 3.0  # tilt that is not noticed
LATTICE_SIDE = 25  # of the points at which a map is held to its bounds


@dataclass(frozen=True)
class TwoWayFit:
    """Two maps fitted to matches, there (output → content) and back.

    Attributes:
        there, back: the maps.
        explained: share of all soft matches near the maps, corrected for chance.
        returning: share of the matched points that both maps in turn bring back to their place.
    """

    there: MapFit
    back: MapFit
    explained: float
    returning: float

    @property
    def confidence(self) -> float:
        """Confidence in [0, 1] that the pictures share the geometry which the map carries over."""
        return math.sqrt(self.explained * self.returning)


def anneal(
    matches: Matches,
    frame: Frame,
    settings: GeometrySettings,
    schedule: Schedule = SCHEDULE,
    start: tuple[Tensor, Tensor] | None = None,
    guide: PointPairs | None = None,
) -> TwoWayFit:
    """Fit two maps, there and back, to soft matches.

    Args:
        matches, frame, settings: what is fitted, where, and within which bounds.
        schedule: see `SCHEDULE`.
        start: positions of the targets in the content (Nt, 2), and of the sources in the output
            (Ns, 2), before the first round; default: unwarped.
        guide: corresponding points given by the user, which count beside the matches.

    Source: after the deterministic annealing of Chui & Rangarajan, "A new point matching algorithm
        for non-rigid registration".
    Differs: features give the prior probabilities, and a match counts as far as it lies near both
        maps, so that neither can gather a region of one picture into a point of the other.
    """
    there = MapFit(matches.target, frame, settings, guide)
    opposite = None if guide is None else PointPairs(guide.contents, guide.outputs)
    back = MapFit(matches.source, frame.inverse(), settings, opposite)
    if start is not None:
        there.mapped, back.mapped = start
    for reach, stiffness in schedule:
        near = there.closeness(matches.source, reach) * back.closeness(matches.target, reach).mT
        support = near * matches.probability
        there.update(matches.source, support, stiffness)
        back.update(matches.target, support.mT, stiffness)
    returning = returning_share(
        there.points, there.mapped, back.map(there.mapped), there.weights, frame.output_size
    )
    return TwoWayFit(there, back, explained_share(near, matches.probability), returning)


def explained_share(near: Tensor, probability: Tensor) -> float:
    """Return the share of all matches near the map, corrected for chance.

    Args:
        near: (Ns, Nt), closeness of each match to the map, in [0, 1].
        probability: (Ns, Nt), of the matches.
    """
    share, chance = float((near * probability).sum() / probability.sum()), float(near.mean())
    return max(0.0, share - chance) / (1 - chance) if chance < 1 else 0.0


def returning_share(
    points: Tensor, mapped: Tensor, again: Tensor, weights: Tensor, size: tuple[int, int]
) -> float:
    """Return the weighted share of points that the map back returns to their place.

    Args:
        points, mapped, again: (N, 2), before the maps, between them and after them.
        weights: (N,).
        size: (H, W) of the points' picture.
    """
    error = square_units(again - points, size).norm(dim=1)
    inside = (torch.cat((mapped, points), 1).abs() <= 1).all(1)
    return float((weights * (inside & (error < RETURNED))).sum() / weights.sum())


def closeness(a: Tensor, b: Tensor, reach: float, size: tuple[int, int]) -> Tensor:
    """Return the Gaussian closeness (M, N) in [0, 1] of points a (M, 2) and b (N, 2).

    Args:
        reach: σ in half long sides of the points' picture.
        size: its (H, W).
    """
    distance = torch.cdist(square_units(a, size), square_units(b, size))
    return (distance / reach).square_().div_(-2).exp_()


class MapFit:
    """One map while it is fitted.

    Attributes:
        points: (N, 2) of the map's output frame; matches, weights: (N, 2) and (N,), their matches.
        mapped: (N, 2), the mapped points.
        affine, theta: (6,) and (P,), float64.
    """

    affine: Tensor
    theta: Tensor

    def __init__(
        self,
        points: Tensor,
        frame: Frame,
        settings: GeometrySettings,
        guide: PointPairs | None = None,
    ) -> None:
        self.points, self.frame, self.settings = points, frame, settings
        self.guide = guide or PointPairs(points[:0], points[:0])
        self.guide_mapped = self.guide.contents  # fully trusted in the first round
        self.family = make_family(settings.geometry, settings.lattice)
        self.mapped = points * frame.neutral
        # The prior is a set of matches of its own, spread over the output frame.
        self.spread = cell_centers(8, 8)

    def closeness(self, candidates: Tensor, reach: float) -> Tensor:
        """Return the closeness (M, N) in [0, 1] of candidates (M, 2) to the mapped points."""
        return closeness(candidates, self.mapped, reach, self.frame.content_size)

    def update(self, candidates: Tensor, support: Tensor, stiffness: float | None) -> None:
        """Fit the map again.

        Args:
            candidates: (M, 2), possible matches.
            support: (M, N), weight of each candidate for each point.
            stiffness: multiple of the settings' smoothing; None fits the affine map alone.
        """
        mass = support.sum(0)
        self.matches = support.mT @ candidates / mass.clamp_min(1e-30)[:, None]
        self.weights = mass.sqrt() + 1e-12
        off = self.guide.errors(self.guide_mapped, self.frame.content_size)
        trust = 1 / (1 + (off / GUIDE_REACH).square())
        self.guide_weights = GUIDE_WEIGHT * self.weights.sum() * trust
        pull = self.settings.prior
        affine = self._fit(Affine(), self.spread * self.frame.neutral, pull, 0.0)
        center = (self.weights[:, None] * self.points).sum(0) / self.weights.sum()
        self.affine = bounded(affine, self.frame, self.settings, center)
        if stiffness is None:
            self.mapped = Affine().map_points(self.affine, self.points)
            self.guide_mapped = Affine().map_points(self.affine, self.guide.outputs)
            return
        # The whole family is pulled to the affine map, harder while it distorts too much.
        prior = Affine().map_points(self.affine, self.spread)
        smoothing = self.settings.smoothing * stiffness
        for _ in range(20):
            self.theta = self._fit(self.family, prior, pull, smoothing)
            if not exceeds(self.family, self.theta, self.frame, self.settings):
                break
            pull = 2 * pull + 1e-3
        self.mapped, self.guide_mapped = self.map(self.points), self.map(self.guide.outputs)

    def map(self, points: Tensor) -> Tensor:
        """Map points (N, 2) of the output frame to the content frame."""
        return self.family.map_points(self.theta, points)

    def _fit(self, family: WarpFamily, prior: Tensor, pull: float, smoothing: float) -> Tensor:
        pulls = torch.full_like(prior[:, 0], pull * float(self.weights.sum()) / len(prior))
        return family.fit(
            torch.cat((self.points, self.spread, self.guide.outputs)),
            torch.cat((self.matches, prior, self.guide.contents)),
            torch.cat((self.weights, pulls, self.guide_weights)),
            smoothing,
        )


def exceeds(family: WarpFamily, theta: Tensor, frame: Frame, settings: GeometrySettings) -> bool:
    """Return True where theta (P,) stretches a spot, or tilts the picture, beyond the settings.

    A spline can turn a picture whose affine part is upright; it may tilt twice as far.
    """
    points = lattice(LATTICE_SIDE)
    mapped = family.map_points(theta, points)
    if float(stretches(mapped, frame).max()) > math.log(settings.max_stretch):
        return True
    return tilts(mapped, frame, settings)


def tilts(mapped: Tensor, frame: Frame, settings: GeometrySettings) -> bool:
    """Return True where the picture as a whole is tilted beyond the settings.

    Args: mapped, (N, 2), the mapped points of `lattice(LATTICE_SIDE)`.
    """
    whole = Affine().fit(lattice(LATTICE_SIDE), mapped, None, 0.0)
    return tilt_deg(whole, frame) > 2 * settings.max_rotation_deg + TOLERATED_DEG


def milder(settings: GeometrySettings, share: float) -> GeometrySettings:
    """Return settings with tighter bounds and a stiffer spline: at `share` 1 those of `MILD`."""
    bounds = {name: getattr(settings, name) for name in MILD}
    turn = settings.max_rotation_deg
    return replace(
        settings,
        max_rotation_deg=turn + share * (min(turn, MILD_ROTATION_DEG) - turn),
        smoothing=settings.smoothing * STIFFER**share,
        **{k: v if v <= MILD[k] else v * (MILD[k] / v) ** share for k, v in bounds.items()},
    )


def tilt_deg(affine: Tensor, frame: Frame) -> float:
    """Return the larger angle, in degrees, by which affine theta (6,) tilts one of the axes."""
    pixels = to_pixels(affine, frame.output_size, frame.content_size)
    (a, b), (c, d) = pixels[:, :2].tolist()
    return math.degrees(max(abs(math.atan2(c, a)), abs(math.atan2(b, d))))


def bounded(affine: Tensor, frame: Frame, settings: GeometrySettings, center: Tensor) -> Tensor:
    """Return the nearest affine theta (6,) within the bounds that maps `center` (2,) as before."""
    pixels = to_pixels(affine, frame.output_size, frame.content_size)
    height, width = frame.output_size
    plain = frame.neutral[0] * frame.content_size[1] / width  # content pixels per output pixel
    u, scales, vh = torch.linalg.svd(pixels[:, :2] / plain)
    scales = scales.clamp_min(1e-6)
    turn = u @ vh
    if torch.linalg.det(turn) < 0:  # a mirror image: the nearest without mirroring is no warp
        turn, scales = torch.eye(2, dtype=turn.dtype), torch.ones_like(scales)
        vh = turn
    angle = math.atan2(float(turn[1, 0] - turn[0, 1]), float(turn[0, 0] + turn[1, 1]))
    limit = math.radians(settings.max_rotation_deg)
    angle = min(max(angle, -limit), limit)
    mean = float(scales.log().mean())
    mean = min(max(mean, -math.log(settings.max_scale)), math.log(settings.max_scale))
    # The stretch without the zoom, as its logarithm [[aspect, slant], [slant, -aspect]].
    log = vh.mT @ torch.diag(scales.log() - scales.log().mean()) @ vh
    aspect, slant = float(log[0, 0]), min(max(float(log[0, 1]), -limit), limit)
    held = min(1.0, math.log(settings.max_anisotropy) / 2 / max(math.hypot(aspect, slant), 1e-12))
    aspect, slant = held * aspect, held * slant
    stretch = torch.tensor([[mean + aspect, slant], [slant, mean - aspect]], dtype=turn.dtype)
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, -sin], [sin, cos]], dtype=turn.dtype)
    linear = rotation @ torch.linalg.matrix_exp(stretch) * plain
    middle = center * torch.tensor([width, height], dtype=turn.dtype) / 2
    shift = pixels @ torch.cat((middle, torch.ones(1, dtype=turn.dtype))) - linear @ middle
    matrix = torch.cat((linear, shift[:, None]), 1).numpy()
    return torch.from_numpy(from_pixels(matrix, frame.output_size, frame.content_size))


def stretches(mapped: Tensor, frame: Frame) -> Tensor:
    """Return the logarithm of the largest factor by which each spot is stretched or squeezed.

    Args:
        mapped: (N, 2), the mapped points of `lattice(LATTICE_SIDE)`.

    Returns: (LATTICE_SIDE - 1, LATTICE_SIDE - 1), by cell, relative to the mean scale; infinite
        where the map folds.
    """
    grid = LATTICE_SIDE, LATTICE_SIDE
    placed = square_units(mapped / frame.neutral, frame.output_size).unflatten(0, grid)
    before = square_units(lattice(LATTICE_SIDE), frame.output_size).unflatten(0, grid)
    across = (placed[:-1, 1:] - placed[:-1, :-1]) / (before[0, 1, 0] - before[0, 0, 0])
    down = (placed[1:, :-1] - placed[:-1, :-1]) / (before[1, 0, 1] - before[0, 0, 1])
    jacobian = torch.stack((across, down), -1)
    area = torch.linalg.det(jacobian)
    mean = area.clamp_min(1e-12).log().mean() / 2
    scales = torch.linalg.svdvals(jacobian).clamp_min(1e-12).log() - mean
    return scales.abs().amax(-1).where(area > 0, torch.tensor(math.inf).to(area))
