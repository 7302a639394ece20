"""Two descriptions → soft matches: which position of one may be which of the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geostyle.coords import base_grid, size_of
from geostyle.matching.correlation import correlate, mutual_probability
from geostyle.matching.description import Description
from geostyle.matching.frames import Frame

TEMPERATURE = 0.05  # of the match probability, in cosine similarity
HIDDEN = 1e-6  # weight of what a mask hides


@dataclass(frozen=True)
class Matches:
    """Every position of the content against every position of the geometry style.

    source: (Ns, 2), content points. target: (Nt, 2), output points. probability: (Ns, Nt), that the
    two choose each other.
    """

    source: Tensor
    target: Tensor
    probability: Tensor


def correlation_of(content: Description, geo_style: Description) -> Tensor:
    """The mean correlation (1, Ns, Ht, Wt) over layers and sizes, on the CPU."""
    pairs = zip(content.maps, geo_style.maps, strict=True)
    return torch.stack([correlate(a, b, center=True) for a, b in pairs]).mean(0).cpu()


def cells_of(description: Description) -> Tensor:
    """The positions (N, 2) of a description, normalized in its own picture, in float64."""
    return base_grid(size_of(description.maps[0]), dtype=torch.float64).flatten(0, 1)


def match(content: Description, geo_style: Description, frame: Frame) -> Matches:
    """Compare everywhere with everywhere; what a mask hides matches nothing."""
    weights = [d.weights(size_of(d.maps[0])) for d in (content, geo_style)]
    probability = masked_probability(correlation_of(content, geo_style), *weights)
    return Matches(cells_of(content), cells_of(geo_style) * frame.to_output, probability)


def masked_probability(correlation: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The probability (Ns, Nt) that positions choose each other, in float64.

    correlation: (1, Ns, Ht, Wt). source: (Ns,), target: (Ht·Wt,), weights in [0, 1] of the
    positions: 0 takes one out of the choice.
    """
    a, b = (w.double().clamp_min(HIDDEN) for w in (source, target))
    pull = TEMPERATURE * (a.log()[:, None] + b.log())
    logits = correlation.double() + pull.view_as(correlation)
    probability = mutual_probability(logits, TEMPERATURE)[0].flatten(1)
    return probability * (a > HIDDEN)[:, None] * (b > HIDDEN)
