"""The estimate that estimators return: a warp without folds, as strong as its confidence allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.matching.frame import Frame, cell_centers, lattice, square_units
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily, WarpParameters, fold_guard, make_family

# Confidence below which nothing is warped; from which the warp has its full strength within milder
# bounds; from which the bounds are those of the settings.
TRUST = (0.2, 0.35, 0.55)
VIEW_CELLS = 48  # side of the grid on which areas beyond the content are measured
LOST_COST = 0.5  # of a view entirely beyond the content, relative to one that misses the subject
FOLD_CHECK_PX = 128  # long side of the grid that is checked for folds


@dataclass(frozen=True)
class FittedWarp:
    """A warp as an estimator found it, before it is held back.

    Attributes:
        family, theta: (P,) in float64, output frame → content frame.
        points, matches, weights: (N, 2), (N, 2) and (N,), what it was fitted to, as in `Estimate`.
        confidence: in [0, 1].
        settings: those asked for, or milder ones that it was held to.
    """

    family: WarpFamily
    theta: Tensor
    points: Tensor
    matches: Tensor
    weights: Tensor
    confidence: float
    settings: GeometrySettings

    def map(self, points: Tensor) -> Tensor:
        """Map points (N, 2) of the output frame to the content frame, in float64."""
        return self.family.map_points(self.theta, points)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A warp, and the matches and confidence it rests on.

    Attributes:
        parameters: family, theta and sizes; never folds.
        confidence: in [0, 1]; how far the pictures share the geometry that theta carries over.
        output_points, content_points: (N, 2) matches, normalized in the output frame and in the
            content, to which the warp was fitted.
        weights: (N,) of the matches, in [0, 1].
        message: one line for the user where the warp was held back, else empty.
    """

    parameters: WarpParameters
    confidence: float
    output_points: Tensor
    content_points: Tensor
    weights: Tensor
    message: str = ""


def no_warp(settings: GeometrySettings, family: WarpFamily | None = None) -> FittedWarp:
    """Return the warp that does nothing, fitted to no matches."""
    family, empty = family or make_family("none"), torch.zeros(0, 2, dtype=torch.float64)
    theta = torch.zeros(family.n_params, dtype=torch.float64)
    return FittedWarp(family, theta, empty, empty, empty[:, 0], 0.0, settings)


def finished(warp: FittedWarp, frame: Frame, *, mirrored: bool = False) -> Estimate:
    """Return the estimate for a fitted warp: moved, faded and guarded as its settings ask."""
    settings, message = warp.settings, ""
    if settings.keep_position:
        warp = kept_in_place(warp, frame)
    if settings.max_outside < 1 and settings.frame == "content":
        warp = kept_in_view(warp, settings.max_outside)
    if settings.max_lost < 1 and settings.frame == "content":
        warp = kept_whole(warp, frame, settings.max_lost)
    if settings.fade:
        warp, message = faded(warp, frame)
    theta = warp.theta
    if theta.numel():
        factor = FOLD_CHECK_PX / max(frame.output_size)
        height, width = (max(2, round(side * factor)) for side in frame.output_size)
        theta = fold_guard(warp.family, theta[None], (height, width))[0]
    parameters = WarpParameters(
        family=warp.family.name,
        lattice=getattr(warp.family, "lattice", 4),
        theta=theta.float(),
        output_size=frame.output_size,
        content_size=frame.content_size,
        confidence=warp.confidence,
        mirrored=mirrored,
        meta={"message": message} if message else {},
    )
    return Estimate(parameters, warp.confidence, warp.points, warp.matches, warp.weights, message)


def kept_in_place(warp: FittedWarp, frame: Frame) -> FittedWarp:
    """Return a warp of the same shape that leaves the subject at its place and in its size.

    The output is moved and zoomed as a whole, so that the matched part of the content has the
    center and the spread it had unwarped; rotation, slant and bending stay.
    """
    total = warp.weights.sum()
    if not warp.theta.numel() or float(total) <= 0:
        return warp
    share = (warp.weights / total)[:, None]
    # Positions of the subject's parts in the output: warped, and unwarped.
    there, before = warp.points, warp.map(warp.points) / frame.neutral
    center, old = (share * there).sum(0), (share * before).sum(0)
    spreads = [
        float((share[:, 0] * square_units(p - c, frame.output_size).square().sum(1)).sum().sqrt())
        for p, c in ((there, center), (before, old))
    ]
    if min(spreads) < 1e-3:
        return warp
    return _moved(warp, spreads[0] / spreads[1], center - old * (spreads[0] / spreads[1]))


def kept_in_view(warp: FittedWarp, share: float) -> FittedWarp:
    """Zoom the warp in until at most `share` of the output lies beyond the content.

    The view is the largest part of the output, of its shape, for which that holds; among those of
    equal size, the one that shows most of the matched parts.
    """
    n = VIEW_CELLS
    outside = (warp.map(cell_centers(n, n)).abs() > 1).any(1).double().reshape(n, n)
    if not warp.theta.numel() or float(outside.mean()) <= share:
        return warp
    subject = torch.zeros(n, n, dtype=torch.float64)
    places = ((warp.points + 1) / 2 * n).long().clamp(0, n - 1)
    inside = (warp.points.abs() < 1).all(1)
    subject.index_put_((places[:, 1], places[:, 0]), warp.weights * inside, accumulate=True)
    subject = subject / subject.sum().clamp_min(1e-12)
    for side in range(n, n // 2 - 1, -1):
        # Of every window of side×side cells: the share of it that is lost, of the subject kept.
        lost, kept = F.avg_pool2d(torch.stack((outside, subject * side**2)), side, stride=1)
        worth = kept - LOST_COST * lost
        best = int(worth.where(lost <= share, worth - 10).argmax())
        row, column = divmod(best, n - side + 1)
        if float(lost[row, column]) <= share or side == n // 2:
            break
    scale = side / n
    corner = torch.tensor([column, row], dtype=torch.float64) / n * 2 - 1
    return _moved(warp, scale, corner + scale)


def kept_whole(warp: FittedWarp, frame: Frame, share: float) -> FittedWarp:
    """Weaken the warp until at most `share` of the content leaves the output.

    Its strength is found to within 0.02.
    """
    if not warp.theta.numel() or lost_share(warp) <= share:
        return warp
    low, high, kept = 0.0, 1.0, replace(warp, theta=torch.zeros_like(warp.theta))
    while high - low > 0.02:
        middle = (low + high) / 2
        weaker = weakened(warp, frame, middle)
        if lost_share(weaker) <= share:
            low, kept = middle, weaker
        else:
            high = middle
    return kept


def lost_share(warp: FittedWarp) -> float:
    """Return the share of the content's area that the warp does not show in the output."""
    n = VIEW_CELLS
    corners = warp.map(lattice(n + 1)).unflatten(0, (n + 1, n + 1))
    a, b = corners[1:, 1:] - corners[:-1, :-1], corners[1:, :-1] - corners[:-1, 1:]
    areas = (b[..., 0] * a[..., 1] - b[..., 1] * a[..., 0]).abs() / 2  # half the diagonals' cross
    seen = areas.flatten() * (warp.map(cell_centers(n, n)).abs() <= 1).all(1)
    return max(0.0, 1 - float(seen.sum()) / 4)


def faded(warp: FittedWarp, frame: Frame) -> tuple[FittedWarp, str]:
    """Return the warp as strong as its confidence allows, and a message where it is weakened."""
    confidence = warp.confidence
    strength = _rise(confidence, TRUST[0], TRUST[1])
    if strength == 1:
        mild = "the pictures share some geometry (confidence {:.2f}): the warp is kept mild"
        return warp, mild.format(confidence) if mildness(confidence) > 0.5 else ""
    held = f"the warp is held to {100 * strength:.0f} %" if strength else "nothing is warped"
    message = f"the pictures share little geometry (confidence {confidence:.2f}): {held}"
    if not strength and torch.equal(frame.neutral, torch.ones_like(frame.neutral)):
        return replace(warp, theta=torch.zeros_like(warp.theta)), message
    return weakened(warp, frame, strength), message


def weakened(warp: FittedWarp, frame: Frame, strength: float) -> FittedWarp:
    """Return the warp that moves every point `strength` times as far."""
    points = lattice(17)
    plain = points * frame.neutral
    theta = warp.family.fit(points, plain + strength * (warp.map(points) - plain))
    return replace(warp, theta=theta)


def mildness(confidence: float) -> float:
    """Return the share of `MILD` in the bounds: 1 below `TRUST[1]`, 0 above `TRUST[2]`."""
    return 1 - _rise(confidence, TRUST[1], TRUST[2])


def _rise(value: float, low: float, high: float) -> float:
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3 - 2 * x)


def _moved(warp: FittedWarp, scale: float, shift: Tensor) -> FittedWarp:
    """Return the warp that shows at p what `warp` shows at scale · p + shift."""
    points = lattice(20)
    theta = warp.family.fit(points, warp.map(scale * points + shift), None, 1e-6)
    return replace(warp, theta=theta)
