"""Keeping the content's colors, against closed forms and scikit-image's Lab."""

from __future__ import annotations

import pytest
import skimage.color
import torch
from torch import Tensor

from geostyle.texture.colors import after_transfer, before_transfer, match_colors, within_palette


def picture(seed: int, mixing: float = 0.3, center: float = 0.5) -> Tensor:
    """Correlated colors around `center`, far from black and white."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, 40, 52, generator=generator) - 0.5
    mixer = torch.rand(3, 3, generator=generator) * mixing
    return (center + torch.einsum("cd,bdhw->bchw", mixer, noise)).clamp(0.05, 0.95)


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    flat = image[0].flatten(1)
    return flat.mean(1), torch.cov(flat, correction=0)


def lab(image: Tensor) -> Tensor:
    return torch.from_numpy(skimage.color.rgb2lab(image[0].permute(1, 2, 0).numpy()))


def test_matched_colors_have_the_contents_mean_and_covariance() -> None:
    style, content = picture(1), picture(2, center=0.4)
    matched = match_colors(style, content)
    for found, wanted in zip(moments(matched), moments(content), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0.02)


def test_a_picture_matched_with_itself_stays() -> None:
    torch.testing.assert_close(match_colors(picture(1), picture(1)), picture(1), atol=1e-4, rtol=0)


def test_masked_pixels_alone_set_the_colors() -> None:
    red, mask = picture(2), torch.zeros(1, 1, 40, 52)
    mask[..., :26] = 1
    content = torch.cat([red[..., :26], picture(3, center=0.8)[..., 26:]], -1)
    _, (masked, whole) = before_transfer(
        content, [picture(1), picture(1)], "histogram", torch.cat([mask, torch.ones_like(mask)])
    )
    torch.testing.assert_close(masked, match_colors(picture(1), red[..., :26]))
    torch.testing.assert_close(whole, match_colors(picture(1), content))


@pytest.mark.parametrize("how", ["lab", "histogram"])
def test_pictures_without_colors_stay_finite(how: str) -> None:
    gray, flat = picture(1).mean(1, keepdim=True).expand(-1, 3, -1, -1), torch.zeros(1, 3, 20, 20)
    for content, style in ((gray, picture(2)), (picture(2), gray), (flat, gray), (gray, flat)):
        changed, (matched,) = before_transfer(content, [style], how)
        done = after_transfer(changed, content, how)
        for image in (changed, matched, done):
            assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1


def test_lab_transfers_lightness_between_gray_pictures() -> None:
    content, style = picture(1, center=0.35), picture(2, mixing=0.15)
    gray, (matched,) = before_transfer(content, [style], "lab")
    for image in (gray, matched):
        torch.testing.assert_close(image, image[:, :1].expand(-1, 3, -1, -1), atol=1e-3, rtol=0)
    lightness = lab(content)[..., 0]
    torch.testing.assert_close(lab(gray)[..., 0], lightness, atol=0.1, rtol=0)
    found = lab(matched)[..., 0]
    assert float(found.mean()) == pytest.approx(float(lightness.mean()), abs=0.2)
    assert float(found.std()) == pytest.approx(float(lightness.std()), rel=0.03)


def test_lab_keeps_the_contents_chroma() -> None:
    content, painted = picture(1, mixing=0.1), picture(2, mixing=0.1)
    done = lab(after_transfer(painted, content, "lab"))
    torch.testing.assert_close(done[..., 1:], lab(content)[..., 1:], atol=0.3, rtol=0)
    torch.testing.assert_close(done[..., 0], lab(painted)[..., 0], atol=0.3, rtol=0)


def test_off_changes_nothing() -> None:
    content, style = picture(1), picture(2)
    same, (also,) = before_transfer(content, [style], "off")
    assert same is content and also is style and after_transfer(style, content, "off") is style


def test_colors_beyond_a_palette_come_into_it() -> None:
    level = torch.linspace(0.2, 0.9, 64).view(1, 1, 1, 64)
    paper = torch.cat([level, level, 0.9 * level], 1).expand(1, 3, 48, 64).contiguous()
    content = torch.full((1, 3, 32, 32), 0.5)
    content[:, 1:, 8:24, 8:24] = 0.1  # a red flower
    moved = within_palette(content, [paper])
    red, green, blue = moved[0, :, 10:22, 10:22]
    torch.testing.assert_close(green, red, atol=0.01, rtol=0)
    torch.testing.assert_close(blue, 0.9 * red, atol=0.01, rtol=0)


def test_colors_of_a_palette_stay() -> None:
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert float((within_palette(noise, [noise]) - noise).abs().mean()) < 0.02


def test_detail_within_cells_outlives_the_palette() -> None:
    generator = torch.Generator().manual_seed(0)
    fine = 0.4 + 0.2 * torch.rand(1, 3, 512, 512, generator=generator)
    gray = torch.linspace(0.2, 0.9, 512).view(1, 1, 1, 512).expand(1, 3, 64, 512).contiguous()
    change = within_palette(fine, [gray]) - fine
    across = (change[..., 1:] - change[..., :-1]).abs().mean()
    own = (fine[..., 1:] - fine[..., :-1]).abs().mean()
    assert float(across) < 0.2 * float(own)
