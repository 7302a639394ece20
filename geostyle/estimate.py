"""Two pictures → theta and its confidence; one interface for all estimators.

`robust` needs no training. Features of both pictures give every pair of positions a probability of
being each other's best match. A smooth map is then fitted to these soft matches by annealing: each
position of the geometry style reads where it comes from as the mean of its candidates near the
present map, the map is fitted to those readings, and "near" shrinks: affine first, then the spline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import Size, base_grid, resize
from geostyle.correlation import correlate, mutual_neighbours, mutual_probability
from geostyle.errors import InputError
from geostyle.features import FeatureExtractor
from geostyle.warps import FAMILIES, WarpFamily, WarpParameters, fold_guard, make_family
from geostyle.warps.affine import Affine, from_pixels, to_pixels

ESTIMATORS = ("robust", "ransac-affine", "none")
TEMPERATURE = 0.05  # of the mutual probability, in cosine similarity
# Annealing: the reach of a match about the present map, in half long sides of the content, and the
# spline's smoothing as a multiple of the final one; None fits an affine map.
SCHEDULE: tuple[tuple[float, float | None], ...] = (
    (1.0, None), (0.7, None), (0.5, None), (0.35, 100.0), (0.25, 10.0), (0.18, 3.0), (0.12, 1.0),
)  # fmt: skip
FOLD_CHECK_PX = 128  # long side of the grid on which the estimate is kept from folding


@dataclass(frozen=True)
class GeometrySettings:
    """How the warp is estimated."""

    geometry: str = setting(
        "affine+tps", choices=tuple(FAMILIES), help="family of warps to choose from"
    )
    estimator: str = setting("robust", choices=ESTIMATORS, help="how theta is found")
    frame: str = setting(
        "content",
        choices=("content", "geo"),
        help="whose canvas the result has: its size and shape",
    )
    match_sizes_px: tuple[int, ...] = setting(
        (240, 320), min=32, max=1024, help="long sides at which both pictures are compared"
    )
    match_layers: tuple[str, ...] = setting(
        ("pool4", "relu5_1"), help="feature layers that are compared"
    )
    lattice: int = setting(4, min=2, max=16, help="control points of the spline per side")
    smoothing: float = setting(
        2e-4, min=1e-6, max=1e3, help="stiffness of the spline: weight of its bending energy"
    )
    prior: float = setting(
        0.03, min=0.0, max=10.0, help="pull towards leaving the picture as it is"
    )
    max_rotation_deg: float = setting(30.0, min=0.0, max=180.0, help="largest rotation kept")
    max_scale: float = setting(2.5, min=1.0, max=10.0, help="largest zoom kept, in or out")
    max_anisotropy: float = setting(
        1.8, min=1.0, max=10.0, help="largest ratio kept of the two axes' scales"
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.match_sizes_px or not self.match_layers:
            raise InputError("match_sizes_px, match_layers: expected at least one, got none")


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


@dataclass(frozen=True)
class Description:
    """What matching knows of a picture: its size (H, W), and features on one common grid.

    maps: one (1, C, h, w) per layer and matching size, unit vectors.
    """

    size: Size
    maps: tuple[Tensor, ...]


def estimate_warp(
    content: Tensor,
    geo_style: Tensor,
    extractor: FeatureExtractor,
    settings: GeometrySettings | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Estimate the backward map, output frame → content, that gives `content` the geometry of `geo_style`.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        geo_style: (1, 3, h, w), sRGB in [0, 1].
        extractor: whose features are compared.
        settings: see `GeometrySettings`. With ``frame="content"`` the output frame is the content's own
            canvas, with the geometry style fitted into it whole, centred and undistorted, and
            theta = 0 is no warp; with ``frame="geo"`` it is the geometry style's.
        seed: of the estimators that draw samples.

    Returns: the estimate; the same for the same input, always.
    """
    settings = settings or GeometrySettings()
    if settings.estimator == "none" or settings.geometry == "none":
        return _none(_Frame.of(_size(content), _size(geo_style), settings.frame))
    return estimate_from(
        describe(content, extractor, settings),
        describe(geo_style, extractor, settings),
        settings,
        seed=seed,
    )


@torch.inference_mode()
def describe(image: Tensor, extractor: FeatureExtractor, settings: GeometrySettings) -> Description:
    """Features of `image` (1, 3, H, W) for matching, at every layer and size of the settings."""
    device = extractor.mean.device
    maps: list[Tensor] = []
    for size_px in sorted(settings.match_sizes_px, reverse=True):
        # Sides in whole cells: features then tile the picture, edge to edge.
        factor = size_px / max(_size(image)) / 16
        height, width = (max(1, round(side * factor)) * 16 for side in _size(image))
        small = resize(image.to(device), (height, width))
        for features in extractor(small, settings.match_layers).values():
            grid = maps[0].shape[-2:] if maps else (height // 16, width // 16)
            features = features.float()
            if features.shape[-2:] != grid:
                features = F.interpolate(features, grid, mode="bilinear", align_corners=False)
            maps.append(F.normalize(features, dim=1))
    return Description(_size(image), tuple(maps))


@torch.inference_mode()
def estimate_from(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Like `estimate_warp`, from the descriptions of both pictures, which can be kept and reused."""
    settings = settings or GeometrySettings()
    frame = _Frame.of(content.size, geo_style.size, settings.frame)
    if settings.estimator == "none" or settings.geometry == "none":
        return _none(frame)
    pairs = zip(content.maps, geo_style.maps, strict=True)
    volumes = [correlate(a, b, centre=True) for a, b in pairs]
    correlation = torch.stack(volumes).mean(0).cpu()
    cells = [base_grid(_size(d.maps[0]), dtype=torch.float64) for d in (content, geo_style)]
    source, target = (points.flatten(0, 1) for points in cells)
    if settings.estimator == "ransac-affine":
        return _ransac_affine(correlation, source, target, frame, seed)
    probability = mutual_probability(correlation, TEMPERATURE)[0].flatten(1).double()
    return _robust(probability, source, target, frame, settings)


@dataclass(frozen=True)
class _Frame:
    """Where output points lie, and which content points they show when nothing is warped."""

    output_size: Size
    content_size: Size
    to_output: Tensor  # (2,): factors from the geometry style's frame to the output frame
    neutral: Tensor  # (2,): factors from the output frame to the content's, shapes undistorted

    @classmethod
    def of(cls, content: Size, geo_style: Size, frame: str) -> _Frame:
        scale = min(content[0] / geo_style[0], content[1] / geo_style[1])
        placed = torch.tensor(
            [geo_style[1] * scale / content[1], geo_style[0] * scale / content[0]],
            dtype=torch.float64,
        )
        one = torch.ones(2, dtype=torch.float64)
        if frame == "content":
            return cls(content, content, placed, one)
        return cls(geo_style, content, one, placed)

    @property
    def half_long_sides(self) -> Tensor:
        """(2,): factors from normalized content coordinates to square units, the long side being 2."""
        height, width = self.content_size
        return torch.tensor([width, height], dtype=torch.float64) / max(self.content_size)


def _robust(
    probability: Tensor, source: Tensor, target: Tensor, frame: _Frame, settings: GeometrySettings
) -> Estimate:
    """Annealed fit of a map to soft matches; see the top of the file.

    probability: (Ns, Nt). source: (Ns, 2) in the content. target: (Nt, 2) in the geometry style.
    Source: after the deterministic annealing of Chui & Rangarajan, "A new point matching algorithm for
    non-rigid registration", with the features' probabilities in place of uniform ones.
    """
    family = make_family(settings.geometry, settings.lattice)
    points = target * frame.to_output
    # The prior is matches of its own, spread over the output frame.
    spread = base_grid((8, 8), dtype=torch.float64).flatten(0, 1)
    mapped = points * frame.neutral
    unit = frame.half_long_sides
    for reach, stiffness in SCHEDULE:
        near = torch.cdist(source * unit, mapped * unit).div_(reach).square_().div_(-2).exp_()
        near *= probability
        mass = near.sum(0)
        matches = near.mT @ source / mass.clamp_min(1e-30)[:, None]
        weights = mass.sqrt()

        def fit(model: WarpFamily, prior: Tensor, smoothing: float) -> Tensor:
            pull = weights.new_full(spread.shape[:1], settings.prior * float(weights.mean()))
            pull *= len(points) / len(spread)
            return model.fit(
                torch.cat((points, spread)),
                torch.cat((matches, prior)),
                torch.cat((weights, pull)) + 1e-12,
                smoothing,
            )

        affine = fit(Affine(), spread * frame.neutral, 0.0)
        affine = _sane(affine, frame, settings, (weights[:, None] * points).sum(0) / weights.sum())
        if stiffness is None:
            model, theta = Affine(), affine
        else:
            model = family
            prior = Affine().map(affine[None], spread[None])[0]
            theta = fit(family, prior, settings.smoothing * stiffness)
        mapped = model.map(theta[None], points[None])[0]
    confidence = float(mass.sum() / probability.sum())
    return Estimate(
        _parameters(family, theta, frame, confidence), confidence, points, matches, weights
    )


def _sane(affine: Tensor, frame: _Frame, settings: GeometrySettings, centre: Tensor) -> Tensor:
    """The nearest affine theta (6,) within the settings' bounds, which maps `centre` as before.

    Rotation, scale and anisotropy are measured in square pixels against the unwarped placement.
    """
    pixels = to_pixels(affine, frame.output_size, frame.content_size)
    height, width = frame.output_size
    plain = frame.neutral[0] * frame.content_size[1] / width  # content pixels per output pixel
    u, scales, vh = torch.linalg.svd(pixels[:, :2] / plain)
    turn = u @ vh
    if torch.linalg.det(turn) < 0:  # a mirror image: no warp at all comes nearest
        turn, scales = torch.eye(2, dtype=turn.dtype), torch.ones_like(scales)
        vh = turn
    angle = math.atan2(float(turn[1, 0] - turn[0, 1]), float(turn[0, 0] + turn[1, 1]))
    limit = math.radians(settings.max_rotation_deg)
    angle = min(max(angle, -limit), limit)
    mean = float(scales.log().mean())
    spread = float(scales[0].log() - scales[1].log()) / 2
    mean = min(max(mean, -math.log(settings.max_scale)), math.log(settings.max_scale))
    spread = min(spread, math.log(settings.max_anisotropy) / 2)
    stretch = torch.tensor([mean + spread, mean - spread], dtype=turn.dtype).exp()
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, -sin], [sin, cos]], dtype=turn.dtype)
    linear = rotation @ vh.mT @ torch.diag(stretch) @ vh * plain
    middle = centre * torch.tensor([width, height], dtype=turn.dtype) / 2
    shift = pixels @ torch.cat((middle, torch.ones(1, dtype=turn.dtype))) - linear @ middle
    matrix = torch.cat((linear, shift[:, None]), 1).numpy()
    return torch.from_numpy(from_pixels(matrix, frame.output_size, frame.content_size))


def _ransac_affine(
    correlation: Tensor, source: Tensor, target: Tensor, frame: _Frame, seed: int
) -> Estimate:
    """The control: an affine map by RANSAC from mutual nearest neighbours, nothing held back."""
    i, j = mutual_neighbours(correlation)
    points, matches, unit = target[j] * frame.to_output, source[i], frame.half_long_sides
    cv2.setRNGSeed(seed)
    found, inliers = cv2.estimateAffine2D(
        points.numpy(), (matches * unit).numpy(), method=cv2.RANSAC, ransacReprojThreshold=0.12
    )
    if found is None or np.linalg.det(found[:, :2]) <= 0:
        return replace(_none(frame), message="no affine map fits the matches: nothing is warped")
    theta = torch.from_numpy(found / unit.numpy()[:, None] - np.eye(2, 3)).flatten()
    weights = torch.from_numpy(inliers[:, 0]).double()
    confidence = float(weights.mean())
    return Estimate(
        _parameters(Affine(), theta, frame, confidence), confidence, points, matches, weights
    )


def _none(frame: _Frame) -> Estimate:
    """No warp at all, from no matches."""
    empty = torch.zeros(0, 2)
    parameters = _parameters(make_family("none"), torch.zeros(0), frame, 0.0)
    return Estimate(parameters, 0.0, empty, empty, empty[:, 0])


def _parameters(
    family: WarpFamily, theta: Tensor, frame: _Frame, confidence: float
) -> WarpParameters:
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


def _size(image: Tensor) -> Size:
    return image.shape[-2], image.shape[-1]
