"""Two pictures → theta and its confidence; one interface for all estimators."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import size_of
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching.candidates import candidates, choose
from geostyle.matching.description import Description, describe
from geostyle.matching.guide import Guide
from geostyle.matching.points import Correspondences
from geostyle.matching.result import Estimate
from geostyle.matching.settings import GeometrySettings
from geostyle.matching.single import estimate_one, estimate_unmatched

UNMATCHED = ("none", "points")  # estimators that read no features


def estimate_warp(
    content: Tensor,
    geo_style: Tensor,
    extractor: FeatureExtractor,
    settings: GeometrySettings | None = None,
    guide: Guide | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        geo_style: (1, 3, h, w), sRGB in [0, 1].
        extractor: whose features are compared.
        settings: see `GeometrySettings`. With ``frame="content"`` the output frame is the
            content's own canvas, with the geometry style centered on it, of equal area and
            undistorted, and theta = 0 is no warp; with ``frame="geo"`` it is the geometry style's.
        guide: masks of the subjects and correspondences given by hand.
        seed: of the estimators that draw samples.

    Returns: a backward map, output frame → content, not clamped; the same for the same input.
    """
    settings, guide = settings or GeometrySettings(), guide or Guide()
    guide.check(size_of(content), size_of(geo_style))
    if not reads_features(settings):
        sizes = size_of(content), size_of(geo_style)
        return estimate_unmatched(*sizes, settings, guide.points)
    return estimate_from(
        describe(content, extractor, settings, guide.content_mask),
        describe(geo_style, extractor, settings, guide.geo_mask),
        settings,
        guide.points,
        seed=seed,
    )


@torch.inference_mode()
def estimate_from(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings | None = None,
    points: Correspondences | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Like `estimate_warp`, from the pictures' descriptions, which can be kept and reused."""
    settings = settings or GeometrySettings()
    if not reads_features(settings):
        return estimate_unmatched(content.size, geo_style.size, settings, points)
    if settings.choose == 1:
        return estimate_one(content, geo_style, settings, points=points, seed=seed)
    found = candidates(content, geo_style, settings, settings.choose, points=points, seed=seed)
    return choose(found, settings.choose).estimate


def reads_features(settings: GeometrySettings) -> bool:
    """Whether pictures must be described for these settings."""
    return settings.estimator not in UNMATCHED and settings.geometry != "none"
