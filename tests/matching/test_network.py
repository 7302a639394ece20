"""The regression network: no warp at first, one item at a time, strict files, able to learn."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from geostyle.coords import base_grid
from geostyle.errors import InputError
from geostyle.matching.correlation import correlate
from geostyle.matching.heads import WeightedFit, zeroed
from geostyle.matching.network import (
    GeometryNetwork,
    NetworkSettings,
    load_geometry_network,
    save_geometry_network,
)
from geostyle.training.geometry_losses import distance_loss
from geostyle.warps import make_family

CELLS = 11
SMALL = NetworkSettings(width=16, blocks=1)
LINEAR = NetworkSettings(width=16, head="linear")


def random_correlation(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, count, 8, CELLS, CELLS, generator=generator)
    return correlate(features[0], features[1])


def shifted_correlation(dx: int, dy: int) -> torch.Tensor:
    """Target position (y, x) looks like source position (y + dy, x + dx) and like nothing else."""
    volume = torch.zeros(CELLS, CELLS, CELLS, CELLS)
    for y in range(CELLS):
        for x in range(CELLS):
            if 0 <= y + dy < CELLS and 0 <= x + dx < CELLS:
                volume[y + dy, x + dx, y, x] = 1
    return volume.reshape(1, CELLS**2, CELLS, CELLS)


@pytest.mark.parametrize(("family", "count"), [("affine", 6), ("tps", 18), ("affine+tps", 24)])
def test_linear_layers_start_as_no_warp(family: str, count: int) -> None:
    network = GeometryNetwork(
        NetworkSettings(geometry=family, network_lattice=3, width=16, head="linear"), CELLS
    )
    theta, matched = network(random_correlation(2))
    assert theta.shape == (2, count)
    assert theta.abs().max() == 0
    assert matched is None


@pytest.mark.parametrize("family", ["affine", "tps", "affine+tps"])
def test_a_fit_starts_at_the_soft_matches(family: str) -> None:
    """Untrained, everything that matches one cell to the right gives that shift."""
    settings = NetworkSettings(geometry=family, network_lattice=3, width=16, soft_matches=(0.02,))
    network = GeometryNetwork(settings, CELLS)
    theta, matched = network(shifted_correlation(1, 0))
    assert matched is not None and matched.shape == (1, CELLS, CELLS, 2)
    positions = base_grid((CELLS, CELLS))
    one = torch.tensor([2 / CELLS, 0.0])
    inner = (slice(1, -1), slice(1, -2))
    assert torch.allclose(matched[0][inner], (positions + one)[inner], atol=1e-4)
    flat = (positions.flatten(0, 1), matched[0].detach().flatten(0, 1))
    expected = network.family.fit(*flat, smoothing=math.exp(-6))
    ours, theirs = (network.family.grid(t.reshape(1, -1), (9, 9)) for t in (theta, expected))
    assert (ours - theirs).abs().max() < 0.02


def perturbed(settings: NetworkSettings) -> GeometryNetwork:
    """A network whose last layer is not zero."""
    torch.manual_seed(0)
    network = GeometryNetwork(settings, CELLS)
    for value in network.parameters():
        if value.ndim > 1 and not value.any():
            torch.nn.init.normal_(value, std=0.1)
    return network


@pytest.mark.parametrize("settings", [SMALL, LINEAR])
def test_an_item_does_not_depend_on_the_others(settings: NetworkSettings) -> None:
    network = perturbed(settings)
    correlation = random_correlation(3)
    together = network.train()(correlation).theta
    alone = torch.cat([network.eval()(item[None]).theta for item in correlation])
    assert together.std() > 0.01
    assert torch.allclose(together, alone, atol=1e-5)


def test_soft_matches_of_a_shift() -> None:
    network = GeometryNetwork(NetworkSettings(width=16, soft_matches=(0.02,)), CELLS)
    (found,) = network.soft_matches(shifted_correlation(2, -1))
    inner = found[0, :, 1:, : CELLS - 2]
    assert torch.allclose(inner[0], torch.full_like(inner[0], 2 * 2 / CELLS), atol=1e-4)
    assert torch.allclose(inner[1], torch.full_like(inner[1], -1 * 2 / CELLS), atol=1e-4)
    assert torch.allclose(inner[2], torch.ones_like(inner[2]), atol=1e-3)
    assert found[0, 2, 0].max() < 0.2  # nothing to match there


def test_wrong_shapes_and_sizes() -> None:
    with pytest.raises(InputError, match=r"correlation: expected \(B, 121, 11, 11\)"):
        GeometryNetwork(SMALL, CELLS)(torch.zeros(1, 100, 10, 10))
    with pytest.raises(InputError, match="match_px: expected at least 11"):
        GeometryNetwork(LINEAR, 10)
    with pytest.raises(InputError, match="width: expected a multiple"):
        NetworkSettings(width=20)


def test_the_fit_is_that_of_the_family() -> None:
    """Against the float64 solver of `WarpFamily.fit`, on matches no member of the family gives."""
    generator = torch.Generator().manual_seed(1)
    points = base_grid((CELLS, CELLS)).flatten(0, 1)
    matched = points * 0.8 + 0.1 + 0.05 * torch.randn(points.shape, generator=generator)
    weights = torch.rand(len(points), generator=generator)
    for family in (make_family("affine", 3), make_family("tps", 3), make_family("affine+tps", 3)):
        fit = WeightedFit(family, points)
        torch.nn.init.constant_(fit.ridge, -30.0)
        torch.nn.init.constant_(fit.stiffness, -30.0)
        theta = fit(matched[None], (weights / weights.sum())[None])
        expected = family.fit(points, matched, weights)
        ours, theirs = (family.map(t.reshape(1, -1), points[None]) for t in (theta, expected))
        assert torch.allclose(ours, theirs, atol=5e-3), family.name
        fit.double()
        inputs = matched[None].double().requires_grad_(), weights[None].double().requires_grad_()
        assert torch.autograd.gradcheck(fit, inputs)


def test_matches_of_no_area_give_a_finite_fit() -> None:
    points = base_grid((CELLS, CELLS)).flatten(0, 1)
    fit = WeightedFit(make_family("affine+tps", 3), points)
    weights = torch.full((2, len(points)), 1 / len(points))
    turned_over = points * torch.tensor([-1.0, 1.0])
    theta = fit(torch.stack((torch.zeros_like(points), turned_over)), weights)
    assert theta.isfinite().all() and theta.abs().max() < 100


@pytest.mark.parametrize("head", ["fit", "linear"])
def test_it_learns_shifts(head: str) -> None:
    torch.manual_seed(0)
    # So soft that the matches themselves know nothing of the shift.
    temperatures = (10.0,) if head == "fit" else (0.02,)
    settings = NetworkSettings(geometry="affine", width=16, head=head, soft_matches=temperatures)
    network = GeometryNetwork(settings, CELLS)
    shifts = [(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)]
    volumes = torch.cat([shifted_correlation(*shift) for shift in shifts])
    base = base_grid((8, 8))
    truth = torch.stack([base + torch.tensor(shift) * 2 / CELLS for shift in shifts])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = distance_loss(network.family.grid(network(volumes).theta, (8, 8)), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.3 and min(losses[-5:]) < 0.1 * losses[0]


def save(path: Path, network: GeometryNetwork) -> None:
    features = {"name": "lite", "hash": "abc"}
    save_geometry_network(
        path, network.state_dict(), network.settings, cells=network.cells, features=features
    )


def test_a_network_reads_back(tmp_path: Path) -> None:
    network = perturbed(LINEAR)
    path = tmp_path / "net.safetensors"
    save(path, network)
    trained = load_geometry_network(path)
    assert (trained.features, trained.features_hash) == ("lite", "abc")
    assert trained.network.settings == LINEAR
    correlation = random_correlation(1)
    assert torch.equal(trained.network(correlation).theta, network.eval()(correlation).theta)
    assert load_geometry_network(path) is trained  # read once

    zeroed(network.head.linear[-1])  # type: ignore[union-attr, index, arg-type]
    save(path, network)
    os.utime(path, ns=(1, 1))
    assert load_geometry_network(path).network(correlation).theta.abs().max() == 0


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="geonet: expected .*no such file"):
        load_geometry_network(tmp_path / "none.safetensors")
    network = GeometryNetwork(SMALL, CELLS)
    path = tmp_path / "net.safetensors"
    state = network.state_dict()
    state.pop("head.first.bias")
    save_geometry_network(path, state, SMALL, cells=CELLS, features={"name": "lite", "hash": ""})
    with pytest.raises(InputError, match=r"geonet: expected a network .*head\.first\.bias"):
        load_geometry_network(path)
    save_geometry_network(path, network.state_dict(), SMALL, cells=CELLS)
    with pytest.raises(InputError, match="features"):
        load_geometry_network(path)
