"""The border that is painted and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.coords import resize
from geostyle.features.extractor import load_features
from geostyle.pipeline import Pipeline, TransferSettings
from geostyle.texture import (
    Finished,
    PaintOptions,
    Progress,
    TextureSettings,
    add_border,
    cut_border,
    level_sizes,
    transfer_texture,
)
from geostyle.texture import gram as gram_painting
from geostyle.texture.schedule import style_size


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
        weights=tiny_weights, device="cpu", precision="float32", painter="gram",
        texture=TextureSettings(iterations=(4, 3, 2)),
    )  # fmt: skip
    pipe, seen = Pipeline(settings), list[Progress]()
    result = pipe.painting(content, [style]).run(seen.append)
    assert result.image.shape == content.shape
    for progress in seen:
        expected = level_sizes(size, 3)[progress.level]
        assert progress.size == expected and progress.image.shape[-2:] == expected
    # Without a border it is the bare transfer.
    settings = TransferSettings(**{**vars(settings), "border_px": 0})
    bare = Pipeline(settings).painting(content, [style]).run().image
    networks = pipe.networks().texture
    same = transfer_texture(content, style, networks, settings.texture).image
    assert torch.equal(bare, same)
    assert not torch.equal(bare, result.image)


def test_the_border_is_gone_at_the_last_size_with_two_networks_and_after_a_pause(
    tiny_weights: Path,
) -> None:
    generator = torch.Generator().manual_seed(2)
    canvas, style = (resize(torch.rand(1, 3, 6, 6, generator=generator), (40, 56)) for _ in "ab")
    networks = [load_features("lite"), load_features("lite", weights=tiny_weights)]
    settings = TextureSettings(iterations=(3, 2, 4), finish=(2,))
    halted: list[Finished] = []
    given = canvas, style, networks, settings, PaintOptions(border_px=8)
    whole = transfer_texture(*given, on_level=halted.append)
    assert [level.size for level in whole.history] == [(16, 18), (28, 36), (40, 56), (40, 56)]
    assert whole.image.shape == canvas.shape
    for finished in halted:  # before the border goes, and between the two networks
        later = transfer_texture(*given, finished=finished)
        assert torch.equal(later.image, whole.image)

    def stop(progress: Progress) -> None:
        if progress.level == 1:
            raise KeyboardInterrupt

    early = transfer_texture(*given, callback=stop)
    assert early.interrupted and early.image.shape == canvas.shape


def test_a_last_size_too_small_for_the_networks_keeps_its_border(tiny_weights: Path) -> None:
    canvas, style = torch.rand(1, 3, 12, 30), torch.rand(1, 3, 32, 32)
    lite = load_features("lite", weights=tiny_weights)
    result = transfer_texture(
        canvas, style, lite, TextureSettings(iterations=(2, 2)), PaintOptions(border_px=8)
    )
    assert result.image.shape == canvas.shape
    assert result.history[-1].size == (28, 46)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # A style as large as the content is read as large as the content at each level.
        ((48, 80), [40, 80]),
        # On a thin canvas it is as wide as on one of 80 × 160, of the same area.
        ((40, 320), [80, 160]),
    ],
)
def test_strokes_stay_as_large_where_the_border_is_gone(
    size: tuple[int, int],
    expected: list[int],
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, lite = torch.rand(1, 3, *size), load_features("lite", weights=tiny_weights)
    read: list[int] = []

    def watch(style: Tensor, size: tuple[int, int], scale: float) -> tuple[int, int]:
        read.append(style_size(style, size, scale)[1])
        return style_size(style, size, scale)

    monkeypatch.setattr(gram_painting, "style_size", watch)
    settings = TextureSettings(iterations=(1, 1))
    style = torch.rand(1, 3, 48, 80)
    transfer_texture(content, style, lite, settings, PaintOptions(border_px=8))
    assert read == expected
