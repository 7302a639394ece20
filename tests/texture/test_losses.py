"""Losses against closed forms."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from torch import Tensor

from geostyle.texture.losses import (
    GramLoss,
    MomentLoss,
    WassersteinLoss,
    channel_mean,
    gram,
    relative_error,
    statistics,
    total_variation,
)


def test_gram_is_the_mean_outer_product() -> None:
    f = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    want = torch.zeros(2, 3, 3, dtype=torch.float64)
    for b in range(2):
        for y in range(4):
            for x in range(5):
                want[b] += torch.outer(f[b, :, y, x], f[b, :, y, x])
    torch.testing.assert_close(gram(f), want / 20)


def test_gram_gradient() -> None:
    f = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(
        3, 3, dtype=torch.float64
    )  # not symmetric: the backward must not assume it
    assert torch.autograd.gradcheck(lambda x: (gram(x) * weight).sum(), (f,))
    mask = torch.rand(1, 1, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: gram(x, mask), (f,))


def test_weighted_gram_sees_only_the_mask() -> None:
    f = torch.randn(1, 4, 6, 6)
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., :3] = 1
    torch.testing.assert_close(gram(f, mask), gram(f[..., :3]))
    torch.testing.assert_close(gram(f, torch.full((1, 1, 6, 6), 0.3)), gram(f))


def test_statistics_are_of_the_masked_part() -> None:
    f, mask = torch.randn(1, 3, 4, 5), torch.rand(1, 1, 4, 5)
    mask[..., 2:, :] = 0
    found = statistics(f, mask)
    torch.testing.assert_close(found.gram, gram(f, mask))
    torch.testing.assert_close(found.mean, channel_mean(f, mask))
    assert (found.gram - gram(f)).abs().max() > 0.01
    assert (found.mean - f.mean((2, 3))).abs().max() > 0.01
    # Weights are relative, also where they add up to less than one position.
    faint = statistics(f, 0.01 * mask)
    torch.testing.assert_close(faint.gram, found.gram)
    torch.testing.assert_close(faint.mean, found.mean)


def test_sums_over_parts_are_those_of_the_whole() -> None:
    f, mask = torch.randn(2, 4, 6, 6), torch.rand(2, 1, 6, 6)
    shares = mask / mask.sum((2, 3), keepdim=True)
    for average in (gram, channel_mean):
        parts = [average(f[..., part], total=36.0) for part in (slice(0, 4), slice(4, 6))]
        torch.testing.assert_close(sum(parts), average(f))
        parts = [
            average(f[..., part], shares[..., part], total=1.0)
            for part in (slice(0, 4), slice(4, 6))
        ]
        torch.testing.assert_close(sum(parts), average(f, mask))
    torch.testing.assert_close(channel_mean(f), f.mean((2, 3)))


def test_half_precision_products_are_taken_in_float32() -> None:
    f = torch.full((1, 2, 64, 64), 300.0, dtype=torch.float16)  # 300² overflows float16
    assert gram(f).dtype == torch.float32
    assert torch.isfinite(gram(f)).all()


@pytest.mark.parametrize("scale", [1e-2, 1.0, 500.0])
def test_losses_do_not_depend_on_the_scale_of_features(scale: float) -> None:
    torch.manual_seed(0)
    x, t = torch.randn(1, 3, 5, 5), torch.randn(1, 3, 5, 5)

    def losses(x: Tensor, t: Tensor) -> Tensor:
        found, target = statistics(x), statistics(t)
        textures = [loss(target)(found) for loss in (GramLoss, MomentLoss, WassersteinLoss)]
        return torch.stack([*textures, relative_error(x, t)])

    torch.testing.assert_close(losses(scale * x, scale * t), losses(x, t), rtol=1e-3, atol=1e-5)


def test_relative_error_closed_form() -> None:
    three, four = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert float(relative_error(three, four)) == 25 / 16
    t = torch.randn(1, 7)
    assert float(relative_error(t, t)) == 0
    assert float(relative_error(2 * t, t)) == pytest.approx(1)
    assert torch.isfinite(relative_error(torch.zeros(1, 3), torch.zeros(1, 3)))
    # Each item of a batch is measured against its own energy.
    both = relative_error(torch.cat([three, 10 * four]), torch.cat([four, four]))
    assert float(both) == pytest.approx(25 / 16 + 81)


def test_moments_are_mean_and_deviation() -> None:
    f = torch.randn(1, 3, 8, 8)
    found = MomentLoss.moments(statistics(f))[0]
    torch.testing.assert_close(found[:, 0], f[0].mean((1, 2)))
    torch.testing.assert_close(found[:, 1], f[0].std((1, 2), correction=0))


def test_wasserstein_distance_of_gaussians_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    x, t = (torch.randn(2, 5, 40, 40, generator=generator, dtype=torch.float64) for _ in range(2))
    t = 2 * t + torch.arange(5.0).reshape(1, 5, 1, 1) + t.roll(1, 1)
    found, target = statistics(x), statistics(t)
    expected = 0.0
    for item in range(2):
        means, covariances = [], []
        for f in (x, t):
            flat = f[item].flatten(1)
            means.append(flat.mean(1).numpy())
            covariances.append(flat.cov(correction=0).numpy())
        # The textbook's form, with a general matrix root.
        cross = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
        distance = ((means[0] - means[1]) ** 2).sum()
        distance += (covariances[0] + covariances[1] - 2 * cross).trace()
        expected += distance / float(t[item].pow(2).sum(0).mean())
    assert float(WassersteinLoss(target)(found)) == pytest.approx(expected, rel=5e-3)
    assert abs(float(WassersteinLoss(target)(target))) < 1e-2 * expected


def test_wasserstein_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    t, x = (torch.randn(1, 4, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    loss = WassersteinLoss(statistics(t))
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: loss(statistics(f)), (x,))
    # More channels than positions, and channels that are alike: still finite.
    wide = torch.randn(1, 9, 2, 2, generator=generator)
    same = wide[:, :1].expand(1, 9, 2, 2).clone().requires_grad_()
    (slope,) = torch.autograd.grad(WassersteinLoss(statistics(wide))(statistics(same)), same)
    assert torch.isfinite(slope).all()


def test_total_variation_of_a_checkerboard() -> None:
    board = (torch.arange(6)[:, None] + torch.arange(8)) % 2
    image = board.float().expand(1, 3, 6, 8)
    assert float(total_variation(image)) == 2  # every neighbor differs by 1, both ways
    assert float(total_variation(torch.full((1, 3, 6, 8), 0.4))) == 0
    ramp = torch.arange(8.0).expand(1, 1, 5, 8)
    assert float(total_variation(ramp)) == 1
    assert float(total_variation(torch.rand(1, 3, 1, 1))) == 0
    step = torch.tensor([0.0, 1.0])
    for shape in ((1, 1, 1, 2), (1, 1, 2, 1)):
        assert float(total_variation(step.reshape(shape))) == 1
