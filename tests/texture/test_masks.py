"""Soft masks: shares of a pixel, guided losses, and what stays unpainted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture.losses import gram
from geostyle.texture.masks import keep_unmasked, normalized_masks
from geostyle.texture.objective import LossSettings, TextureObjective
from tests.pictures import noise


@pytest.fixture(scope="module")
def extractor(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights)


def half(height: int = 48, width: int = 64) -> Tensor:
    """White on the left."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_shares_of_a_pixel_sum_to_one() -> None:
    masks = [torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    shares = normalized_masks(masks, 3, (48, 64), [1, 2, 3])
    assert shares.shape == (3, 1, 48, 64)
    torch.testing.assert_close(shares.sum(0), torch.ones(1, 48, 64))
    # Twice the brightness of all masks changes nothing, twice that of one doubles its odds.
    dim = normalized_masks([m / 2 for m in masks], 3, (48, 64), [1, 2, 3])
    torch.testing.assert_close(dim, shares)
    odds = normalized_masks([masks[0] / 2, *masks[1:]], 3, (48, 64), [2, 2, 3])
    torch.testing.assert_close(odds, shares)


def test_the_last_style_takes_the_rest() -> None:
    torch.testing.assert_close(
        normalized_masks([half()], 2, (48, 64)), normalized_masks([half(), 1 - half()], 2, (48, 64))
    )


def test_where_no_mask_is_white_all_styles_share() -> None:
    shares = normalized_masks([half(), half()], 2, (48, 64), [3, 1])
    torch.testing.assert_close(shares[:, 0, 0, -1], torch.tensor([0.75, 0.25]))


def test_a_style_that_paints_nowhere_is_refused() -> None:
    with pytest.raises(InputError, match="^tex_mask: expected some white for texture style 2"):
        normalized_masks([half(), half() * 0], 2, (48, 64))
    with pytest.raises(InputError, match="texture style 2"):
        normalized_masks([torch.ones(1, 1, 8, 8)], 2, (48, 64))


def test_a_weighted_gram_matrix_is_that_of_the_weighted_positions() -> None:
    features = noise(0, 48, 64).double()
    part = gram(features, half().double())
    torch.testing.assert_close(part, gram(features[..., :32]))
    pixels = features.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda x: gram(x[..., 20:44:6], half()[..., 20:44:6].double()), pixels
    )


def test_masks_that_are_even_change_nothing(extractor: FeatureExtractor) -> None:
    image, content, a, b = noise(0, 48, 64), noise(1, 48, 64), noise(2, 32, 32), noise(3, 32, 32)
    losses = LossSettings(moment_weight=0.5)
    alone = [TextureObjective(extractor, [s], content, losses)(image) for s in (a, b)]
    even = torch.ones(2, 1, 48, 64) * torch.tensor([0.75, 0.25]).view(2, 1, 1, 1)
    guided = TextureObjective(extractor, [a, b], content, losses, masks=list(even.split(1)))(image)
    for mixed, first, second in zip(guided, *alone, strict=True):
        torch.testing.assert_close(mixed, 0.75 * first + 0.25 * second)


def test_a_style_pulls_only_at_its_own_region(extractor: FeatureExtractor) -> None:
    layers, image = ["relu1_1", "relu2_1"], noise(0, 48, 64)
    masks = [half(), 1 - half()]

    def gradient(right: Tensor) -> Tensor:
        objective = TextureObjective(
            extractor,
            [noise(2, 48, 64), right],
            None,
            LossSettings(style_layers=layers),
            masks=masks,
        )
        pixels = image.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(objective(pixels)[0], pixels)
        return found

    change = (gradient(noise(3, 48, 64)) - gradient(noise(4, 48, 64) ** 3)).abs().amax((0, 1, 2))
    assert change[:24].max() == 0 and change[40:].min() > 0


def test_no_pixel_is_painted_harder_for_a_small_region(extractor: FeatureExtractor) -> None:
    tile, style = noise(0, 48, 16), noise(2, 48, 64)
    narrow = torch.zeros(1, 1, 48, 64)
    narrow[..., :16] = 1

    def strength(styles: list[Tensor], masks: list[Tensor] | None) -> float:
        losses = LossSettings(style_layers=["relu1_1"])
        objective = TextureObjective(extractor, styles, None, losses, masks=masks)
        pixels = tile.repeat(1, 1, 1, 4).requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(pixels)[0], pixels)
        return float(gradient[..., 4:12].norm())

    # Area forgotten would be four times as much; borders make a difference of a fifth.
    whole = strength([style], None)
    assert strength([style, noise(3, 48, 64)], [narrow, 1 - narrow]) == pytest.approx(
        whole, rel=0.3
    )


def test_what_is_black_is_not_painted() -> None:
    image, content = noise(0, 48, 64), noise(1, 48, 64)
    kept = keep_unmasked(image, content, normalized_masks([half()], 1, (48, 64)))
    assert torch.equal(kept[..., :32], image[..., :32])
    assert torch.equal(kept[..., 32:], content[..., 32:])
