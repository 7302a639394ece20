"""Maps held to mild transformations, measured in square pixels against the unwarped placement."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from geostyle.matching.frames import Frame, lattice, square
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily
from geostyle.warps.affine import Affine, from_pixels, to_pixels

# What is left of the bounds, and how much stiffer the spline, where two pictures share little.
MILD = GeometrySettings(
    max_rotation_deg=2,
    max_scale=1.25,
    max_anisotropy=1.2,
    max_stretch=1.3,
    max_outside=0.02,
    max_lost=0.15,
)
STIFFER = 10.0
TOLERATED_DEG = 3.0  # tilt that nobody minds
LATTICE_SIDE = 25  # of the points at which a map is held to its bounds


def exceeds(family: WarpFamily, theta: Tensor, frame: Frame, settings: GeometrySettings) -> bool:
    """Whether theta (P,) stretches some spot, or tilts the whole, beyond the settings.

    A spline can turn a picture that its affine part leaves upright; it may, as far again.
    """
    points = lattice(LATTICE_SIDE)
    mapped = family.map(theta[None], points[None])[0]
    if _stretch(mapped, frame) > settings.max_stretch:
        return True
    whole = Affine().fit(points, mapped, None, 0.0)
    return tilt_deg(whole, frame) > 2 * settings.max_rotation_deg + TOLERATED_DEG


def _stretch(mapped: Tensor, frame: Frame) -> float:
    """The largest factor by which any spot is stretched or squeezed in any direction.

    mapped: (N, 2), where the points of `lattice(LATTICE_SIDE)` go. The mean scale is taken out;
    infinite at a fold.
    """
    grid = LATTICE_SIDE, LATTICE_SIDE
    placed = square(mapped / frame.neutral, frame.output_size).unflatten(0, grid)
    before = square(lattice(LATTICE_SIDE), frame.output_size).unflatten(0, grid)
    across = (placed[:-1, 1:] - placed[:-1, :-1]) / (before[0, 1, 0] - before[0, 0, 0])
    down = (placed[1:, :-1] - placed[:-1, :-1]) / (before[1, 0, 1] - before[0, 0, 1])
    jacobian = torch.stack((across, down), -1)
    area = torch.linalg.det(jacobian)
    if not bool((area > 0).all()):
        return math.inf
    scales = torch.linalg.svdvals(jacobian).log() - area.log().mean() / 2
    return float(scales.abs().amax().exp())


def milder(settings: GeometrySettings, share: float) -> GeometrySettings:
    """The settings with tighter bounds and a stiffer spline: at `share` 1 those of `MILD`."""

    def between(own: float, mild: float) -> float:
        return own if own <= mild else own * (mild / own) ** share

    turn = settings.max_rotation_deg
    return replace(
        settings,
        max_rotation_deg=turn + share * (min(turn, MILD.max_rotation_deg) - turn),
        max_scale=between(settings.max_scale, MILD.max_scale),
        max_anisotropy=between(settings.max_anisotropy, MILD.max_anisotropy),
        max_stretch=between(settings.max_stretch, MILD.max_stretch),
        max_outside=between(settings.max_outside, MILD.max_outside),
        max_lost=between(settings.max_lost, MILD.max_lost),
        smoothing=settings.smoothing * STIFFER**share,
    )


def tilt_deg(affine: Tensor, frame: Frame) -> float:
    """How far affine theta (6,) tilts the axes, in degrees: the larger of the two."""
    pixels = to_pixels(affine, frame.output_size, frame.content_size)
    (a, b), (c, d) = pixels[:, :2].tolist()
    return math.degrees(max(abs(math.atan2(c, a)), abs(math.atan2(b, d))))


def bounded(affine: Tensor, frame: Frame, settings: GeometrySettings, center: Tensor) -> Tensor:
    """The nearest affine theta (6,) within the settings' bounds, which maps `center` as before."""
    pixels = to_pixels(affine, frame.output_size, frame.content_size)
    height, width = frame.output_size
    plain = frame.neutral[0] * frame.content_size[1] / width  # content pixels per output pixel
    u, scales, vh = torch.linalg.svd(pixels[:, :2] / plain)
    scales = scales.clamp_min(1e-6)
    turn = u @ vh
    if torch.linalg.det(turn) < 0:  # a mirror image: no warp at all comes nearest
        turn, scales = torch.eye(2, dtype=turn.dtype), torch.ones_like(scales)
        vh = turn
    angle = math.atan2(float(turn[1, 0] - turn[0, 1]), float(turn[0, 0] + turn[1, 1]))
    limit = math.radians(settings.max_rotation_deg)
    angle = min(max(angle, -limit), limit)
    mean = float(scales.log().mean())
    mean = min(max(mean, -math.log(settings.max_scale)), math.log(settings.max_scale))
    # The stretch beside the zoom, as its logarithm [[aspect, slant], [slant, -aspect]].
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
