"""The estimators: pictures' descriptions, or points given by the user → a fitted warp.

`robust` fits a warp to soft matches of features; `refined` then compares the warped picture again,
since features change under rotation and scale. `regression` asks trained networks. `points` follows
corresponding points, `ransac-affine` is the control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from geostyle.coords import size_of
from geostyle.matching.correlation import correlate, masked_probability, mutual_neighbors
from geostyle.matching.description import (
    Description,
    Map,
    Matches,
    Pair,
    describe,
    match,
    mean_correlation,
)
from geostyle.matching.fitting import (
    SCHEDULE,
    SHORT_SCHEDULE,
    TOLERATED_DEG,
    TwoWayFit,
    anneal,
    closeness,
    explained_share,
    milder,
    returning_share,
    tilt_deg,
)
from geostyle.matching.frame import Frame, cell_centers, lattice, square_units
from geostyle.matching.guide import PointPairs
from geostyle.matching.network import LoadedNetwork, load_networks
from geostyle.matching.result import FittedWarp, mildness, no_warp
from geostyle.matching.settings import MATCH_MAX_PX, GeometrySettings
from geostyle.matching.similar import locally_similar, nearest_similarity
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine

CLOSER = 1.5  # largest size at which aligned pictures are compared, relative to the settings' own
UPRIGHT_DEG = (8.0, 0.0)  # bounds on the tilt that are tried beside the settings' own
TILT_COST = 0.002  # confidence that a degree of tilt must gain
ABSENT = -1.0  # correlation with positions that a mask hides
SMOOTHING = 1e-5  # of splines through points, or for a map that is known everywhere
REST_WEIGHT = 0.02  # of the rest of the picture, against a weight of 1 per point
MISSED = 0.05  # distance from which a point counts as missed, in half long sides


def fit_matches(
    pair: Pair, settings: GeometrySettings, guide: PointPairs | None = None, seed: int = 0
) -> FittedWarp:
    """Estimate by `robust` or `refined`: an annealed fit to soft matches; see `fitting`."""
    matches, frame = match(pair), pair.frame
    fits = fit_upright(matches, frame, settings, guide)
    # On PF-WILLOW networks change nothing (89.2 on its ducks either way): only where given.
    if settings.estimator == "refined" and settings.geonet:
        start = start_from(regression(pair, settings), matches)
        fits.append(anneal(matches, frame, settings, SHORT_SCHEDULE, start, guide))
    fit = max(fits, key=lambda f: f.confidence - TILT_COST * tilt_deg(f.there.affine, frame))
    # The confidence of later rounds is biased: the first fit has aligned what they compare.
    confidence = fit.confidence
    if settings.fade and mildness(confidence):
        held = milder(fit.there.settings, mildness(confidence))
        start = (fit.there.mapped, fit.back.mapped)
        fit = anneal(matches, frame, held, SHORT_SCHEDULE, start, guide)
    if settings.estimator == "refined" and settings.looks:
        style = pair.geo_style
        seen = describe(style.picture, style.network, closer(settings), style.mask, mirrored=False)
        pair = pair._replace(geo_style=replace(seen, size=style.size))
        for _ in range(settings.looks):
            fit = refine(fit, pair, guide)
    own = fit.there
    theta = locally_similar(own, pair.content.faces if settings.conformal_weight else ())
    return FittedWarp(
        own.family, theta, own.points, own.matches, own.weights, confidence, own.settings
    )


def fit_upright(
    matches: Matches, frame: Frame, settings: GeometrySettings, guide: PointPairs | None = None
) -> list[TwoWayFit]:
    """Fit to the matches and, where the fit tilts, again with tighter bounds on the tilt."""
    fits = [anneal(matches, frame, settings, guide=guide)]
    tilt = tilt_deg(fits[0].there.affine, frame)
    for bound in UPRIGHT_DEG:
        if bound + TOLERATED_DEG < tilt:
            held = replace(settings, max_rotation_deg=bound)
            fits.append(anneal(matches, frame, held, guide=guide))
    return fits


def start_from(warp: FittedWarp, matches: Matches) -> tuple[Tensor, Tensor]:
    """Return the start of `anneal` at a warp: targets mapped, and sources roughly mapped back."""
    points = lattice(40)
    nearest = torch.cdist(matches.source, warp.map(points)).argmin(1)
    return warp.map(matches.target), points[nearest]


def closer(settings: GeometrySettings) -> GeometrySettings:
    """Return settings for comparing pictures that are nearly aligned, at larger sizes.

    Mirror images, as in the first comparison, gain nothing there.
    """
    largest = max(settings.match_sizes_px)
    closest = min(MATCH_MAX_PX, round(CLOSER * largest))
    return replace(settings, match_sizes_px=(largest, closest))


def refine(fit: TwoWayFit, pair: Pair, guide: PointPairs | None = None) -> TwoWayFit:
    """Compare the content as warped by `fit` with the geometry style, and fit again from there.

    Args:
        fit: the fit so far.
        pair: its geometry style is described as `closer` says.
        guide: corresponding points given by the user.

    Source: the cascade of Rocco et al., "Convolutional neural network architecture for geometric
        matching", section 3.4.
    Differs: the whole map is fitted in the content's own frame, so that nothing is resampled twice
        and the bounds hold for the whole.
    """
    content, geo_style, frame = pair
    there, settings = fit.there, fit.there.settings
    near = closer(settings)
    long_px = max(near.match_sizes_px)
    height, width = (max(16, round(s * long_px / max(geo_style.size))) for s in geo_style.size)
    warped = content.warped(lambda p: there.map(p * frame.to_output), (height, width))
    seen = describe(warped.picture, content.network, near, warped.mask, mirrored=False)
    matches = match(Pair(seen, geo_style, frame))
    outputs = seen.cells() * frame.to_output
    matches = Matches(there.map(outputs), matches.target, matches.probability)
    start = (there.map(matches.target), outputs)
    return anneal(matches, frame, settings, SHORT_SCHEDULE, start, guide)


def regression(
    pair: Pair, settings: GeometrySettings, guide: PointPairs | None = None, seed: int = 0
) -> FittedWarp:
    """Estimate by `regression`: the output of trained networks, mapped to the output frame.

    Its confidence is measured as that of `robust`: the share of soft matches near the map, and of
    points that the networks' answers for both directions bring back to their place.
    """
    content, geo_style, frame = pair
    networks = load_networks(settings.geonet, content.network)
    stages = cascade(content, geo_style, networks)
    there, back = composed(stages), composed(cascade(geo_style, content, networks))
    first = networks[0]
    correlation, weights = _correlation(content, geo_style, first)
    target = cell_centers(first.network.cells, first.network.cells)
    mapped = there(target)

    near = closeness(target, mapped, SCHEDULE[-1][0], content.size)
    probability = masked_probability(correlation, *weights)
    support = near * probability
    masses = support.sum(0).sqrt() + 1e-12
    matches = support.mT @ target / support.sum(0).clamp_min(1e-30)[:, None]
    returning = returning_share(target, mapped, back(mapped), masses, geo_style.size)
    confidence = math.sqrt(explained_share(near, probability) * returning)

    family, theta = stages[0]
    own = settings.frame == "geo" and settings.geometry == family.name
    if not own or len(stages) > 1:
        family = make_family(settings.geometry, settings.lattice)
        theta = _refit(there, family, frame)
    outputs = target * frame.to_output
    return FittedWarp(family, theta, outputs, matches, masses, confidence, settings)


def cascade(
    content: Description, geo_style: Description, networks: Sequence[LoadedNetwork]
) -> list[tuple[WarpFamily, Tensor]]:
    """Return (family, theta (P,)) of each network, geometry style → content.

    The first one is applied last.

    Source: Rocco et al., "Convolutional neural network architecture for geometric matching",
        section 3.4: an affine estimate, then a spline on the warped picture.
    """
    stages: list[tuple[WarpFamily, Tensor]] = []
    for loaded in networks:
        network, seen = loaded.network, content
        if stages:
            side = network.settings.match_px
            seen = content.warped(composed(stages), (side, side), hide=False)
        correlation, _ = _correlation(seen, geo_style, loaded)
        stages.append((network.family, network(correlation).theta[0].double()))
    return stages


def composed(stages: Sequence[tuple[WarpFamily, Tensor]]) -> Map:
    """Return the map of a cascade, whose last stage is applied first."""

    def mapping(points: Tensor) -> Tensor:
        for family, theta in reversed(stages):
            points = family.map_points(theta, points)
        return points

    return mapping


def _correlation(
    content: Description, geo_style: Description, loaded: LoadedNetwork
) -> tuple[Tensor, list[Tensor]]:
    """Return the input (1, n², n, n) of a network, on the CPU, and both grids' weights (n²,)."""
    maps = [d.squares(loaded) for d in (content, geo_style)]
    correlation = correlate(*maps, center=loaded.network.settings.center).float().cpu()
    weights = [d.weights(size_of(m)) for d, m in zip((content, geo_style), maps, strict=True)]
    shown = weights[0][:, None] * weights[1] > 0.5
    return correlation.where(shown.view_as(correlation), torch.tensor(ABSENT)), weights


def _refit(known: Map, family: WarpFamily, frame: Frame) -> Tensor:
    """Fit theta (P,) of `family`, on the output frame, to a map on the geometry style's frame.

    The part of the output outside the geometry style follows the nearest affine map.
    """
    points = lattice(20)
    outputs, mapped = points * frame.to_output, known(points)
    affine = Affine().fit(outputs, mapped)
    spread = cell_centers(8, 8)
    prior = Affine().map_points(affine, spread)
    beyond = (spread.abs() > frame.to_output).any(1).double()
    return family.fit(
        torch.cat((outputs, spread)),
        torch.cat((mapped, prior)),
        torch.cat((torch.ones_like(outputs[:, 0]), beyond)),
        SMOOTHING,
    )


def ransac_affine(
    pair: Pair, settings: GeometrySettings, guide: PointPairs | None = None, seed: int = 0
) -> FittedWarp:
    """Estimate by `ransac-affine`: an affine map through the mutual nearest neighbors that agree.

    The control for the others: no bounds, and no fading. OpenCV draws its samples from a generator
    of the call's own, with a fixed seed.
    """
    import cv2  # slow to load, and needed only here

    i, j = mutual_neighbors(mean_correlation(pair))
    points, matches = pair.geo_style.cells()[j] * pair.frame.to_output, pair.content.cells()[i]
    unit = square_units(torch.ones(2, dtype=torch.float64), pair.frame.content_size).numpy()
    found, inliers = cv2.estimateAffine2D(
        points.numpy(), matches.numpy() * unit, method=cv2.RANSAC, ransacReprojThreshold=0.12
    )
    settings = replace(settings, fade=False)
    if found is None or np.linalg.det(found[:, :2]) <= 0:
        return no_warp(settings)
    theta = torch.from_numpy(found / unit[:, None] - np.eye(2, 3)).flatten()
    weights = torch.from_numpy(inliers[:, 0]).double()
    return FittedWarp(Affine(), theta, points, matches, weights, float(weights.mean()), settings)


def through_points(
    guide: PointPairs, frame: Frame, settings: GeometrySettings, *, pinned: bool = False
) -> FittedWarp:
    """Estimate by `points`: the warp through points given by the user, without fading.

    Args:
        guide: the points.
        frame, settings: where the warp is fitted, and how.
        pinned: the rest of the picture stays where it is; otherwise it follows the similarity
            (shift, rotation, zoom) nearest to the points.
    """
    family = make_family(settings.geometry, settings.lattice)
    spread = cell_centers(8, 8)
    rest = spread * frame.neutral if pinned else nearest_similarity(guide, frame, spread)
    rest_weights = torch.full((len(spread),), REST_WEIGHT / len(spread))
    weights = torch.cat((torch.ones_like(guide.outputs[:, 0]), rest_weights))
    theta = family.fit(
        torch.cat((guide.outputs, spread)), torch.cat((guide.contents, rest)), weights, SMOOTHING
    )
    errors = guide.errors(family.map_points(theta, guide.outputs), frame.content_size)
    hit = (errors <= MISSED).double()
    settings = replace(settings, fade=False)
    return FittedWarp(
        family, theta, guide.outputs, guide.contents, hit, float(hit.mean()), settings
    )
