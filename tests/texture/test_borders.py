"""The border that is painted and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geostyle import pipeline
from geostyle.coords import resize
from geostyle.pipeline import TransferSettings
from geostyle.texture import (
    Progress,
    TextureSettings,
    add_border,
    cut_border,
    level_sizes,
    transfer_texture,
)


@pytest.mark.parametrize("size", [(40, 52), (33, 17), (16, 200)])
def test_what_is_added_is_cut_again(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    for border in (0, 1, 8, 256):
        bordered = add_border(image, border)
        assert torch.equal(cut_border(bordered, size), image)
        if border == 1:  # a mirror image about the outermost pixels
            assert torch.equal(bordered[..., 0, 1:-1], image[..., 1, :])
            assert torch.equal(bordered[..., 1:-1, -1], image[..., -2])
    assert add_border(image, 256).shape[-2:] == tuple(3 * side - 2 for side in size)


@pytest.mark.parametrize("size", [(48, 64), (16, 61)])
def test_painting_hides_the_border(tiny_weights: Path, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    content, style = (resize(torch.rand(1, 3, 6, 6, generator=generator), size) for _ in "ab")
    settings = TransferSettings(
        weights=tiny_weights, device="cpu", precision="float32",
        texture=TextureSettings(iterations=(4, 3, 2)),
    )  # fmt: skip
    networks = pipeline.load_networks(settings, geometry=False)
    seen: list[Progress] = []
    result = pipeline.paint(content, [style], settings, networks, seen.append)
    assert result.image.shape == content.shape
    for progress in seen:
        expected = level_sizes(size, 3)[progress.level]
        assert progress.size == expected and progress.image.shape[-2:] == expected
    # Without a border it is the bare transfer.
    settings = TransferSettings(**{**vars(settings), "border_px": 0})
    bare = pipeline.paint(content, [style], settings, networks).image
    same = transfer_texture(content, style, networks.texture, settings.texture).image
    assert torch.equal(bare, same)
    assert not torch.equal(bare, result.image)
