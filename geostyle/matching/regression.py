"""The answer of trained networks, in a cascade: each sees the content as warped by those before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from geostyle.coords import base_grid, size_of
from geostyle.matching.description import Description
from geostyle.matching.frames import Frame, lattice, square
from geostyle.matching.look import Map, seen_through
from geostyle.matching.matches import masked_probability
from geostyle.matching.network import Trained, correlate_squares
from geostyle.matching.result import Found
from geostyle.matching.robust import HOME, SCHEDULE, explained
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine

ABSENT = -1.0  # correlation with what a mask hides


def regression(
    content: Description,
    geo_style: Description,
    frame: Frame,
    settings: GeometrySettings,
    networks: Sequence[Trained],
) -> Found:
    """The networks' answer, carried over to the output frame.

    Its confidence is measured as that of `robust`: the share of soft matches near the map, and of
    points that the networks' answers for both directions bring back home.
    """
    stages = cascade(content, geo_style, networks)
    there, back = composed(stages), composed(cascade(geo_style, content, networks))
    first = networks[0]
    correlation, weights = _correlation(content, geo_style, first)
    target = base_grid((first.net.cells,) * 2, dtype=torch.float64).flatten(0, 1)
    mapped = there(target)

    distance = torch.cdist(square(target, content.size), square(mapped, content.size))
    near = (distance / SCHEDULE[-1][0]).square_().div_(-2).exp_()
    probability = masked_probability(correlation, *weights)
    support = near * probability
    masses = support.sum(0).sqrt() + 1e-12
    matches = support.mT @ target / support.sum(0).clamp_min(1e-30)[:, None]
    error = square(back(mapped) - target, geo_style.size).norm(dim=1)
    home = (mapped.abs() <= 1).all(1) & (error < HOME)
    returning = float((masses * home).sum() / masses.sum())
    confidence = math.sqrt(explained(near, probability) * returning)

    family, theta = stages[0]
    own = settings.frame == "geo" and settings.geometry == family.name
    if not own or len(stages) > 1:
        family = make_family(settings.geometry, settings.lattice)
        theta = _refit(there, family, frame)
    return Found(family, theta, target * frame.to_output, matches, masses, confidence, settings)


def cascade(
    content: Description, geo_style: Description, networks: Sequence[Trained]
) -> list[tuple[WarpFamily, Tensor]]:
    """One (family, theta (P,)) a network, geometry style → content, the first to be applied last.

    Source: Rocco et al., "Convolutional neural network architecture for geometric matching",
        section 3.4: an affine estimate, then a spline on the warped picture.
    """
    stages: list[tuple[WarpFamily, Tensor]] = []
    for network in networks:
        seen = content
        if stages:
            side = network.net.settings.match_px
            seen = seen_through(composed(stages), content, (side, side), hide=False)
        correlation, _ = _correlation(seen, geo_style, network)
        theta = network.net(correlation).theta[0].double()
        stages.append((network.net.family, theta))
    return stages


def composed(stages: Sequence[tuple[WarpFamily, Tensor]]) -> Map:
    """The map of a cascade: the last stage is applied first."""

    def mapping(points: Tensor) -> Tensor:
        for family, theta in reversed(stages):
            points = family.map(theta[None], points[None])[0]
        return points

    return mapping


def _correlation(
    content: Description, geo_style: Description, network: Trained
) -> tuple[Tensor, list[Tensor]]:
    """What a network reads (1, n², n, n), on the CPU, and the weights (n²,) of either's cells."""
    maps = [d.squares(network) for d in (content, geo_style)]
    correlation = correlate_squares(maps[0], maps[1], network.net.settings).float().cpu()
    weights = [d.weights(size_of(m)) for d, m in zip((content, geo_style), maps, strict=True)]
    shown = weights[0][:, None] * weights[1] > 0.5
    return correlation.where(shown.view_as(correlation), torch.tensor(ABSENT)), weights


def _refit(known: Map, family: WarpFamily, frame: Frame) -> Tensor:
    """Theta (P,) of `family` on the output frame for a map `known` on the geometry style's.

    What the geometry style does not cover of the output follows the nearest affine map.
    """
    points = lattice(20)
    outputs, mapped = points * frame.to_output, known(points)
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
