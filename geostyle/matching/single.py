"""One warp of one pair: the estimators, and what decides between their answers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.matching.bounds import TOLERATED_DEG, milder, tilt_deg
from geostyle.matching.description import Description, networks_of
from geostyle.matching.frames import Frame, lattice
from geostyle.matching.look import look_again
from geostyle.matching.matches import Matches, cells_of, correlation_of, match
from geostyle.matching.points import Correspondences, Hand, through_points
from geostyle.matching.ransac import ransac_affine
from geostyle.matching.regression import regression
from geostyle.matching.result import Estimate, Found, finished, mildness, nothing
from geostyle.matching.robust import SHORT_SCHEDULE, Fit, anneal
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import make_family

UPRIGHT_DEG = (8.0, 0.0)  # bounds on the tilt that are tried beside the settings' own
TILT_COST = 0.003  # confidence that a degree of tilt must earn
MIRROR_COST = 0.03  # confidence that a mirrored content must earn


@torch.inference_mode()
def estimate_one(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings,
    *,
    points: Correspondences | None = None,
    seed: int = 0,
) -> Estimate:
    """The warp that the settings ask for, whatever `settings.choose` says."""
    frame = Frame.of(content.size, geo_style.size, settings.frame)
    if content.flat or geo_style.flat:
        found = nothing(settings, make_family(settings.geometry, settings.lattice))
        return finished(found, frame)
    if settings.estimator == "ransac-affine":
        correlation = correlation_of(content, geo_style)
        cells = cells_of(content), cells_of(geo_style)
        found = ransac_affine(correlation, *cells, frame, replace(settings, fade=False), seed)
        return finished(found, frame)
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
        return finished(plain, frame)
    return finished(mirrored, frame, mirrored=True)


def estimate_unmatched(
    content: Size,
    geo_style: Size,
    settings: GeometrySettings,
    points: Correspondences | None = None,
) -> Estimate:
    """The warp that needs no features, between pictures of those sizes: through points, or none."""
    frame, settings = Frame.of(content, geo_style, settings.frame), replace(settings, fade=False)
    if settings.estimator != "points" or settings.geometry == "none":
        return finished(nothing(settings), frame)
    if points is None:
        raise InputError("points: expected a file of points for the estimator points, got none")
    hand = points.within(frame, content, geo_style)
    return finished(through_points(hand, frame, settings), frame)


def estimate_pinned(content: Size, points: Correspondences, settings: GeometrySettings) -> Estimate:
    """The warp that moves parts of a content of that size (H, W) to where the points want them.

    Without a geometry style: `points.geo_style` are pixels of the content's own canvas, and the
    rest of the picture stays where it is.
    """
    frame = Frame.of(content, content, "content")
    hand = points.within(frame, content, content)
    settings = replace(settings, fade=False, keep_position=False)
    return finished(through_points(hand, frame, settings, pinned=True), frame)


def found_in(
    content: Description,
    geo_style: Description,
    frame: Frame,
    settings: GeometrySettings,
    hand: Hand | None = None,
) -> Found:
    """What the estimator of the settings finds, before it is faded and guarded."""
    if settings.estimator == "regression":
        networks = networks_of(settings, content.extractor)
        return regression(content, geo_style, frame, settings, networks)
    matches = match(content, geo_style, frame)
    fits = ever_more_upright(matches, frame, settings, hand)
    # On PF-WILLOW they change nothing (89.2 on its ducks either way), so only where they are given.
    if settings.estimator == "refined" and settings.geonet:
        networks = networks_of(settings, content.extractor)
        answer = regression(content, geo_style, frame, settings, networks)
        start = starting_from(answer, matches)
        fits.append(anneal(matches, frame, settings, SHORT_SCHEDULE, start, hand))
    fit = max(fits, key=worth)
    # What later looks say of confidence is biased: the first fit has aligned what they compare.
    confidence = fit.confidence
    if settings.fade and mildness(confidence):
        held = milder(fit.there.settings, mildness(confidence))
        start = (fit.there.mapped, fit.back.mapped)
        fit = anneal(matches, frame, held, SHORT_SCHEDULE, start, hand)
    for _ in range(settings.looks if settings.estimator == "refined" else 0):
        fit = look_again(fit, content, geo_style, frame, fit.there.settings, hand)
    side = fit.there
    return Found(
        side.family,
        side.theta,
        side.points,
        side.matches,
        side.weights,
        confidence,
        side.settings,
    )


def worth(fit: Fit) -> float:
    """What a fit is worth beside others to the same matches: confidence, less the cost of tilt."""
    return fit.confidence - TILT_COST * tilt_deg(fit.there.affine, fit.there.frame)


def starting_from(found: Found, matches: Matches) -> tuple[Tensor, Tensor]:
    """A map as a start for `anneal`: where it takes the targets, and roughly the sources, back."""
    spread = lattice(40)
    nearest = torch.cdist(matches.source, found.map(spread)).argmin(1)
    return found.map(matches.target), spread[nearest]


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
