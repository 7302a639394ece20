"""What an estimator hands over: a warp that never folds, as strong as its confidence allows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.estimate.frames import Frame, lattice
from geostyle.estimate.settings import GeometrySettings
from geostyle.warps import WarpFamily, WarpParameters, fold_guard, make_family

TRUST = (0.2, 0.45)  # confidence at which the warp begins to show, and from which it is whole
FOLD_CHECK_PX = 128  # long side of the grid on which the estimate is kept from folding


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


def nothing(frame: Frame) -> Estimate:
    """No warp at all, from no matches."""
    empty = torch.zeros(0, 2)
    parameters = guarded(make_family("none"), torch.zeros(0), frame, 0.0)
    return Estimate(parameters, 0.0, empty, empty, empty[:, 0])


def guarded(family: WarpFamily, theta: Tensor, frame: Frame, confidence: float) -> WarpParameters:
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
        meta={},
    )


def faded(
    family: WarpFamily, theta: Tensor, frame: Frame, confidence: float, settings: GeometrySettings
) -> tuple[Tensor, str]:
    """Theta (P,) as strong as the confidence allows, and a line that says so where it is weaker."""
    strength = strength_of(confidence) if settings.fade else 1.0
    if strength == 1:
        return theta, ""
    spread = lattice(17)
    plain = spread * frame.neutral
    bent = family.map(theta[None], spread[None])[0]
    held = f"the warp is held to {100 * strength:.0f} %" if strength else "nothing is warped"
    message = f"the pictures share little geometry (confidence {confidence:.2f}): {held}"
    return family.fit(spread, plain + strength * (bent - plain)), message


def strength_of(confidence: float) -> float:
    """How much of a warp to show: 0 below the first bound of `TRUST`, 1 above the second."""
    x = min(1.0, max(0.0, (confidence - TRUST[0]) / (TRUST[1] - TRUST[0])))
    return x * x * (3 - 2 * x)
