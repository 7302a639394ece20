"""What an estimator hands over: a warp that never folds, as strong as its confidence allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.matching.frames import Frame, lattice, square
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily, WarpParameters, fold_guard, make_family

# Confidence from which the warp begins to show; from which it is whole, if mild; from which it is
# held to no milder bounds than the settings' own.
TRUST = (0.2, 0.35, 0.55)
VIEW_CELLS = 48  # side of the grid on which it is judged what lies beyond the content
LOST_COST = 0.5  # of a view that is all beyond the content, against one that shows no subject
FOLD_CHECK_PX = 128  # long side of the grid on which the estimate is kept from folding


@dataclass(frozen=True)
class Found:
    """A map as an estimator found it, nothing held back yet.

    family, theta: (P,), output frame → content. points, matches, weights: what it was fitted to, as
    in `Estimate`. settings: those asked for, or milder ones that it was held to.
    """

    family: WarpFamily
    theta: Tensor
    points: Tensor
    matches: Tensor
    weights: Tensor
    confidence: float
    settings: GeometrySettings

    def map(self, points: Tensor) -> Tensor:
        """Where points (N, 2) of the output frame lie in the content frame, in float64."""
        return self.family.map(self.theta[None], points[None])[0]


@dataclass(frozen=True)
class Estimate:
    """A warp and what it rests on.

    Attributes:
        parameters: family, theta and sizes; never folds.
        confidence: in [0, 1]; how far the pictures share the geometry that theta carries over.
        output_points, content_points: (N, 2) matches, normalized in the output frame and in the
            content, as the map was fitted to them.
        weights: (N,) of the matches, in [0, 1].
        message: one line for people where something was held back, else empty.
    """

    parameters: WarpParameters
    confidence: float
    output_points: Tensor
    content_points: Tensor
    weights: Tensor
    message: str = ""


def nothing(settings: GeometrySettings, family: WarpFamily | None = None) -> Found:
    """No warp at all, from no matches."""
    family, empty = family or make_family("none"), torch.zeros(0, 2, dtype=torch.float64)
    theta = torch.zeros(family.n_params, dtype=torch.float64)
    return Found(family, theta, empty, empty, empty[:, 0], 0.0, settings)


def finished(found: Found, frame: Frame, *, mirrored: bool = False) -> Estimate:
    """A map as it is handed on: in place, in view, faded and guarded as its settings ask."""
    settings, message = found.settings, ""
    if settings.keep_position:
        found = replace(found, theta=kept_in_place(found, frame))
    if settings.max_outside < 1 and settings.frame == "content":
        found = replace(found, theta=kept_in_view(found, frame, settings.max_outside))
    if settings.max_lost < 1 and settings.frame == "content":
        found = replace(found, theta=kept_whole(found, frame, settings.max_lost))
    theta = found.theta
    if settings.fade:
        theta, message = faded(found.family, theta, frame, found.confidence)
    parameters = guarded(found.family, theta, frame, found.confidence, mirrored)
    if message:
        parameters = replace(parameters, meta={"message": message})
    return Estimate(
        parameters, found.confidence, found.points, found.matches, found.weights, message
    )


def kept_in_place(found: Found, frame: Frame) -> Tensor:
    """Theta (P,) of the same shape where the subject stays where, and as large as, it was.

    The output is moved and zoomed as a whole, so that the matched part of the content has the
    center and the spread it had unwarped; turns, slants and bends stay.
    """
    total = found.weights.sum()
    if not found.theta.numel() or float(total) <= 0:
        return found.theta
    share = (found.weights / total)[:, None]
    # Where the subject's parts end up, and where they would stand unwarped, both in the output.
    there, before = found.points, found.map(found.points) / frame.neutral
    center, old = (share * there).sum(0), (share * before).sum(0)
    spreads = [
        float((share[:, 0] * square(p - c, frame.output_size).square().sum(1)).sum().sqrt())
        for p, c in ((there, center), (before, old))
    ]
    if min(spreads) < 1e-3:
        return found.theta
    return _moved(found, spreads[0] / spreads[1], center - old * (spreads[0] / spreads[1]))


def kept_in_view(found: Found, frame: Frame, share: float) -> Tensor:
    """Theta (P,) of the same warp, zoomed in until at most `share` of the output is beyond content.

    The view is the largest part of the output, of its shape, for which that holds; of those as
    large, the one that shows most of what is matched.
    """
    n = VIEW_CELLS
    cells = base_grid((n, n), dtype=torch.float64).reshape(-1, 2)
    outside = (found.map(cells).abs() > 1).any(1).double().reshape(n, n)
    if not found.theta.numel() or float(outside.mean()) <= share:
        return found.theta
    subject = torch.zeros(n, n, dtype=torch.float64)
    places = ((found.points + 1) / 2 * n).long().clamp(0, n - 1)
    inside = (found.points.abs() < 1).all(1)
    subject.index_put_((places[:, 1], places[:, 0]), found.weights * inside, accumulate=True)
    subject = subject / subject.sum().clamp_min(1e-12)
    for side in range(n, n // 2 - 1, -1):
        lost, kept = (_window_sums(values, side) for values in (outside / side**2, subject))
        worst = kept - LOST_COST * lost
        best = int(worst.where(lost <= share, worst - 10).argmax())
        row, column = divmod(best, n - side + 1)
        if float(lost[row, column]) <= share or side == n // 2:
            break
    scale = side / n
    corner = torch.tensor([column, row], dtype=torch.float64) / n * 2 - 1
    return _moved(found, scale, corner + scale)


def kept_whole(found: Found, frame: Frame, share: float) -> Tensor:
    """Theta (P,) of the same warp, weakened until at most `share` of the content leaves the output.

    To within a fiftieth of the warp's strength.
    """
    if not found.theta.numel() or lost(found.family, found.theta) <= share:
        return found.theta
    low, high, kept = 0.0, 1.0, torch.zeros_like(found.theta)
    while high - low > 0.02:
        middle = (low + high) / 2
        theta = weakened(found.family, found.theta, frame, middle)
        if lost(found.family, theta) <= share:
            low, kept = middle, theta
        else:
            high = middle
    return kept


def lost(family: WarpFamily, theta: Tensor) -> float:
    """The share of the content's area that theta (P,) shows nowhere in the output."""
    n = VIEW_CELLS
    corners = family.map(theta[None], lattice(n + 1)[None])[0].unflatten(0, (n + 1, n + 1))
    centers = family.map(theta[None], base_grid((n, n), dtype=theta.dtype).reshape(1, -1, 2))[0]
    a, b = corners[1:, 1:] - corners[:-1, :-1], corners[1:, :-1] - corners[:-1, 1:]
    areas = (b[..., 0] * a[..., 1] - b[..., 1] * a[..., 0]).abs() / 2  # half the diagonals' cross
    seen = areas.flatten() * (centers.abs() <= 1).all(1)
    return max(0.0, 1 - float(seen.sum()) / 4)


def _window_sums(values: Tensor, side: int) -> Tensor:
    """Sums over all windows of side×side cells of `values` (n, n): (n - side + 1, n - side + 1)."""
    sums = torch.nn.functional.pad(values.cumsum(0).cumsum(1), (1, 0, 1, 0))
    high, low = slice(side, None), slice(None, len(values) + 1 - side)
    return sums[high, high] - sums[high, low] - sums[low, high] + sums[low, low]


def _moved(found: Found, scale: float, shift: Tensor) -> Tensor:
    """Theta (P,) of the map that shows at p what `found` shows at scale · p + shift."""
    points = lattice(20)
    return found.family.fit(points, found.map(scale * points + shift), None, 1e-6)


def guarded(
    family: WarpFamily, theta: Tensor, frame: Frame, confidence: float, mirrored: bool = False
) -> WarpParameters:
    """Theta (P,) as it is handed on, weakened where it folds."""
    height, width = (
        max(2, round(side * FOLD_CHECK_PX / max(frame.output_size))) for side in frame.output_size
    )
    if family.n_params:
        theta = fold_guard(family, theta[None], (height, width))[0]
    return WarpParameters(
        family=family.name,
        lattice=getattr(family, "lattice", 4),
        theta=theta.float(),
        output_size=frame.output_size,
        content_size=frame.content_size,
        confidence=confidence,
        mirrored=mirrored,
    )


def faded(family: WarpFamily, theta: Tensor, frame: Frame, confidence: float) -> tuple[Tensor, str]:
    """Theta (P,) as strong as the confidence allows, and a line that says so where it is weaker."""
    strength = strength_of(confidence)
    if strength == 1:
        mild = "the pictures share some geometry (confidence {:.2f}): the warp is kept mild"
        return theta, mild.format(confidence) if mildness(confidence) > 0.5 else ""
    held = f"the warp is held to {100 * strength:.0f} %" if strength else "nothing is warped"
    message = f"the pictures share little geometry (confidence {confidence:.2f}): {held}"
    if not strength and torch.equal(frame.neutral, torch.ones_like(frame.neutral)):
        return torch.zeros_like(theta), message
    return weakened(family, theta, frame, strength), message


def weakened(family: WarpFamily, theta: Tensor, frame: Frame, strength: float) -> Tensor:
    """Theta (P,) that moves every point `strength` times as far as the given one."""
    spread = lattice(17)
    plain = spread * frame.neutral
    bent = family.map(theta[None], spread[None])[0]
    return family.fit(spread, plain + strength * (bent - plain))


def strength_of(confidence: float) -> float:
    """How much of a warp to show: 0 below the first bound of `TRUST`, 1 above the second."""
    return _rise(confidence, TRUST[0], TRUST[1])


def mildness(confidence: float) -> float:
    """How much milder than asked a warp must be: 1 below the second bound of `TRUST`, 0 above."""
    return 1 - _rise(confidence, TRUST[1], TRUST[2])


def _rise(value: float, low: float, high: float) -> float:
    x = min(1.0, max(0.0, (value - low) / (high - low)))
    return x * x * (3 - 2 * x)
