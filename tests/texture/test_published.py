"""The papers' losses and their closed-form gradients against autograd and plain sums."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor, load_features
from geostyle.texture.losses import gram
from geostyle.texture.published import (
    PublishedObjective,
    content_gradient,
    content_loss,
    style_gradient,
    style_loss,
)

N, H, W = 5, 4, 6
M = H * W


def before_relu(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, N, H, W, dtype=torch.float64, generator=generator)


def paper_gram(features: Tensor) -> Tensor:
    """Equation 3: G_ij = Σ_k F_ik F_jk, over vectorized maps, not averaged."""
    maps = features.reshape(N, -1)
    return torch.einsum("ik,jk->ij", maps, maps)


def test_content_loss_and_gradient() -> None:
    x, target = before_relu(0).requires_grad_(), before_relu(1).relu()
    loss = content_loss(x.relu(), target)
    by_hand = sum(
        (max(f, 0.0) - p) ** 2
        for f, p in zip(x.flatten().tolist(), target.flatten().tolist(), strict=True)
    )
    assert loss.item() == pytest.approx(by_hand / 2, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, x)
    # Equation 2: (F − P) where F > 0, else 0.
    closed = torch.where(x > 0, x.relu() - target, torch.zeros(()))
    torch.testing.assert_close(gradient, closed, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(content_gradient(x.relu(), target), gradient)


def test_style_loss_and_gradient() -> None:
    x, style = before_relu(2).requires_grad_(), before_relu(3).relu()
    loss = style_loss(x.relu(), gram(style))
    # Equation 4, with the paper's sums over positions.
    difference = paper_gram(x.relu()) - paper_gram(style)
    torch.testing.assert_close(loss, difference.pow(2).sum() / (4 * N**2 * M**2))
    (gradient,) = torch.autograd.grad(loss, x)
    # Equation 6: (Fᵀ(G − A))ᵀ / (N² M²) where F > 0, else 0.
    maps = x.detach().relu().reshape(N, -1)
    closed = (maps.T @ difference.detach()).T / (N**2 * M**2) * (maps > 0)
    torch.testing.assert_close(gradient.reshape(N, -1), closed, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(style_gradient(x.relu(), gram(style)), gradient)


def test_style_loss_compares_pictures_of_different_sizes() -> None:
    small = before_relu(4).relu()
    assert style_loss(small.repeat(1, 1, 2, 3), gram(small)).item() == pytest.approx(0, abs=1e-25)
    assert style_loss(2 * small, gram(small)).item() > 0.01


@pytest.fixture(scope="module")
def network(tiny_weights: Path) -> FeatureExtractor:
    return load_features("lite", weights=tiny_weights, dtype=torch.float64)


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x, c, s = torch.rand(3, 1, 3, 32, 32, dtype=torch.float64, generator=generator)
    return x, c, s


def test_objective_is_the_papers_sum(network: FeatureExtractor) -> None:
    x, content, style = pictures()
    layers = ["relu1_1", "relu3_1"]
    objective = PublishedObjective(
        network, content, style, alpha=0.02, beta=3.0, style_layers=layers
    )
    total, style_term, content_term = objective(x)
    wanted = [*layers, "relu4_2"]
    scales = {
        k: 2 / sum(float(network(p, wanted)[k].abs().mean()) for p in (content, style))
        for k in wanted
    }
    fx, fc, fs = (
        {k: v.double() * scales[k] for k, v in network(picture, wanted).items()}
        for picture in (x, content, style)
    )
    by_hand = 0.0
    for layer in layers:
        n, m = fx[layer].shape[1], fx[layer][0, 0].numel()
        own, goal = (f[layer].reshape(n, m) for f in (fx, fs))
        difference = own @ own.T - goal @ goal.T
        by_hand += 0.5 * float(difference.pow(2).sum()) / (4 * n**2 * m**2)
    assert float(style_term) == pytest.approx(by_hand, rel=1e-4)
    kept = float((fx["relu4_2"] - fc["relu4_2"]).pow(2).sum()) / 2
    assert float(content_term) == pytest.approx(kept, rel=1e-4)
    assert float(total) / objective.scale == pytest.approx(0.02 * kept + 3 * by_hand, rel=1e-4)


def test_objective_does_not_depend_on_the_scale_of_features(network: FeatureExtractor) -> None:
    import copy

    x, content, style = pictures()
    louder = copy.deepcopy(network)
    for tap in louder.taps.values():
        tap.weight.data *= 300
    terms = [PublishedObjective(n, content, style)(x) for n in (network, louder)]
    for plain, loud in zip(*terms, strict=True):
        assert float(loud) == pytest.approx(float(plain), rel=1e-4)


def test_objective_refuses_weights_that_ask_for_nothing(network: FeatureExtractor) -> None:
    _, content, style = pictures()
    for alpha, beta in ((0.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(InputError, match="alpha, beta"):
            PublishedObjective(network, content, style, alpha=alpha, beta=beta)
