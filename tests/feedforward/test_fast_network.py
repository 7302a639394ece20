"""The fast network: any size, clean borders, and the paper's shape when asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from geostyle.errors import InputError
from geostyle.feedforward.fast_network import FastNetwork, FastNetworkSettings, noise_place

TINY = FastNetworkSettings(widths=(4, 6, 8, 10), blocks=(0, 0, 1, 1))
JOHNSON = FastNetworkSettings(
    widths=(4, 6, 8), blocks=(0, 0, 1), kernel=9, stem="full", skips=False, noise=False
)


def net(settings: FastNetworkSettings = TINY) -> FastNetwork:
    torch.manual_seed(0)
    return FastNetwork(settings).eval().requires_grad_(False)


@pytest.mark.parametrize("settings", [TINY, JOHNSON])
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (50, 23), (64, 40)])
def test_any_size_comes_out_as_it_went_in(
    settings: FastNetworkSettings, size: tuple[int, int]
) -> None:
    image = torch.rand(2, 3, *size)
    painted = net(settings)(image)
    assert painted.shape == image.shape and painted.dtype == torch.float32
    assert painted.isfinite().all()
    # Each item alone is what it is in a batch.
    torch.testing.assert_close(net(settings)(image[1:]), painted[1:], rtol=1e-4, atol=1e-5)


def test_it_begins_near_its_input_and_reaches_beyond_white() -> None:
    image = torch.rand(1, 3, 48, 48)
    painted = net()(image)
    correlation = torch.corrcoef(torch.stack([painted.flatten(), image.flatten()]))[0, 1]
    assert correlation > 0.9
    assert painted.max() > 1 or painted.min() < 0  # nothing is clamped


def test_bfloat16_changes_the_picture_by_less_than_one_can_see() -> None:
    image = torch.rand(1, 3, 64, 64)
    lower = net().compute_in(torch.bfloat16)
    assert next(lower.blocks.parameters()).dtype == torch.bfloat16
    assert lower.out.weight.dtype == torch.float32
    assert (lower(image) - net()(image)).abs().mean() < 0.005


def test_noise_paints_repeating_pictures_unevenly_and_follows_its_seed() -> None:
    plain = torch.rand(1, 3, 8, 8).tile(32, 32)

    def unevenness(own: FastNetwork) -> float:
        inner = own(plain)[..., 96:-96, 96:-96]  # away from what borders do
        return float((inner[..., 8:, 8:] - inner[..., :-8, :-8]).abs().mean())

    alive = net()
    assert unevenness(alive) > 100 * unevenness(net(replace(TINY, noise=False)))
    torch.testing.assert_close(alive(plain, noise_place(3)), alive(plain, noise_place(3)))
    assert (alive(plain, noise_place(3)) - alive(plain, noise_place(4))).abs().mean() > 1e-3
    # The tile repeats without a seam: neighbors across its border differ no more than within.
    assert alive.noise is not None
    tile = alive.noise.tile
    across = (tile[..., 0, :] - tile[..., -1, :]).pow(2).mean((0, 2))
    within = (tile[..., 1:, :] - tile[..., :-1, :]).pow(2).mean((0, 2, 3))
    assert (across < 4 * within).all() and (tile.std((0, 2, 3)) - 1).abs().max() < 0.01


def test_every_parameter_learns() -> None:
    for settings in (TINY, JOHNSON):
        own = FastNetwork(settings)
        own(torch.rand(1, 3, 32, 32)).pow(2).sum().backward()
        idle = [n for n, p in own.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle


def test_the_paper_s_network_has_its_size() -> None:
    """1.68 million weights: 9·9·3·32, then 3·3 kernels of 32 … 128, five residual blocks."""
    own = FastNetwork(
        FastNetworkSettings(
            widths=(32, 64, 128), blocks=(0, 0, 5), kernel=9, stem="full", skips=False, noise=False
        )  # fmt: skip
    )
    convolutions = sum(p.numel() for p in own.parameters() if p.ndim == 4)
    nine, between = 2 * 81 * 3 * 32, 2 * 9 * (32 * 64 + 64 * 128)
    assert convolutions == nine + between + 10 * 9 * 128 * 128


def test_the_default_network_is_small_enough_to_ship() -> None:
    assert 2 * sum(p.numel() for p in FastNetwork(FastNetworkSettings()).parameters()) < 3e6


def test_shapes_that_make_no_network_are_refused() -> None:
    with pytest.raises(InputError, match="widths: expected two sizes or more"):
        FastNetworkSettings(widths=(16,), blocks=(1,))
    with pytest.raises(InputError, match="blocks: expected 2 numbers, one for each width, got"):
        FastNetworkSettings(widths=(16, 32), blocks=(1,))
