"""Correlation volumes against loops over positions and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.matching.correlation import (
    correlate,
    mutual_neighbors,
    mutual_probability,
    normalize_correlation,
)


def features(seed: int, height: int, width: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 5, height, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("center", [False, True])
def test_each_position_is_compared_with_each(center: bool) -> None:
    """Source positions row by row; the two maps differ in shape so that no axes can be confused."""
    source, target = features(0, 2, 3), features(1, 4, 2)
    volume = correlate(source, target, center=center)
    assert volume.shape == (2, 6, 4, 2)
    for item in range(2):
        a = [v / v.norm() for v in source[item].flatten(1).T]
        b = [v / v.norm() for v in target[item].flatten(1).T]
        if center:
            middle = (torch.stack(a).mean(0) + torch.stack(b).mean(0)) / 2
            a, b = ([(v - middle) / (v - middle).norm() for v in vs] for vs in (a, b))
        for i, j in ((0, 0), (1, 5), (3, 2), (5, 7)):
            found = volume[item, i, j // 2, j % 2]
            assert float(found) == pytest.approx(float(a[i] @ b[j]), abs=1e-12)


def test_centering_is_off_unless_asked_for() -> None:
    source, target = features(0, 2, 3), features(1, 4, 2)
    assert torch.equal(correlate(source, target), correlate(source, target, center=False))
    assert not torch.allclose(correlate(source, target), correlate(source, target, center=True))


def test_flat_pictures_have_nothing_in_common_once_centered() -> None:
    flat = features(0, 1, 1).expand(2, 5, 3, 3) + 1e-7 * features(1, 3, 3)
    assert correlate(flat, flat).min() > 0.999
    assert correlate(flat, flat, center=True).abs().max() < 1e-3
    # Directions that differ by a hundredth are features, not rounding.
    rough = features(0, 1, 1).expand(2, 5, 3, 3) + 0.05 * features(1, 3, 3)
    same = correlate(rough, rough, center=True).flatten(2).diagonal(dim1=1, dim2=2)
    assert torch.allclose(same, torch.ones_like(same))


def test_a_feature_of_nothing_is_like_nothing() -> None:
    source, target = features(0, 2, 2), features(1, 2, 2)
    source[:, :, 0, 1] = 0
    volume = correlate(source, target)
    assert volume[:, 1].abs().max() == 0 and volume.isfinite().all()


def test_features_of_different_layers_are_refused() -> None:
    a = features(0, 2, 2)
    for b in (a[:, :4], a[:1], a[0], a.flatten(2)):
        for pair in ((a, b), (b, a)):
            with pytest.raises(InputError, match=r"features: expected two \(B, C, H, W\) maps"):
                correlate(*pair)
    assert correlate(a, features(1, 1, 7)).shape == (2, 4, 1, 7)


def test_normalized_volumes_have_unit_columns_without_negative_entries() -> None:
    volume = correlate(features(0, 2, 3), features(1, 4, 2))
    normalized = normalize_correlation(volume)
    positive = volume.clamp_min(0)
    assert torch.allclose(normalized, positive / positive.square().sum(1, keepdim=True).sqrt())
    assert torch.allclose(normalized.norm(dim=1), torch.ones(2, 4, 2, dtype=torch.float64))
    assert normalize_correlation(-volume.abs()).abs().max() == 0


def test_the_probability_of_a_mutual_choice_in_closed_form() -> None:
    """Two by two positions of similarity 1 where they match and 0 where they do not."""
    volume = torch.eye(2)[None, :, None]  # source 2, target 1×2
    chosen = 1 / (1 + math.exp(-1 / 0.5))
    expected = torch.tensor([[chosen, 1 - chosen], [1 - chosen, chosen]]).square()
    assert torch.allclose(mutual_probability(volume, 0.5)[0, :, 0], expected)
    # Sharing the source's choice with a third position halves the one softmax and not the other.
    volume = torch.tensor([[1.0, 1.0, 0.0]])[None, :, None]
    expected = torch.tensor([math.e, math.e, 1]) / (2 * math.e + 1)
    assert torch.allclose(mutual_probability(volume, 1.0)[0, 0, 0], expected)


def test_mutual_neighbors_against_a_loop() -> None:
    volume = correlate(features(0, 3, 4, 1), features(1, 2, 5, 1))
    scores = volume[0].flatten(1)
    expected = [
        (i, j)
        for j in range(10)
        for i in range(12)
        if scores[i, j] == scores[:, j].max() and scores[i, j] == scores[i].max()
    ]
    source, target = mutual_neighbors(volume)
    assert 1 < len(expected) < 10
    assert list(zip(source.tolist(), target.tolist(), strict=True)) == expected
