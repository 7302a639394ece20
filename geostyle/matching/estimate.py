"""Estimate the warp between two pictures: theta, its confidence, and alternatives to choose from.

`estimate_warp` is the one entrance to all estimators of `GeometrySettings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import Size, size_of
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching.description import Description, Pair, describe
from geostyle.matching.estimators import through_points
from geostyle.matching.frame import Frame, lattice, square_units
from geostyle.matching.guide import Correspondences, Guide, PointPairs
from geostyle.matching.network import bundled
from geostyle.matching.result import Estimate, FittedWarp, finished, no_warp
from geostyle.matching.settings import COMPARING, GeometrySettings
from geostyle.warps import make_family

MIRROR_COST = 0.03  # confidence that mirroring the content must gain
# Mean distances over the output, in half long sides, by which warps must differ to be told apart:
# tried one after the other until there are enough.
APART = (0.08, 0.04, 0.02)


def estimate_warp(
    content: Tensor,
    geo_style: Tensor,
    network: FeatureExtractor,
    settings: GeometrySettings | None = None,
    guide: Guide | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """Estimate the warp that gives `content` the geometry of `geo_style`.

    Args:
        content: (1, 3, H, W), sRGB in [0, 1].
        geo_style: (1, 3, h, w), sRGB in [0, 1].
        network: the network whose features are compared.
        settings: see `GeometrySettings`. With ``frame="content"`` the output frame is the
            content's own canvas, with the geometry style centered on it, of equal area and
            undistorted, and theta = 0 is no warp; with ``frame="geo"`` it is the geometry style's.
        guide: masks of the subjects and correspondences given by the user.
        seed: of the estimators that draw samples.

    Returns: a backward map, output frame → content, both normalized to [-1, 1]; not clamped; the
        same for the same input.
    """
    settings, guide = settings or GeometrySettings(), guide or Guide()
    guide.check(size_of(content), size_of(geo_style))
    if not reads_features(settings):
        return _without_features(size_of(content), size_of(geo_style), settings, guide.points)
    return estimate_from(
        describe(content, network, settings, guide.content_mask),
        describe(geo_style, network, settings, guide.geo_mask),
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
    """Estimate as `estimate_warp` does, from descriptions, which can be kept and used again."""
    settings = settings or GeometrySettings()
    if not reads_features(settings):
        return _without_features(content.size, geo_style.size, settings, points)
    number = settings.choose
    found = candidates(content, geo_style, settings, number, points=points, seed=seed)
    if number > len(found):
        raise InputError(
            f"choose: expected 1 to {len(found)}, the distinct warps of these pictures, "
            f"got {number}"
        )
    return found[number - 1].estimate


def estimate_pinned(content: Size, points: Correspondences, settings: GeometrySettings) -> Estimate:
    """Return the warp that moves parts of a content to given points, without a geometry style.

    Args:
        content: size (H, W) of the picture.
        points: `points.geo_style` are pixels of the content's own canvas; the rest of the picture
            stays where it is.
        settings: see `GeometrySettings`.
    """
    frame = Frame.of(content, content, "content")
    guide = points.within(frame, content, content)
    settings = replace(settings, keep_position=False)
    return finished(through_points(guide, frame, settings, pinned=True), frame)


def reads_features(settings: GeometrySettings) -> bool:
    """Return True where the estimator of these settings compares features of the pictures."""
    return settings.estimator not in ("none", "points") and settings.geometry != "none"


@dataclass(frozen=True)
class Candidate:
    """One of several warps, with a label of a word or two."""

    label: str
    estimate: Estimate


@torch.inference_mode()
def candidates(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings,
    count: int,
    *,
    points: Correspondences | None = None,
    seed: int = 0,
) -> list[Candidate]:
    """Return up to `count` visibly different warps, the one for the given settings first.

    The order depends on the pictures and the settings alone: the i-th is the same for any `count`.

    Returns: fewer where the pictures have no more to choose from.
    """

    def candidate(label: str, changed: GeometrySettings) -> Candidate:
        return Candidate(label, _estimate(content, geo_style, changed, points, seed))

    found = [candidate("best", settings)]
    if count <= 1:
        return found
    variations = _variations(settings, bool(settings.geonet or bundled(content.network)))
    rest = [candidate(label, replace(settings, **changes)) for label, changes in variations]
    # In passes, so that a later candidate never moves an earlier one.
    for apart in APART:
        for one in list(rest):
            if all(_distance(one.estimate, other.estimate) >= apart for other in found):
                found.append(one)
                rest.remove(one)
    return found[:count]


def _estimate(
    content: Description,
    geo_style: Description,
    settings: GeometrySettings,
    points: Correspondences | None,
    seed: int,
) -> Estimate:
    """Estimate by the estimator of the settings, whatever `settings.choose` is."""
    frame = Frame.of(content.size, geo_style.size, settings.frame)
    pair = Pair(content, geo_style, frame)
    if content.flat or geo_style.flat:
        return finished(no_warp(settings, make_family(settings.geometry, settings.lattice)), frame)
    guide = None if points is None else points.within(frame, content.size, geo_style.size)
    if guide is not None:
        settings = replace(settings, fade=False)  # the user has seen what the pictures share

    def fitted(pair: Pair, guide: PointPairs | None) -> FittedWarp:
        fit: FittedWarp = COMPARING[settings.estimator](pair, settings, guide, seed)
        return fit

    plain = None if settings.mirror == "on" else fitted(pair, guide)
    if settings.mirror != "off":
        flipped = pair._replace(content=content.mirrored())
        mirrored = fitted(flipped, guide and guide.mirrored())
        if plain is None or mirrored.confidence >= plain.confidence + MIRROR_COST:
            return finished(mirrored, frame, mirrored=True)
    assert plain is not None
    return finished(plain, frame)


def _without_features(
    content: Size, geo_style: Size, settings: GeometrySettings, points: Correspondences | None
) -> Estimate:
    """Return the warp through given points, or none, between pictures of sizes (H, W)."""
    frame = Frame.of(content, geo_style, settings.frame)
    if settings.estimator != "points" or settings.geometry == "none":
        return finished(no_warp(replace(settings, fade=False)), frame)
    if points is None:
        raise InputError("points: expected a file of points for the estimator points, got none")
    guide = points.within(frame, content, geo_style)
    return finished(through_points(guide, frame, settings), frame)


def _variations(
    settings: GeometrySettings, has_networks: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield labels and changed settings of alternative warps, the likeliest first."""
    yield "upright", {"max_rotation_deg": 0.0}
    yield (
        "bold",
        {
            "fade": False,
            "prior": settings.prior / 5,
            "smoothing": max(1e-6, settings.smoothing / 5),
            "max_stretch": min(100.0, settings.max_stretch * 1.5),
        },
    )
    if settings.geometry not in ("affine", "none"):
        yield "affine", {"geometry": "affine"}
    if not settings.keep_position:
        yield "in place", {"keep_position": True}
    if settings.mirror == "auto":
        yield "mirrored", {"mirror": "on"}
        yield "not mirrored", {"mirror": "off"}
    if has_networks:
        yield "regression", {"estimator": "regression"}
    if settings.max_rotation_deg < 60:
        yield "any turn", {"max_rotation_deg": 60.0}
    yield "gentle", {"smoothing": min(1e3, settings.smoothing * 30), "prior": 0.2}


def _distance(a: Estimate, b: Estimate) -> float:
    """Return the mean distance of two warps over the output, in half long sides.

    It is 2 where only one of them is mirrored.
    """
    if a.parameters.mirrored != b.parameters.mirrored:
        return 2.0
    mapped = [
        e.parameters.warp_family.map_points(e.parameters.theta.double(), lattice(17))
        for e in (a, b)
    ]
    size = a.parameters.content_size
    return float((square_units(mapped[0], size) - square_units(mapped[1], size)).norm(dim=1).mean())
