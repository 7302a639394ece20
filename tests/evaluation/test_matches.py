"""Agreement of two networks on matches: a network with itself, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geostyle.evaluation.matches import match_agreement
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.colors import match_colors
from geostyle.texture.hypercolumns import LAYERS, hypercolumns
from tests.pictures import picture

CANVAS, STYLE = picture(1, 40, 56), picture(2, 48, 32)


def network(seed: int) -> FeatureExtractor:
    torch.manual_seed(seed)
    widths = (4, 5, 6, 7, 8)
    return FeatureExtractor("lite", channels=widths, taps=True).requires_grad_(False)


def test_a_network_agrees_with_itself() -> None:
    found = match_agreement(CANVAS, STYLE, network(0), network(0))
    assert found == {"near": 1.0, "lost": pytest.approx(0, abs=1e-6)}


def test_agreement_is_counted_cell_by_cell() -> None:
    student, reference = network(0), network(1)
    like = match_colors(CANVAS, STYLE)

    def columns(image: Tensor, own: FeatureExtractor) -> Tensor:
        # Every layer to a mean square of 1 in the texture, over its own positions.
        scales = {k: float(own(STYLE, [k])[k].pow(2).mean()) ** -0.5 for k in LAYERS}
        rows = hypercolumns(image, own, scales)[0].permute(1, 2, 0).flatten(0, 1)
        rows = rows - rows.mean(0)
        return rows / rows.norm(dim=1, keepdim=True)

    ours, theirs = (columns(like, n) @ columns(STYLE, n).T for n in (student, reference))
    near, lost, room = 0, 0.0, 0.0
    for cell in range(len(ours)):
        chosen, expected = int(ours[cell].argmax()), int(theirs[cell].argmax())
        down, across = (
            abs(a - b) for a, b in zip(divmod(chosen, 8), divmod(expected, 8), strict=True)
        )
        near += max(down, across) <= 2
        lost += float(theirs[cell, expected] - theirs[cell, chosen])
        room += float(theirs[cell, expected] - theirs[cell].mean())
    found = match_agreement(CANVAS, STYLE, student, reference)
    assert 0.0 < found["near"] < 1.0
    assert found["near"] == pytest.approx(near / len(ours))
    assert found["lost"] == pytest.approx(lost / room, rel=1e-3)
