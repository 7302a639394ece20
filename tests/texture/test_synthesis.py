"""Texture synthesis, tiles and mixtures on tiny pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture.descent import DescentSettings, resize_tile
from geostyle.texture.losses import gram
from geostyle.texture.objective import LossSettings, TextureObjective, normalized_weights
from geostyle.texture.pyramid import Progress
from geostyle.texture.synthesis import (
    SynthesisSettings,
    fade_weights,
    gram_errors,
    seam,
    synthesize,
    with_padding,
)

QUICK = SynthesisSettings(
    layers=("relu1_1", "relu2_1", "relu3_1"), descent=DescentSettings(iterations=(15, 25))
)


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


def blobs(seed: int, size: tuple[int, int] = (48, 40), gray: float = 0.5) -> Tensor:
    """A colored, band-limited random texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, size[0] // 4, size[1] // 4, generator=generator)
    return (resize_tile(coarse, size) * 0.6 + gray - 0.3).clamp(0, 1)


@pytest.mark.parametrize("size", [None, (33, 70), (96, 16)])
def test_any_size_from_one_exemplar(
    network: FeatureExtractor, size: tuple[int, int] | None
) -> None:
    exemplar = blobs(0)
    done = synthesize(exemplar, network, QUICK, size=size)
    assert done.image.shape == (1, 3, *(size or (48, 40)))
    assert done.image.min() >= 0 and done.image.max() <= 1
    assert [len(level.steps) for level in done.history] == [15, 25]
    noise = torch.rand(done.image.shape, generator=torch.Generator().manual_seed(1))
    before, after = (gram_errors(x, exemplar, network, QUICK.layers) for x in (noise, done.image))
    for layer in QUICK.layers:
        assert after[layer] < 0.5 * before[layer], layer


def test_gram_error_is_the_ratio_of_norms(network: FeatureExtractor) -> None:
    a, b = blobs(0), blobs(1)
    ga, gb = (gram(network(x, ["relu2_1"])["relu2_1"]) for x in (a, b))
    expected = float(((ga - gb) ** 2).sum().sqrt() / (gb**2).sum().sqrt())
    assert gram_errors(a, b, network, ["relu2_1"])["relu2_1"] == pytest.approx(expected, rel=1e-5)
    assert gram_errors(b, b, network)["relu1_1"] == 0


def test_colors_are_the_exemplars(network: FeatureExtractor) -> None:
    exemplar = blobs(2) * torch.tensor([0.9, 0.5, 0.2]).view(1, 3, 1, 1)
    image = synthesize(exemplar, network, QUICK, size=(40, 48)).image
    torch.testing.assert_close(image.mean((0, 2, 3)), exemplar.mean((0, 2, 3)), atol=0.03, rtol=0)


def test_noise_of_the_exemplars_pixels(network: FeatureExtractor) -> None:
    start_only = replace(QUICK, descent=DescentSettings(iterations=(0,)))
    exemplar = blobs(3)
    image = synthesize(exemplar, network, start_only, size=(64, 64)).image
    palette = {tuple(p) for p in exemplar[0].flatten(1).T.tolist()}
    assert {tuple(p) for p in image[0].flatten(1).T.tolist()} <= palette
    neighbors = image[..., 1:] - image[..., :-1]
    spread = image.std()
    assert float(neighbors.std() / spread) == pytest.approx(2**0.5, rel=0.1)  # white
    again, other = (
        synthesize(exemplar, network, start_only, size=(64, 64), seed=s).image for s in (0, 1)
    )
    assert torch.equal(image, again) and not torch.equal(image, other)


def test_tiles_have_no_seam_and_others_do(network: FeatureExtractor) -> None:
    exemplar = blobs(4, (64, 64))
    settings = replace(QUICK, descent=DescentSettings(iterations=(20, 40)))
    plain, tile = (
        synthesize(exemplar, network, replace(settings, tile=tile), size=(48, 36)).image
        for tile in (False, True)
    )
    assert seam(plain).visible and not seam(tile).visible
    assert seam(plain).ratio > 1.3 * seam(tile).ratio
    # Nothing knows where the tile was cut: shifted, its Gram matrices stay what they are.
    circular = with_padding(network, "circular")
    shifted = tile.roll((8, 12), (-2, -1))
    for layer, error in gram_errors(shifted, tile, circular, QUICK.layers).items():
        assert error < 1e-4, layer


def test_seam_of_known_pictures() -> None:
    ramp = torch.linspace(0, 1, 11).expand(1, 3, 7, 11)
    found = seam(ramp)
    assert found.wrap == pytest.approx((0, 1)) and found.typical == pytest.approx((0, 0.1))
    assert found.worst == pytest.approx((0, 0.1)) and found.ratio == pytest.approx(10)
    assert found.visible
    wave = torch.sin(torch.arange(32) * 2 * torch.pi / 32).expand(1, 3, 5, 32)
    assert seam(wave).ratio == pytest.approx(1.5, abs=0.1)  # steepest where it wraps
    assert seam(torch.full((1, 3, 8, 8), 0.3)).ratio == 0


def test_a_tile_stays_one_when_resized() -> None:
    x = torch.arange(64) * 2 * torch.pi / 16
    wave = (0.5 + 0.4 * torch.sin(x)).expand(1, 3, 64, 64)[..., :16]
    larger = resize_tile(wave, (24, 48))
    u = ((torch.arange(48) + 0.5) / 3 - 0.5) * 2 * torch.pi / 16
    assert (larger[0, 0, 0] - (0.5 + 0.4 * torch.sin(u))).abs().max() < 0.02
    assert resize_tile(wave, (64, 16)) is wave


def test_padding_is_changed_on_a_twin_alone(network: FeatureExtractor) -> None:
    twin = with_padding(network, "circular")
    assert twin.padding == "circular" and network.padding == "zeros"
    assert twin.convs is network.convs
    x = blobs(5, (32, 32))
    rolled = twin(x.roll(4, -1), ["relu2_1"])["relu2_1"]
    torch.testing.assert_close(rolled, twin(x, ["relu2_1"])["relu2_1"].roll(2, -1))
    with pytest.raises(InputError, match="padding"):
        with_padding(network, "mirror")


def test_levels_too_small_for_the_deepest_layer_are_left_out(network: FeatureExtractor) -> None:
    settings = replace(
        QUICK, layers=("relu4_1", "relu5_1"), descent=DescentSettings(iterations=(1, 1, 1, 1))
    )
    sizes = [level.size for level in synthesize(blobs(0), network, settings).history]
    assert sizes == [(16, 16), (16, 16), (24, 20), (48, 40)]
    tiled = synthesize(blobs(0), network, replace(settings, tile=True))
    assert [level.size for level in tiled.history] == [(48, 40)]  # its exemplar is reflected
    with pytest.raises(InputError, match="size: expected sides of at least 32 px"):
        synthesize(blobs(0), network, replace(settings, tile=True), size=(40, 24))


def test_depths_are_one_scale_each(network: FeatureExtractor) -> None:
    depths = QUICK.depths()
    assert [own.layers for own in depths] == [QUICK.layers[:n] for n in (1, 2, 3)]
    for own in depths:
        result = synthesize(blobs(0), network, own, size=(20, 24))
        assert [len(level.steps) for level in result.history] == [40]


def test_fades_run_from_style_to_style() -> None:
    assert fade_weights(2, 3) == [(1, 0), (0.5, 0.5), (0, 1)]
    weights = fade_weights(3, 5)
    assert weights[0] == (1, 0, 0) and weights[2] == (0, 1, 0) and weights[4] == (0, 0, 1)
    for row in fade_weights(4, 11):
        assert sum(row) == pytest.approx(1) and min(row) >= 0
        assert sum(w > 0 for w in row) <= 2
    for styles, count in ((1, 3), (2, 1)):
        with pytest.raises(InputError, match="fade"):
            fade_weights(styles, count)


def test_a_mixture_averages_gram_matrices(network: FeatureExtractor) -> None:
    pair = [blobs(6, gray=0.35), blobs(7, (32, 32), gray=0.65)]
    objective = TextureObjective(
        network, pair, None, LossSettings(style_layers=["relu1_1", "relu2_1"]), tex_weights=[1, 3]
    )
    (region,) = objective.regions
    assert list(region.losses) == ["relu1_1", "relu2_1"]
    for layer, losses in region.losses.items():
        first, second = (gram(network(x, [layer])[layer]) for x in pair)
        torch.testing.assert_close(losses["gram"].target, 0.25 * first + 0.75 * second)


def test_the_ends_of_a_mixture_are_the_textures_themselves(network: FeatureExtractor) -> None:
    pair = [blobs(6), blobs(7)]
    alone = synthesize(pair[1], network, QUICK, size=(32, 32))
    mixed = synthesize(pair, network, QUICK, size=(32, 32), tex_weights=[0, 1])
    torch.testing.assert_close(mixed.image, alone.image, atol=1e-4, rtol=0)
    half = synthesize(pair, network, QUICK, size=(32, 32)).image
    to_half = gram_errors(half, pair, network, QUICK.layers)["relu1_1"]
    assert to_half < gram_errors(half, pair, network, QUICK.layers, tex_weights=[0, 1])["relu1_1"]


@pytest.mark.parametrize("mixture", [[1.0], [1.0, -1.0], [0.0, 0.0], [1, 1, 1]])
def test_unusable_mixtures_are_refused(network: FeatureExtractor, mixture: list[float]) -> None:
    with pytest.raises(InputError, match="tex_weights: expected 2 non-negative"):
        synthesize([blobs(0), blobs(1)], network, QUICK, tex_weights=mixture)
    assert normalized_weights(None, 2) == [0.5, 0.5]


def test_an_interruption_gives_the_best_so_far_at_full_size(network: FeatureExtractor) -> None:
    def stop(p: Progress) -> None:
        if p.step == 3:
            raise KeyboardInterrupt

    done = synthesize(blobs(0), network, QUICK, size=(40, 56), callback=stop)
    assert done.interrupted and done.image.shape == (1, 3, 40, 56)
    assert len(done.history) == 1 and len(done.history[0].steps) == 4


def test_settings_are_held_to_their_ranges(network: FeatureExtractor) -> None:
    with pytest.raises(InputError, match="layers"):
        SynthesisSettings(layers=())
    with pytest.raises(InputError, match="iterations"):
        DescentSettings(iterations=(5, -1))
    with pytest.raises(InputError, match="relu9_1"):
        synthesize(blobs(0), network, replace(QUICK, layers=("relu9_1",)))
