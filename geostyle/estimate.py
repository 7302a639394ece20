"""Two pictures → theta and its confidence; one interface for all estimators.

`robust` needs no training. Features give every pair of positions, one in each picture, a
probability of being each other's best match. Two maps, there and back, are then fitted to these
soft matches by annealing: each position reads its match as the mean of its candidates that lie near
both maps, the maps are fitted to the readings, and "near" shrinks; affine first, then the whole
family. Maps stay within bounds in rotation, scale and stretch, and fade where the pictures share
little geometry.

`regression` asks a trained network (see `geonet.py`), once each way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

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
from geostyle.geonet import Trained, correlate_squares, describe_square, load_geonet
from geostyle.warps import FAMILIES, WarpFamily, WarpParameters, fold_guard, make_family
from geostyle.warps.affine import Affine, from_pixels, to_pixels

ESTIMATORS = ("robust", "regression", "ransac-affine", "none")
TEMPERATURE = 0.05  # of the match probability, in cosine similarity
# The annealing: how far from the maps a match may lie (a Gaussian's σ, in half long sides), and the
# spline's smoothing as a multiple of the final one; None fits affine maps.
SCHEDULE: tuple[tuple[float, float | None], ...] = (
    (1.0, None), (0.7, None), (0.5, None), (0.35, 100.0), (0.25, 10.0), (0.18, 3.0), (0.12, 1.0),
)  # fmt: skip
HOME = 0.1  # how near a round trip must end to count as returned, in half long sides
TRUST = (0.2, 0.45)  # confidence at which the warp begins to show, and from which it is whole
FLAT = 2 / 255  # standard deviation of the values in a picture that shows nothing
FOLD_CHECK_PX = 128  # long side of the grid on which the estimate is kept from folding


@dataclass(frozen=True)
class GeometrySettings:
    """How the warp is estimated."""

    geometry: str = setting(
        "affine+tps", choices=tuple(FAMILIES), help="family of warps to choose from"
    )
    estimator: str = setting("robust", choices=ESTIMATORS, help="how theta is found")
    geonet: Path | None = setting(
        None, help="network of the estimator regression; default: the bundled one"
    )
    frame: str = setting(
        "content",
        choices=("content", "geo"),
        help="whose canvas the result has: its size and shape",
    )
    match_sizes_px: tuple[int, ...] = setting(
        (240, 320), min=32, max=1024, help="long sides at which the pictures are compared"
    )
    match_layers: tuple[str, ...] = setting(
        ("pool4", "relu5_1"), help="feature layers that are compared"
    )
    lattice: int = setting(6, min=2, max=16, help="control points of the spline per side")
    smoothing: float = setting(
        2e-4, min=1e-6, max=1e3, help="stiffness of the spline: weight of its bending energy"
    )
    prior: float = setting(
        0.03, min=0.0, max=10.0, help="pull towards leaving the picture as it is"
    )
    max_rotation_deg: float = setting(20.0, min=0.0, max=180.0, help="largest rotation")
    max_scale: float = setting(2.0, min=1.0, max=10.0, help="largest zoom, in or out")
    max_anisotropy: float = setting(
        1.5, min=1.0, max=10.0, help="largest ratio of the affine part's two scales"
    )
    max_stretch: float = setting(
        2.0, min=1.0, max=100.0, help="largest stretch or squeeze of any spot, beside the zoom"
    )
    fade: bool = setting(True, help="weaken the warp where the pictures share little geometry")

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
    square: (1, C, n, n), what the regression network reads, where one is asked for.
    network: that network.
    flat: whether it shows nothing, so that only its borders could be matched.
    """

    size: Size
    maps: tuple[Tensor, ...]
    square: Tensor | None = None
    network: Trained | None = None
    flat: bool = False


def estimate_warp(
    content: Tensor,
    geo_style: Tensor,
    extractor: FeatureExtractor,
    settings: GeometrySettings | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        geo_style: (1, 3, h, w), sRGB in [0, 1].
        extractor: whose features are compared.
        settings: see `GeometrySettings`. With ``frame="content"`` the output frame is the
            content's own canvas, with the geometry style centred on it, of equal area and
            undistorted, and theta = 0 is no warp; with ``frame="geo"`` it is the geometry style's.
        seed: of the estimators that draw samples.

    Returns: a backward map, output frame → content, not clamped; the same for the same input.
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
    """Features of `image` (1, 3, H, W) for matching, at every layer and size of the settings.

    With ``estimator="regression"`` they are the network's alone; with another estimator and a
    `geonet`, they serve both.
    """
    device = extractor.mean.device
    maps: list[Tensor] = []
    sizes_px = () if settings.estimator == "regression" else settings.match_sizes_px
    for size_px in sorted(sizes_px, reverse=True):
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
    flat = float(image.std()) < FLAT
    if settings.geonet is None and settings.estimator != "regression":
        return Description(_size(image), tuple(maps), flat=flat)
    network = _network(settings, extractor)
    square = describe_square(image, extractor, network.net.settings)
    return Description(_size(image), tuple(maps), square, network, flat)


@torch.inference_mode()
def estimate_from(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Like `estimate_warp`, from the pictures' descriptions, which can be kept and reused."""
    settings = settings or GeometrySettings()
    frame = _Frame.of(content.size, geo_style.size, settings.frame)
    if settings.estimator == "none" or settings.geometry == "none":
        return _none(frame)
    if content.flat or geo_style.flat:
        family, empty = make_family(settings.geometry, settings.lattice), torch.zeros(0, 2)
        theta, message = _faded(family, torch.zeros(family.n_params).double(), frame, 0.0, settings)
        parameters = _parameters(family, theta, frame, 0.0)
        return Estimate(parameters, 0.0, empty, empty, empty[:, 0], message)
    if settings.estimator == "regression":
        return _regression(content, geo_style, frame, settings)
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
        if frame == "content":
            # Of equal area, not fitted in: a tall style would halve a wide content's subject.
            scale = math.sqrt(math.prod(content) / math.prod(geo_style))
        else:
            # The largest part of the content that fills the geometry style's frame.
            scale = min(content[0] / geo_style[0], content[1] / geo_style[1])
        placed = torch.tensor(
            [geo_style[1] * scale / content[1], geo_style[0] * scale / content[0]],
            dtype=torch.float64,
        )
        one = torch.ones(2, dtype=torch.float64)
        if frame == "content":
            return cls(content, content, placed, one)
        return cls(geo_style, content, one, placed)

    def inverse(self) -> _Frame:
        """The frame of the maps the other way, content → output."""
        return _Frame(
            self.content_size, self.output_size, torch.ones_like(self.neutral), 1 / self.neutral
        )


def _square(points: Tensor, size: Size) -> Tensor:
    """Normalized points (..., 2) of a picture of `size` in square units, its long side being 2."""
    return points * (points.new_tensor([size[1], size[0]]) / max(size))


def _lattice(side: int) -> Tensor:
    """Points (side², 2) spread over the whole frame, edges included."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).flatten(0, 1)


def _robust(
    probability: Tensor, source: Tensor, target: Tensor, frame: _Frame, settings: GeometrySettings
) -> Estimate:
    """Annealed fit of two maps, there and back, to soft matches; see the top of the file.

    probability: (Ns, Nt). source: (Ns, 2) in the content. target: (Nt, 2) in the geometry style.
    Source: after the deterministic annealing of Chui & Rangarajan, "A new point matching algorithm
    for non-rigid registration".
    Differs: features give the prior probabilities, and a match counts as far as it lies near both
    maps, so that neither can gather a region of one picture into a point of the other.
    """
    there = _Side(target * frame.to_output, frame, settings)
    back = _Side(source, frame.inverse(), settings)
    for reach, stiffness in SCHEDULE:
        near = there.closeness(source, reach) * back.closeness(there.points, reach).mT
        support = near * probability
        there.update(source, support, stiffness)
        back.update(there.points, support.mT, stiffness)
    confidence = math.sqrt(_explained(near, probability) * _returning(there, back))
    theta, message = _faded(there.family, there.theta, frame, confidence, settings)
    parameters = _parameters(there.family, theta, frame, confidence)
    return Estimate(parameters, confidence, there.points, there.matches, there.weights, message)


def _regression(
    content: Description, geo_style: Description, frame: _Frame, settings: GeometrySettings
) -> Estimate:
    """The network's answer, carried over to the output frame.

    Its confidence is measured as that of `_robust`: the share of soft matches near the map, and of
    points that the network's answers for both directions bring back home.
    """
    network = content.network
    if network is None or content.square is None or geo_style.square is None:
        raise InputError("geonet: expected pictures described for the estimator regression")
    net = network.net
    correlation = correlate_squares(content.square, geo_style.square, net.settings).float().cpu()
    opposite = correlate_squares(geo_style.square, content.square, net.settings).float().cpu()
    theta, back = net(torch.cat((correlation, opposite))).double().split(1)
    target = base_grid((net.cells, net.cells), dtype=torch.float64).flatten(0, 1)
    mapped = net.family.map(theta, target[None])[0]

    size = content.size
    distance = torch.cdist(_square(target, size), _square(mapped, size))
    near = (distance / SCHEDULE[-1][0]).square_().div_(-2).exp_()
    probability = mutual_probability(correlation, TEMPERATURE)[0].flatten(1).double()
    support = near * probability
    weights = support.sum(0).sqrt() + 1e-12
    matches = support.mT @ target / support.sum(0).clamp_min(1e-30)[:, None]
    error = _square(net.family.map(back, mapped[None])[0] - target, geo_style.size).norm(dim=1)
    home = (mapped.abs() <= 1).all(1) & (error < HOME)
    returning = float((weights * home).sum() / weights.sum())
    confidence = math.sqrt(_explained(near, probability) * returning)

    family, found = net.family, theta[0]
    if settings.frame == "content" or settings.geometry != family.name:
        family = make_family(settings.geometry, settings.lattice)
        found = _refit(net.family, theta, family, frame)
    found, message = _faded(family, found, frame, confidence, settings)
    parameters = _parameters(family, found, frame, confidence)
    return Estimate(parameters, confidence, target * frame.to_output, matches, weights, message)


def _refit(known: WarpFamily, theta: Tensor, family: WarpFamily, frame: _Frame) -> Tensor:
    """Theta (P,) of `family` on the output frame for `theta` (1, Q) on the geometry style's.

    What the geometry style does not cover of the output follows the nearest affine map.
    """
    points = _lattice(20)
    outputs, mapped = points * frame.to_output, known.map(theta, points[None])[0]
    affine = Affine().fit(outputs, mapped)
    spread = base_grid((8, 8), dtype=torch.float64).flatten(0, 1)
    prior = Affine().map(affine[None], spread[None])[0]
    beyond = (spread.abs() > frame.to_output).any(1).double()
    return family.fit(
        torch.cat((outputs, spread)),
        torch.cat((mapped, prior)),
        torch.cat((torch.ones_like(outputs[:, 0]), beyond)),
        1e-5,
    )


def _network(settings: GeometrySettings, extractor: FeatureExtractor) -> Trained:
    """The regression network for these features.

    Raises: InputError where there is none, or where it reads the features of another network.
    """
    path = settings.geonet
    if path is None:
        name = f"geonet-{extractor.name}.safetensors"
        path = Path(str(resources.files("geostyle") / "assets" / name))
        if not path.is_file():
            raise InputError(
                f"geonet: expected --geonet FILE for {extractor.name}, for which no network is "
                "bundled; python train_geo.py trains one"
            )
    network = load_geonet(path)
    if network.features != extractor.name:
        raise InputError(
            f"geonet: expected a network that reads {extractor.name}, got {str(path)!r}, which "
            f"reads {network.features}; choose it with --features {network.features}"
        )
    return network


def _explained(near: Tensor, probability: Tensor) -> float:
    """The share of all matches near the map, beyond what as wide a net would catch anyhow."""
    share, chance = float((near * probability).sum() / probability.sum()), float(near.mean())
    return max(0.0, share - chance) / (1 - chance) if chance < 1 else 0.0


def _faded(
    family: WarpFamily, theta: Tensor, frame: _Frame, confidence: float, settings: GeometrySettings
) -> tuple[Tensor, str]:
    """Theta (P,) as strong as the confidence allows, and a line that says so where it is weaker."""
    strength = _strength(confidence) if settings.fade else 1.0
    if strength == 1:
        return theta, ""
    spread = _lattice(17)
    plain = spread * frame.neutral
    bent = family.map(theta[None], spread[None])[0]
    held = f"the warp is held to {100 * strength:.0f} %" if strength else "nothing is warped"
    message = f"the pictures share little geometry (confidence {confidence:.2f}): {held}"
    return family.fit(spread, plain + strength * (bent - plain)), message


def _strength(confidence: float) -> float:
    """How much of a warp to show: 0 below the first bound of `TRUST`, 1 above the second."""
    x = min(1.0, max(0.0, (confidence - TRUST[0]) / (TRUST[1] - TRUST[0])))
    return x * x * (3 - 2 * x)


class _Side:
    """One of the two maps while it is fitted: points (N, 2) of its output frame, their matches."""

    def __init__(self, points: Tensor, frame: _Frame, settings: GeometrySettings) -> None:
        self.points, self.frame, self.settings = points, frame, settings
        self.family = make_family(settings.geometry, settings.lattice)
        self.mapped = points * frame.neutral
        # The prior is matches of its own, spread over the output frame.
        self.spread = base_grid((8, 8), dtype=torch.float64).flatten(0, 1)

    def closeness(self, candidates: Tensor, reach: float) -> Tensor:
        """How near candidates (M, 2) lie to where the points map: (M, N) in [0, 1]."""
        size = self.frame.content_size
        distance = torch.cdist(_square(candidates, size), _square(self.mapped, size))
        return (distance / reach).square_().div_(-2).exp_()

    def update(self, candidates: Tensor, support: Tensor, stiffness: float | None) -> None:
        """Fit the map anew to candidates (M, 2), of which each point has `support` (M, N)."""
        mass = support.sum(0)
        self.matches = support.mT @ candidates / mass.clamp_min(1e-30)[:, None]
        self.weights = mass.sqrt() + 1e-12
        pull = self.settings.prior
        affine = self._fit(Affine(), self.spread * self.frame.neutral, pull, 0.0)
        centre = (self.weights[:, None] * self.points).sum(0) / self.weights.sum()
        affine = _sane(affine, self.frame, self.settings, centre)
        if stiffness is None:
            self.mapped = Affine().map(affine[None], self.points[None])[0]
            return
        # The whole family is pulled to the affine map, the harder the more it would distort.
        prior = Affine().map(affine[None], self.spread[None])[0]
        smoothing = self.settings.smoothing * stiffness
        for _ in range(20):
            self.theta = self._fit(self.family, prior, pull, smoothing)
            if _stretch(self.family, self.theta, self.frame) <= self.settings.max_stretch:
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


def _returning(there: _Side, back: _Side) -> float:
    """The share of matched points that both maps, one after the other, bring back home."""
    again = back.family.map(back.theta[None], there.mapped[None])[0]
    error = _square(again - there.points, there.frame.output_size).norm(dim=1)
    inside = (torch.cat((there.mapped, there.points), 1).abs() <= 1).all(1)
    home = inside & (error < HOME)
    return float((there.weights * home).sum() / there.weights.sum())


def _stretch(family: WarpFamily, theta: Tensor, frame: _Frame) -> float:
    """The largest factor by which theta (P,) stretches or squeezes any spot in any direction.

    Against the unwarped placement, in square units, the mean scale taken out; infinite at a fold.
    """
    side = 25
    mapped = family.map(theta[None], _lattice(side)[None])[0] / frame.neutral
    placed = _square(mapped, frame.output_size).unflatten(0, (side, side))
    before = _square(_lattice(side), frame.output_size).unflatten(0, (side, side))
    across = (placed[:-1, 1:] - placed[:-1, :-1]) / (before[0, 1, 0] - before[0, 0, 0])
    down = (placed[1:, :-1] - placed[:-1, :-1]) / (before[1, 0, 1] - before[0, 0, 1])
    jacobian = torch.stack((across, down), -1)
    area = torch.linalg.det(jacobian)
    if not bool((area > 0).all()):
        return math.inf
    scales = torch.linalg.svdvals(jacobian).log() - area.log().mean() / 2
    return float(scales.abs().amax().exp())


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
    points, matches = target[j] * frame.to_output, source[i]
    unit = _square(torch.ones(2, dtype=torch.float64), frame.content_size).numpy()
    cv2.setRNGSeed(seed)
    found, inliers = cv2.estimateAffine2D(
        points.numpy(), matches.numpy() * unit, method=cv2.RANSAC, ransacReprojThreshold=0.12
    )
    if found is None or np.linalg.det(found[:, :2]) <= 0:
        return replace(_none(frame), message="no affine map fits the matches: nothing is warped")
    theta = torch.from_numpy(found / unit[:, None] - np.eye(2, 3)).flatten()
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
