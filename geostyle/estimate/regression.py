"""The trained network's answer, asked for once each way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.correlation import mutual_probability
from geostyle.errors import InputError
from geostyle.estimate.description import Description
from geostyle.estimate.frames import Frame, lattice, square
from geostyle.estimate.result import Estimate, faded, guarded
from geostyle.estimate.robust import HOME, SCHEDULE, TEMPERATURE, explained
from geostyle.estimate.settings import GeometrySettings
from geostyle.geonet import correlate_squares
from geostyle.warps import WarpFamily, make_family
from geostyle.warps.affine import Affine


def regression(
    content: Description, geo_style: Description, frame: Frame, settings: GeometrySettings
) -> Estimate:
    """The network's answer, carried over to the output frame.

    Its confidence is measured as that of `robust`: the share of soft matches near the map, and of
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
    distance = torch.cdist(square(target, size), square(mapped, size))
    near = (distance / SCHEDULE[-1][0]).square_().div_(-2).exp_()
    probability = mutual_probability(correlation, TEMPERATURE)[0].flatten(1).double()
    support = near * probability
    weights = support.sum(0).sqrt() + 1e-12
    matches = support.mT @ target / support.sum(0).clamp_min(1e-30)[:, None]
    error = square(net.family.map(back, mapped[None])[0] - target, geo_style.size).norm(dim=1)
    home = (mapped.abs() <= 1).all(1) & (error < HOME)
    returning = float((weights * home).sum() / weights.sum())
    confidence = math.sqrt(explained(near, probability) * returning)

    family, found = net.family, theta[0]
    if settings.frame == "content" or settings.geometry != family.name:
        family = make_family(settings.geometry, settings.lattice)
        found = _refit(net.family, theta, family, frame)
    found, message = faded(family, found, frame, confidence, settings)
    parameters = guarded(family, found, frame, confidence)
    return Estimate(parameters, confidence, target * frame.to_output, matches, weights, message)


def _refit(known: WarpFamily, theta: Tensor, family: WarpFamily, frame: Frame) -> Tensor:
    """Theta (P,) of `family` on the output frame for `theta` (1, Q) on the geometry style's.

    What the geometry style does not cover of the output follows the nearest affine map.
    """
    points = lattice(20)
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
