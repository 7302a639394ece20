"""The texture network: the paper's shape, any size, tiles without a seam, seeds."""

from __future__ import annotations

import pytest
import torch

from geostyle.errors import InputError
from geostyle.feedforward.texture_network import (
    TextureNetwork,
    TextureNetworkSettings,
    noise_pyramid,
)

TINY = TextureNetworkSettings(scales=3, width=4)


def net(settings: TextureNetworkSettings = TINY) -> TextureNetwork:
    torch.manual_seed(0)
    own = TextureNetwork(settings).eval().requires_grad_(False)
    own.calibrate([(noise_pyramid((32, 32), settings, [7, 8]),)])
    return own


def test_the_paper_s_network_has_its_size() -> None:
    """About 65 thousand weights: channels grow from 8 to 40 in steps of 8 over five sizes."""
    own = TextureNetwork(TextureNetworkSettings())
    convolutions = sum(p.numel() for p in own.parameters() if p.ndim == 4)
    of_noise = 5 * (9 * 3 * 8 + 9 * 8 * 8 + 8 * 8)
    joins = sum(19 * c * c for c in (16, 24, 32, 40))
    assert convolutions == of_noise + joins + 3 * 40


@pytest.mark.parametrize("padding", ["circular", "reflect", "zeros"])
@pytest.mark.parametrize("size", [(16, 16), (33, 50), (20, 81)])
def test_any_size(padding: str, size: tuple[int, int]) -> None:
    settings = TextureNetworkSettings(scales=5, width=2, padding=padding)
    torch.manual_seed(0)
    image = TextureNetwork(settings).eval()(noise_pyramid(size, settings, [0, 1]))
    assert image.shape == (2, 3, *size) and image.isfinite().all()


def test_noise_is_the_seed_s_whatever_it_is_drawn_with() -> None:
    alone, together = (noise_pyramid((30, 22), TINY, seeds) for seeds in ([5], [9, 5]))
    assert [z.shape[-2:] for z in alone] == [(30, 22), (15, 11), (8, 6)]
    for one, two in zip(alone, together, strict=True):
        assert torch.equal(one[0], two[1]) and not torch.equal(two[0], two[1])
        assert 0 <= one.min() < one.max() <= 1


def test_circular_padding_makes_tiles() -> None:
    """Noise moved around the edge moves the texture around it: no place is a border."""
    own, noise = net(), noise_pyramid((32, 48), TINY, [3])
    moved = [z.roll((4 // 2**i, 8 // 2**i), (2, 3)) for i, z in enumerate(noise)]
    torch.testing.assert_close(own(moved), own(noise).roll((4, 8), (2, 3)), rtol=1e-4, atol=1e-5)


def test_calibration_gives_the_statistics_of_the_batches() -> None:
    own, noise = net(), noise_pyramid((32, 32), TINY, [7, 8])
    expected = own.train()(noise)  # by the batch's own statistics
    own.eval()
    # Kept variances are unbiased ones, a little larger on small maps.
    assert (own(noise) - expected).abs().mean() < 0.03 * expected.std()
    own.calibrate([(noise_pyramid((32, 32), TINY, [0]),)])
    assert (own(noise) - expected).abs().mean() > 0.05 * expected.std() and not own.training


def test_instances_do_not_see_each_other() -> None:
    settings = TextureNetworkSettings(scales=3, width=4, norm="instance")
    own = TextureNetwork(settings)
    both = own(noise_pyramid((32, 32), settings, [1, 2]))
    alone = own(noise_pyramid((32, 32), settings, [2]))
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_paintings_follow_their_content_at_every_size() -> None:
    settings = TextureNetworkSettings(mode="stylize", scales=3, width=4, norm="instance")
    own, noise = TextureNetwork(settings), noise_pyramid((32, 32), settings, [0])
    content = torch.rand(1, 3, 32, 32)
    painted = own(noise, content)
    assert (painted - own(noise, content.flip(-1))).abs().max() > 0.01
    with pytest.raises(InputError, match="content: expected a picture"):
        own(noise)
    with pytest.raises(InputError, match="content: expected none"):
        net()(noise_pyramid((32, 32), TINY, [0]), content)
