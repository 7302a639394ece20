"""The regression network: no warp at first, one item at a time, strict files, able to learn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from geostyle.coords import base_grid
from geostyle.correlation import correlate
from geostyle.errors import InputError
from geostyle.geo_losses import distance_loss
from geostyle.geonet import GeoNet, NetSettings, load_geonet, save_geonet

CELLS = 11
SMALL = NetSettings(width=16)


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
def test_it_starts_as_no_warp(family: str, count: int) -> None:
    net = GeoNet(NetSettings(geometry=family, net_lattice=3, width=16), CELLS)
    theta = net(random_correlation(2))
    assert theta.shape == (2, count)
    assert theta.abs().max() == 0


def test_an_item_does_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    net = GeoNet(SMALL, CELLS)
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    correlation = random_correlation(3)
    together = net.train()(correlation)
    alone = torch.cat([net.eval()(item[None]) for item in correlation])
    assert together.std() > 0.01
    assert torch.allclose(together, alone, atol=1e-5)


def test_soft_matches_of_a_shift() -> None:
    net = GeoNet(NetSettings(width=16, soft_matches=(0.02,)), CELLS)
    (found,) = net.soft_matches(shifted_correlation(2, -1))
    inner = found[0, :, 1:, : CELLS - 2]
    assert torch.allclose(inner[0], torch.full_like(inner[0], 2 * 2 / CELLS), atol=1e-4)
    assert torch.allclose(inner[1], torch.full_like(inner[1], -1 * 2 / CELLS), atol=1e-4)
    assert torch.allclose(inner[2], torch.ones_like(inner[2]), atol=1e-3)
    assert found[0, 2, 0].max() < 0.2  # nothing to match there


def test_wrong_shapes_and_sizes() -> None:
    with pytest.raises(InputError, match=r"correlation: expected \(B, 121, 11, 11\)"):
        GeoNet(SMALL, CELLS)(torch.zeros(1, 100, 10, 10))
    with pytest.raises(InputError, match="match_px: expected at least 11"):
        GeoNet(SMALL, 10)
    with pytest.raises(InputError, match="width: expected a multiple"):
        NetSettings(width=20)


def test_it_learns_shifts() -> None:
    torch.manual_seed(0)
    net = GeoNet(NetSettings(geometry="affine", width=16), CELLS)
    shifts = [(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)]
    volumes = torch.cat([shifted_correlation(*shift) for shift in shifts])
    base = base_grid((8, 8))
    truth = torch.stack([base + torch.tensor(shift) * 2 / CELLS for shift in shifts])
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = distance_loss(net.family.grid(net(volumes), (8, 8)), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.3 and min(losses[-5:]) < 0.1 * losses[0]


def save(path: Path, net: GeoNet) -> None:
    features = {"name": "lite", "hash": "abc"}
    save_geonet(path, net.state_dict(), net.settings, cells=net.cells, features=features)


def test_a_network_reads_back(tmp_path: Path) -> None:
    net = GeoNet(SMALL, CELLS)
    torch.nn.init.normal_(net.head[-1].weight)  # type: ignore[arg-type]
    path = tmp_path / "net.safetensors"
    save(path, net)
    trained = load_geonet(path)
    assert (trained.features, trained.features_hash) == ("lite", "abc")
    assert trained.net.settings == SMALL
    correlation = random_correlation(1)
    assert torch.equal(trained.net(correlation), net.eval()(correlation))
    assert load_geonet(path) is trained  # read once

    torch.nn.init.zeros_(net.head[-1].weight)  # type: ignore[arg-type]
    save(path, net)
    os.utime(path, ns=(1, 1))
    assert load_geonet(path).net(correlation).abs().max() == 0


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="geonet: expected .*no such file"):
        load_geonet(tmp_path / "none.safetensors")
    net = GeoNet(SMALL, CELLS)
    path = tmp_path / "net.safetensors"
    state = net.state_dict()
    state.pop("head.0.bias")
    save_geonet(path, state, SMALL, cells=CELLS, features={"name": "lite", "hash": ""})
    with pytest.raises(InputError, match=r"geonet: expected a network .*head\.0\.bias"):
        load_geonet(path)
    save_geonet(path, net.state_dict(), SMALL, cells=CELLS)
    with pytest.raises(InputError, match="features"):
        load_geonet(path)
