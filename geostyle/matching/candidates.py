"""The best distinct warps of one pair, for people to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.matching.description import Description, bundled
from geostyle.matching.frames import lattice, square
from geostyle.matching.points import Correspondences
from geostyle.matching.result import Estimate
from geostyle.matching.settings import GeometrySettings
from geostyle.matching.single import estimate_one

# How far apart two warps are, on average over the output, for people to tell them apart: in half
# long sides, tried one after the other until there are enough.
APART = (0.08, 0.04, 0.02)


@dataclass(frozen=True)
class Candidate:
    """One of several warps: what it is beside the first, in a word or two, and the warp."""

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
    """Up to `count` warps that people can tell apart, the one the settings ask for first.

    The order depends on the pictures and the settings alone: the i-th is the same whatever
    `count` is.

    Returns: fewer where the pictures leave no more to choose from.
    """
    first = estimate_one(content, geo_style, settings, points=points, seed=seed)
    found = [Candidate("best", first)]
    if count <= 1:
        return found
    rest = [
        Candidate(label, estimate_one(content, geo_style, other, points=points, seed=seed))
        for label, other in _variations(content, settings)
    ]
    # By passes, so that a later candidate never moves an earlier one.
    for apart in APART:
        for one in list(rest):
            if all(_distance(one.estimate, other.estimate) >= apart for other in found):
                found.append(one)
                rest.remove(one)
    return found[:count]


def choose(found: list[Candidate], number: int) -> Candidate:
    """Candidate `number`, counted from 1.

    Raises: InputError where there are not so many.
    """
    if number > len(found):
        raise InputError(
            f"choose: expected 1 to {len(found)}, the distinct warps of these pictures, "
            f"got {number}"
        )
    return found[number - 1]


def _variations(
    content: Description, settings: GeometrySettings
) -> Iterator[tuple[str, GeometrySettings]]:
    """Other ways to see the pair, the likeliest first. What the guard or the fade hold back in one
    may show in another.
    """
    yield "upright", replace(settings, max_rotation_deg=0.0)
    yield (
        "bold",
        replace(
            settings,
            fade=False,
            prior=settings.prior / 5,
            smoothing=max(1e-6, settings.smoothing / 5),
            max_stretch=min(100.0, settings.max_stretch * 1.5),
        ),
    )
    if settings.geometry not in ("affine", "none"):
        yield "affine", replace(settings, geometry="affine")
    if not settings.keep_position:
        yield "in place", replace(settings, keep_position=True)
    if settings.mirror == "auto":
        for mirror in ("on", "off"):
            yield (
                ("mirrored" if mirror == "on" else "not mirrored"),
                replace(settings, mirror=mirror),
            )
    if settings.geonet or bundled(content.extractor):
        yield "regression", replace(settings, estimator="regression")
    if settings.max_rotation_deg < 60:
        yield "any turn", replace(settings, max_rotation_deg=60.0)
    yield "gentle", replace(settings, smoothing=min(1e3, settings.smoothing * 30), prior=0.2)


def _distance(a: Estimate, b: Estimate) -> float:
    """The mean distance between where two warps read, in half long sides; mirroring is far."""
    if a.parameters.mirrored != b.parameters.mirrored:
        return 2.0
    size = a.parameters.content_size
    return float((_read(a, size) - _read(b, size)).norm(dim=1).mean())


def _read(estimate: Estimate, size: tuple[int, int]) -> Tensor:
    parameters = estimate.parameters
    theta = parameters.theta.double()[None]
    return square(parameters.warp_family.map(theta, lattice(17)[None])[0], size)
