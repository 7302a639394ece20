"""Reconstructions from noise, and style transfer as published, on tiny pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.coords import resize
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture.descent import DescentSettings
from geostyle.texture.descent_settings import (
    ReconstructionSettings,
    block_layers,
    layers_up_to,
)
from geostyle.texture.neural_style import (
    NeuralStyleSettings,
    neural_style,
)
from geostyle.texture.pyramid import white_noise
from geostyle.texture.reconstruct import feature_errors, reconstruct
from geostyle.texture.synthesis import gram_errors


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


@pytest.fixture
def picture() -> Tensor:
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return resize(coarse, (32, 40)).clamp(0, 1)


def steps(n: int) -> DescentSettings:
    return DescentSettings(iterations=(n,))


def test_layers_up_to_keep_their_index(network: FeatureExtractor) -> None:
    assert layers_up_to(network, "relu4_2") == ["relu1_2", "relu2_2", "relu3_2", "relu4_2"]
    assert layers_up_to(network, "relu3_4") == ["relu3_4"]  # blocks 1 and 2 have two layers
    assert layers_up_to(network, "pool2") == ["pool1", "pool2"]
    assert block_layers(network, "relu2_1") == [f"relu{b}_1" for b in range(1, 6)]
    assert block_layers(network, "relu4_2") == layers_up_to(network, "relu4_2")  # lite has no 5_2
    with pytest.raises(InputError, match="relu5_9"):
        layers_up_to(network, "relu5_9")


def test_defaults_are_the_papers() -> None:
    extractor = FeatureExtractor("lite", channels=[2, 2, 2, 2, 2])
    content = ReconstructionSettings(what="content", layer="relu3_1")
    style = ReconstructionSettings(what="style", layer="relu3_1")
    assert content.layers(extractor) == ["relu3_1"]
    assert style.layers(extractor) == ["relu1_1", "relu2_1", "relu3_1"]
    assert ReconstructionSettings(layer="relu3_1", up_to=True).layers(extractor) == [
        "relu1_1", "relu2_1", "relu3_1"
    ]  # fmt: skip


def test_content_comes_back_from_a_shallow_layer(
    network: FeatureExtractor, picture: Tensor
) -> None:
    own = ReconstructionSettings(layer="relu1_1", descent=steps(100))
    done = reconstruct(picture, network, own)
    assert done.image.shape == picture.shape
    start = white_noise((32, 40), 0, picture)
    before, after = (
        feature_errors(image, picture, network, ["relu1_1"])["relu1_1"]
        for image in (start, done.image)
    )
    assert after < 0.06 < 1 < before
    assert float((done.image - picture).abs().mean()) < 0.06


def test_up_to_a_layer_keeps_the_shallow_ones_too(
    network: FeatureExtractor, picture: Tensor
) -> None:
    errors = {}
    for up_to in (False, True):
        own = ReconstructionSettings(layer="relu3_1", up_to=up_to, descent=steps(60))
        image = reconstruct(picture, network, own).image
        errors[up_to] = feature_errors(image, picture, network, ["relu1_1"])["relu1_1"]
    assert errors[True] < 0.5 * errors[False]


def test_style_is_reconstructed_without_its_places(
    network: FeatureExtractor, picture: Tensor
) -> None:
    own = ReconstructionSettings(what="style", layer="relu2_1", descent=steps(60))
    done = reconstruct(picture, network, own)
    for layer, error in gram_errors(done.image, picture, network, ["relu1_1", "relu2_1"]).items():
        assert error < 0.05, layer
    assert float((done.image - picture).abs().mean()) > 0.05


def test_feature_error_is_the_ratio_of_norms(network: FeatureExtractor, picture: Tensor) -> None:
    other = picture.flip(-1)
    f, p = (network(x, ["relu2_2"])["relu2_2"] for x in (other, picture))
    expected = float((f - p).norm() / p.norm())
    found = feature_errors(other, picture, network, ["relu2_2"])["relu2_2"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_every_block(network: FeatureExtractor, picture: Tensor) -> None:
    own = ReconstructionSettings(layer="relu1_1", descent=steps(2))
    found = {each.layer: reconstruct(picture, network, each) for each in own.blocks(network)}
    assert list(found) == [f"relu{b}_1" for b in range(1, 6)]
    assert not torch.equal(found["relu1_1"].image, found["relu5_1"].image)


def test_the_dial_trades_content_for_style(network: FeatureExtractor, picture: Tensor) -> None:
    style = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(9)).round() * 0.8
    kept, painted = [], []
    for ratio in (1e-8, 1e3):
        own = NeuralStyleSettings(alpha_over_beta=ratio, descent=steps(60))
        image = neural_style(picture, style, network, own).image
        assert image.shape == picture.shape
        kept.append(feature_errors(image, picture, network, ["relu4_2"])["relu4_2"])
        errors = gram_errors(image, resize(style, (32, 40)), network, ["relu1_1", "relu2_1"])
        painted.append(sum(errors.values()))
    assert kept[1] < kept[0] and painted[0] < painted[1]


def test_the_sheet_runs_through_depths_and_ratios(
    network: FeatureExtractor, picture: Tensor
) -> None:
    own = NeuralStyleSettings(style_layers=("relu1_1", "relu2_1"), descent=steps(1))
    found = own.sheet((1e-4, 1e-2))
    assert [(each.style_layers[-1], each.alpha_over_beta) for each in found] == [
        ("relu1_1", 1e-4), ("relu1_1", 1e-2), ("relu2_1", 1e-4), ("relu2_1", 1e-2)
    ]  # fmt: skip


def test_one_scale_only_and_some_style() -> None:
    with pytest.raises(InputError, match="single scale"):
        NeuralStyleSettings(descent=DescentSettings(iterations=(3, 3)))
    with pytest.raises(InputError, match="style_layers"):
        NeuralStyleSettings(style_layers=())
    with pytest.raises(InputError, match="what"):
        ReconstructionSettings(what="color")
