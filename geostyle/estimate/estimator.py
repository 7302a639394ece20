"""Two pictures → theta and its confidence; one interface for all estimators."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.estimate.bounds import tilt_deg
from geostyle.estimate.description import Description, bundled, describe, networks_of
from geostyle.estimate.frames import Frame, lattice, size_of
from geostyle.estimate.look import look_again
from geostyle.estimate.matches import Matches, cells_of, correlation_of, match
from geostyle.estimate.points import Correspondences, Hand, through_points
from geostyle.estimate.ransac import ransac_affine
from geostyle.estimate.regression import regression
from geostyle.estimate.result import Estimate, Found, finished, nothing
from geostyle.estimate.robust import SHORT_SCHEDULE, Fit, anneal
from geostyle.estimate.settings import GeometrySettings
from geostyle.features import FeatureExtractor
from geostyle.warps import make_family

UPRIGHT_DEG = (8.0, 0.0)  # bounds on the tilt that are tried beside the settings' own
TOLERATED_DEG = 3.0  # tilt that nobody minds
TILT_COST = 0.003  # confidence that a degree of tilt must earn
MIRROR_COST = 0.03  # confidence that a mirrored content must earn


def estimate_warp(
    content: Tensor,
    geo_style: Tensor,
    extractor: FeatureExtractor,
    settings: GeometrySettings | None = None,
    *,
    content_mask: Tensor | None = None,
    geo_mask: Tensor | None = None,
    points: Correspondences | None = None,
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
        content_mask, geo_mask: (1, 1, ...) of the pictures' shapes, 1 on the subject, which alone
            is matched.
        points: correspondences given by hand, beside what is found.
        seed: of the estimators that draw samples.

    Returns: a backward map, output frame → content, not clamped; the same for the same input.
    """
    settings = settings or GeometrySettings()
    if settings.estimator in ("none", "points") or settings.geometry == "none":
        sizes = size_of(content), size_of(geo_style)
        return _unmatched(*sizes, settings, points)
    return estimate_from(
        describe(content, extractor, settings, content_mask),
        describe(geo_style, extractor, settings, geo_mask),
        settings,
        points=points,
        seed=seed,
    )


@torch.inference_mode()
def estimate_from(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings | None = None,
    *,
    points: Correspondences | None = None,
    seed: int = 0,
) -> Estimate:
    """Like `estimate_warp`, from the pictures' descriptions, which can be kept and reused."""
    settings = settings or GeometrySettings()
    frame = Frame.of(content.size, geo_style.size, settings.frame)
    if settings.estimator in ("none", "points") or settings.geometry == "none":
        return _unmatched(content.size, geo_style.size, settings, points)
    if content.flat or geo_style.flat:
        found = nothing(make_family(settings.geometry, settings.lattice))
        return finished(found, frame, settings)
    if settings.estimator == "ransac-affine":
        correlation = correlation_of(content, geo_style)
        found = ransac_affine(correlation, cells_of(content), cells_of(geo_style), frame, seed)
        return finished(found, frame, replace(settings, fade=False))
    hand = None if points is None else points.within(frame, content.size, geo_style.size)
    if hand is not None:
        settings = replace(settings, fade=False)  # who gives points has seen what is shared
    plain = mirrored = None
    if settings.mirror != "on":
        plain = found_in(content, geo_style, frame, settings, hand)
    if settings.mirror != "off":
        flipped, hand = content.mirrored(settings), None if hand is None else hand.mirrored()
        mirrored = found_in(flipped, geo_style, frame, settings, hand)
    if mirrored is None or (plain and mirrored.confidence < plain.confidence + MIRROR_COST):
        assert plain is not None
        return finished(plain, frame, settings)
    return finished(mirrored, frame, settings, mirrored=True)


def points_alone(
    content: Tensor, points: Correspondences, settings: GeometrySettings | None = None
) -> Estimate:
    """The warp that moves parts of `content` (1, 3, H, W) to where the points want them.

    Without a geometry style: `points.geo_style` are pixels of the content's own canvas, and the
    rest of the picture stays where it is.
    """
    settings, size = settings or GeometrySettings(), size_of(content)
    frame = Frame.of(size, size, "content")
    hand = points.within(frame, size, size)
    found = through_points(hand, frame, settings, pinned=True)
    return finished(found, frame, replace(settings, fade=False, keep_position=False))


def found_in(
    content: Description,
    geo_style: Description,
    frame: Frame,
    settings: GeometrySettings,
    hand: Hand | None = None,
) -> Found:
    """What the estimator of the settings finds, nothing held back yet."""
    matches = None
    if settings.estimator != "regression":
        matches = match(content, geo_style, frame)
        fits = ever_more_upright(matches, frame, settings, hand)
        if settings.estimator == "robust":
            return found_by(max(fits, key=worth))
    if settings.estimator == "regression" or settings.geonet or bundled(content.extractor):
        networks = networks_of(settings, content.extractor)
        answer = regression(content, geo_style, frame, settings, networks)
        if matches is None:
            return answer
        start = starting_from(answer, matches)
        fits.append(anneal(matches, frame, settings, SHORT_SCHEDULE, start, hand))
    fit = max(fits, key=worth)
    for _ in range(settings.looks):
        fit = look_again(fit, content, geo_style, frame, fit.there.settings, hand)
    return found_by(fit)


def found_by(fit: Fit) -> Found:
    """A fit as a map."""
    side = fit.there
    return Found(side.family, side.theta, side.points, side.matches, side.weights, fit.confidence)


def worth(fit: Fit) -> float:
    """What a fit is worth beside others to the same matches: confidence, less the cost of tilt."""
    return fit.confidence - TILT_COST * tilt_deg(fit.there.affine, fit.there.frame)


def starting_from(found: Found, matches: Matches) -> tuple[Tensor, Tensor]:
    """A map as a start for `anneal`: where it takes the targets, and roughly the sources, back."""
    spread = lattice(40)
    mapped = found.family.map(found.theta[None], spread[None])[0]
    nearest = torch.cdist(matches.source, mapped).argmin(1)
    return found.family.map(found.theta[None], matches.target[None])[0], spread[nearest]


def ever_more_upright(
    matches: Matches, frame: Frame, settings: GeometrySettings, hand: Hand | None = None
) -> list[Fit]:
    """The fit to the matches and, where it tilts, others with tighter bounds on the tilt."""
    fits = [anneal(matches, frame, settings, hand=hand)]
    tilt = tilt_deg(fits[0].there.affine, frame)
    for bound in UPRIGHT_DEG:
        if bound + TOLERATED_DEG < tilt:
            held = replace(settings, max_rotation_deg=bound)
            fits.append(anneal(matches, frame, held, hand=hand))
    return fits


def _unmatched(
    content: Size, geo_style: Size, settings: GeometrySettings, points: Correspondences | None
) -> Estimate:
    """The warp that needs no features: through the points given by hand, or none."""
    frame = Frame.of(content, geo_style, settings.frame)
    if settings.estimator != "points" or settings.geometry == "none":
        return finished(nothing(), frame, replace(settings, fade=False))
    if points is None:
        raise InputError("points: expected a file of points for the estimator points, got none")
    hand = points.within(frame, content, geo_style)
    return finished(through_points(hand, frame, settings), frame, replace(settings, fade=False))
