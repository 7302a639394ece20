"""Two pictures → theta and its confidence; one interface for all estimators."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.correlation import correlate, mutual_probability
from geostyle.estimate.description import Description, describe
from geostyle.estimate.frames import Frame, size_of
from geostyle.estimate.ransac import ransac_affine
from geostyle.estimate.regression import regression
from geostyle.estimate.result import Estimate, faded, guarded, nothing
from geostyle.estimate.robust import TEMPERATURE, robust
from geostyle.estimate.settings import GeometrySettings
from geostyle.features import FeatureExtractor
from geostyle.warps import make_family


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
        return nothing(Frame.of(size_of(content), size_of(geo_style), settings.frame))
    return estimate_from(
        describe(content, extractor, settings),
        describe(geo_style, extractor, settings),
        settings,
        seed=seed,
    )


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
    frame = Frame.of(content.size, geo_style.size, settings.frame)
    if settings.estimator == "none" or settings.geometry == "none":
        return nothing(frame)
    if content.flat or geo_style.flat:
        family, empty = make_family(settings.geometry, settings.lattice), torch.zeros(0, 2)
        theta, message = faded(family, torch.zeros(family.n_params).double(), frame, 0.0, settings)
        parameters = guarded(family, theta, frame, 0.0)
        return Estimate(parameters, 0.0, empty, empty, empty[:, 0], message)
    if settings.estimator == "regression":
        return regression(content, geo_style, frame, settings)
    pairs = zip(content.maps, geo_style.maps, strict=True)
    volumes = [correlate(a, b, centre=True) for a, b in pairs]
    correlation = torch.stack(volumes).mean(0).cpu()
    cells = [base_grid(size_of(d.maps[0]), dtype=torch.float64) for d in (content, geo_style)]
    source, target = (points.flatten(0, 1) for points in cells)
    if settings.estimator == "ransac-affine":
        return ransac_affine(correlation, source, target, frame, seed)
    probability = mutual_probability(correlation, TEMPERATURE)[0].flatten(1).double()
    return robust(probability, source, target, frame, settings)
