"""A picture cut into tiles has the loss and the gradient of the whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geostyle.coords import resize
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.io.images import load_picture
from geostyle.texture.objective import LossSettings, TextureObjective
from geostyle.texture.tiles import Tiling, _cut_side, maps_of
from tests.pictures import noise


def small_network(name: str = "lite", padding: str = "zeros") -> FeatureExtractor:
    """Random weights of a size that keeps activations alive down to the last layer."""
    torch.manual_seed(0)
    channels = [4, 6, 8, 10, 10]
    network = FeatureExtractor(name, channels=channels, taps=name == "lite", padding=padding)
    for conv in network.convs.values():
        torch.nn.init.kaiming_normal_(conv.weight)  # type: ignore[arg-type]
    return network.requires_grad_(False)


def gradient(objective: TextureObjective, image: Tensor) -> tuple[list[float], Tensor]:
    pixels = image.clone().requires_grad_()
    terms = objective(pixels)
    return [float(t.detach()) for t in terms], torch.autograd.grad(terms[0], pixels)[0]


def assert_alike(whole: TextureObjective, cut: TextureObjective, image: Tensor) -> None:
    terms, slope = gradient(whole, image)
    own_terms, own_slope = gradient(cut, image)
    assert own_terms == pytest.approx(terms, rel=1e-4)
    assert float((own_slope - slope).norm() / slope.norm()) < 1e-4
    # Not only on the whole: nowhere along a seam either.
    assert float((own_slope - slope).abs().max() / slope.abs().max()) < 1e-3


TERMS: dict[str, dict[str, Any]] = {
    "gram": {"content_weight": 0.0},
    "content": {"style_weight": 0.0},
    "everything": {"moment_weight": 0.5, "wasserstein_weight": 0.7, "tv_weight": 0.3},
    "shallow only": {"style_layers": ["relu1_1", "relu2_1"], "content_weight": 0.0},
    "deep only": {"style_layers": ["relu5_1"], "content_layers": ["relu4_2", "relu5_1"]},
    "shallow content": {"content_layers": ["relu1_2", "pool2"]},
}


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.parametrize("blocks", [1, 2, 4, 5])
def test_every_term_has_the_same_gradient(terms: dict[str, Any], blocks: int) -> None:
    network = small_network()
    # Sides that no stride divides; tiles narrower than what the deepest layer sees.
    content, style, image = noise(0, 150, 203), noise(1, 130, 90), noise(2, 150, 203)
    losses = LossSettings(**terms)
    whole = TextureObjective(network, [style], content, losses)
    cut = TextureObjective(network, [style], content, losses, tiling=Tiling(48, blocks))
    assert_alike(whole, cut, image)


@pytest.mark.parametrize("blocks", [2, 5])
def test_masks_and_mixtures_are_cut_with_the_picture(blocks: int) -> None:
    network = small_network()
    content, image = noise(0, 100, 130), noise(2, 100, 130)
    styles = [noise(1, 90, 60), noise(3, 60, 100)]
    mask = noise(4, 100, 130)[:, :1]
    cases: list[tuple[float, dict[str, Any]]] = [
        (0.3, {"masks": [mask, 1 - mask]}),
        (0.0, {"tex_weights": [1, 3]}),
    ]
    for moment_weight, more in cases:
        given = network, styles, content, LossSettings(moment_weight=moment_weight)
        whole = TextureObjective(*given, **more)
        cut = TextureObjective(*given, tiling=Tiling(32, blocks), **more)
        assert_alike(whole, cut, image)


def test_a_mask_confines_a_texture_to_its_region() -> None:
    network = small_network()
    styles, image = [noise(1, 64, 64), noise(3, 64, 64)], noise(2, 64, 128)
    left = torch.zeros(1, 1, 64, 128)
    left[..., :64] = 1
    losses = LossSettings(style_layers=["relu1_1"])
    both = TextureObjective(network, styles, None, losses, masks=[left, 1 - left])
    total = float(both(image)[0])
    halves = [TextureObjective(network, [style], None, losses) for style in styles]
    # relu1_1 sees one pixel around: away from the middle each half is as if it were alone.
    parts = (slice(64), slice(64, 128))
    apart = [float(h(image[..., part])[0]) for h, part in zip(halves, parts, strict=True)]
    assert total == pytest.approx(sum(apart) / 2, rel=0.1)
    # An empty mask is no texture at all.
    alone = TextureObjective(network, styles, None, masks=[left * 0, left * 0 + 1])
    only = TextureObjective(network, styles[1:], None)
    assert float(alone(image)[0]) == pytest.approx(float(only(image)[0]), rel=1e-5)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "circular"])
def test_every_padding(padding: str) -> None:
    network = small_network("vgg19", padding)
    content, style, image = noise(0, 96, 128), noise(1, 96, 96), noise(2, 96, 128)
    assert_alike(
        TextureObjective(network, [style], content),
        TextureObjective(network, [style], content, tiling=Tiling(40, 3)),
        image,
    )


def test_maps_are_put_together_and_a_batch_is_cut_alike() -> None:
    network = small_network()
    pair = torch.cat([noise(0, 97, 120), noise(1, 97, 120)])
    layers = ["relu1_1", "relu3_2", "relu4_2"]
    whole = network(pair, layers)
    for blocks in (2, 3, 5):
        for layer, maps in maps_of(pair, network, layers, Tiling(32, blocks)).items():
            torch.testing.assert_close(maps, whole[layer])
    cut = TextureObjective(network, [pair], pair, tiling=Tiling(32))
    assert_alike(TextureObjective(network, [pair], pair), cut, pair.flip(0))


@pytest.mark.parametrize(
    ("side", "tile", "step"),
    [(2048, 512, 4), (203, 48, 16), (17, 512, 16), (33, 16, 16), (90, 7, 4)],
)
def test_cuts_cover_a_side_once(side: int, tile: int, step: int) -> None:
    parts = _cut_side(side, tile, step)
    assert parts[0][0] == 0 and parts[-1][1] == side
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    assert all(start % step == 0 and end > start for start, end in parts)
    assert max(end - start for start, end in parts) < max(tile, step) + 2 * step


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("blocks", [2, 5])
def test_the_trained_network_at_512_px(shared: Path, blocks: int) -> None:
    content, style = (
        resize(load_picture(sorted((shared / "data" / name).rglob("*.jpg"))[0]).tensor, (512, 512))
        for name in ("photos", "art")
    )
    network = load_features("vgg19", weights=shared / "weights/vgg19_caffe.safetensors")
    whole = TextureObjective(network, [style], content)
    cut = TextureObjective(network, [style], content, tiling=Tiling(128, blocks))
    assert_alike(whole, cut, content)
