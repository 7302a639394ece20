"""The splitting stage: which textures a region may be matched with, and how often."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.splitting import LEAST_OFFERED, N_POOL, Exemplars, LayerPools
from geostyle.texture.tiles import Tiling

LAYER = "relu2_1"


def grain(seed: int, color: tuple[float, float, float]) -> Tensor:
    noise = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(seed))
    return (0.7 * torch.tensor(color).view(1, 3, 1, 1) + 0.3 * noise).clamp(0, 1)


def pools(lite: FeatureExtractor, exemplars: Exemplars, chosen: Tensor) -> LayerPools:
    return LayerPools(exemplars, lite, chosen, Tiling(1024, 5), torch.Generator().manual_seed(0))


def distance(lite: FeatureExtractor, exemplars: Exemplars, chosen: Tensor, seen: Tensor) -> float:
    """Distance of the features of `seen` where every cell is painted after `chosen`."""
    with torch.no_grad():
        found = lite(seen, [LAYER])[LAYER][0].flatten(1).T
    at = torch.arange(len(found))
    return float(pools(lite, exemplars, chosen).loss(LAYER, (24, 24), at, found))


def test_a_region_is_matched_with_its_own_texture_alone(lite: FeatureExtractor) -> None:
    red, blue = grain(0, (1, 0.1, 0.1)), grain(1, (0.1, 0.1, 1))
    both = Exemplars([red, blue], [0.5, 0.5], torch.ones(2, 1, 48, 48) / 2)
    its_own = distance(lite, both, torch.ones(1, 1, 12, 12), blue)
    other = distance(lite, both, torch.zeros(1, 1, 12, 12), blue)
    assert other > 3 * its_own


def test_a_shared_exemplar_may_be_used_everywhere(lite: FeatureExtractor) -> None:
    red, blue = grain(0, (1, 0.1, 0.1)), grain(1, (0.1, 0.1, 1))
    zeros = torch.zeros(1, 1, 12, 12)
    shared = Exemplars([red, red, blue], [0.3, 0.3, 0.4], shared=1)
    alone = Exemplars([red, red, blue], [0.3, 0.3, 0.4])
    assert distance(lite, alone, zeros, blue) > 3 * distance(lite, shared, zeros, blue)


def test_pools_are_as_large_as_the_parts_and_never_empty(lite: FeatureExtractor) -> None:
    textures = [grain(0, (1, 0.1, 0.1)), grain(1, (0.1, 0.1, 1))]
    made = pools(lite, Exemplars(textures, [0.999, 0.001]), torch.zeros(1, 1, 12, 12))
    large, small = made.pools["relu1_1"]
    assert (len(large), len(small)) == (min(48 * 48, N_POOL), LEAST_OFFERED)
    features, styles = made._offered("relu1_1")
    assert int((styles == 1).sum()) == LEAST_OFFERED
    assert len(features) == len(styles)
