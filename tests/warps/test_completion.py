"""Completion by patches: what is known stays, structure goes on, nothing is made up of nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from geostyle.coords import base_grid
from geostyle.warps import warp_image
from geostyle.warps.completion import complete
from geostyle.warps.filling import push_pull


def guess(picture: Tensor, known: Tensor) -> Tensor:
    return push_pull(picture, known.float())


def hole(size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    known = torch.ones(1, 1, *size, dtype=torch.bool)
    known[..., rows, columns] = False
    return known


def test_what_is_known_stays_bit_for_bit() -> None:
    picture = torch.rand(1, 3, 120, 150, generator=torch.Generator().manual_seed(0))
    known = hole((120, 150), slice(0, 120), slice(120, 150))
    filled = complete(guess(picture, known), known)
    assert torch.equal(filled[..., :120], picture[..., :120])
    assert torch.equal(complete(picture, torch.ones_like(known)), picture)


def test_stripes_go_on_into_the_hole() -> None:
    phase = torch.arange(200) / 16 * 2 * torch.pi
    stripes = (0.5 + 0.4 * torch.sin(phase)).view(1, 1, 200, 1).expand(1, 3, 200, 200).contiguous()
    for known in (
        hole((200, 200), slice(0, 200), slice(165, 200)),
        hole((200, 200), slice(80, 120), slice(80, 120)),
    ):
        first = guess(stripes, known)
        off = (complete(first, known) - stripes).abs().mean()
        assert off < 0.35 * (first - stripes).abs().mean()


def test_grain_goes_on_where_a_smooth_fill_has_none() -> None:
    generator = torch.Generator().manual_seed(0)
    grain = 0.5 + 0.1 * torch.randn(1, 3, 160, 160, generator=generator)
    known = hole((160, 160), slice(0, 160), slice(130, 160))
    first = guess(grain, known)
    inside = slice(140, 160)
    filled = complete(first, known)[..., inside].std()
    assert filled > 2 * first[..., inside].std()
    assert 0.4 * grain.std() < filled < 1.2 * grain.std()


def test_a_plain_picture_stays_plain() -> None:
    plain = torch.full((1, 3, 120, 120), 0.3)
    known = hole((120, 120), slice(0, 30), slice(0, 120))
    torch.testing.assert_close(complete(plain, known), plain, atol=1e-5, rtol=0)


def test_without_a_whole_known_patch_the_guess_stays() -> None:
    picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    known = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    known[..., ::4, ::4] = True
    assert torch.equal(complete(picture, known), picture)
    assert torch.equal(complete(picture, known & False), picture)


def test_tiny_and_narrow_pictures() -> None:
    for size in ((3, 3), (4, 200), (200, 6), (9, 9)):
        picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        known = hole(size, slice(0, size[0]), slice(size[1] - 2, size[1]))
        filled = complete(picture, known)
        assert filled.shape == picture.shape and bool(filled.isfinite().all())


def test_a_warp_is_filled_with_patches_within_the_pictures_range() -> None:
    picture = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    grid = 1.3 * base_grid((96, 128))[None].expand(2, -1, -1, -1)
    smooth, filled = (warp_image(picture, grid, extend=way) for way in ("inpaint", "patches"))
    inside = (grid.abs() < 0.95).all(-1)[:, None].expand_as(picture)
    assert torch.equal(filled[inside], smooth[inside])
    assert not torch.equal(filled, smooth)
    assert filled.min() >= picture.min() and filled.max() <= picture.max()
