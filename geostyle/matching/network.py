"""The geometry network (correlation → theta), its settings and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geostyle.config import to_dict
from geostyle.coords import base_grid, resize
from geostyle.device import own_draws, own_world
from geostyle.errors import InputError, expecting
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.io.files import ASSETS
from geostyle.matching.correlation import mutual_probability, normalize_correlation
from geostyle.matching.heads import FitHead, LinearHead, NetworkOutput
from geostyle.matching.settings import NetworkSettings
from geostyle.warps import make_family

KIND = "geonet"


class GeometryNetwork(nn.Module):
    """Soft matches from a correlation, and a head that turns both into theta.

    Args:
        settings: see `NetworkSettings`.
        cells: side of the square feature maps that are correlated, n.

    Source: Liu et al., "Geometric Style Transfer", section 3.2; Rocco et al., "Convolutional neural
        network architecture for geometric matching", section 3.
    Differs: features are centered before they are correlated; soft matches beside the correlation
        (for each target position, the displacement to the mean of its mutual candidates, and their
        total probability), with which few training pairs suffice; see the heads.
    """

    positions: Tensor

    def __init__(self, settings: NetworkSettings, cells: int) -> None:
        super().__init__()
        self.settings, self.cells = settings, cells
        self.family = make_family(settings.geometry, settings.network_lattice)
        count, width = len(settings.soft_matches), settings.width
        if settings.head == "linear":
            channels = cells**2 + 3 * count
            self.head: nn.Module = LinearHead(self.family, channels, 3 * count, cells, width)
        else:
            self.head = FitHead(self.family, count, cells, width, settings.blocks, settings.reach)
        self.register_buffer("positions", base_grid((cells, cells)), persistent=False)

    def forward(self, correlation: Tensor) -> NetworkOutput:
        """Estimate theta, output (target) → content (source), in float32.

        Args:
            correlation: (B, n², n, n), cosines as `correlate` returns them, n = `cells`.

        Raises: InputError for another shape.
        """
        n = self.cells
        if tuple(correlation.shape[1:]) != (n * n, n, n):
            raise InputError(
                f"correlation: expected (B, {n * n}, {n}, {n}), got {tuple(correlation.shape)}"
            )
        with torch.autocast(correlation.device.type, enabled=False):
            correlation = correlation.float()
            matches = self.soft_matches(correlation)
            normalized = normalize_correlation(correlation)
        return self.head(normalized, matches)

    def soft_matches(self, correlation: Tensor) -> list[Tensor]:
        """Return soft matches (B, 3, n, n), one for each temperature of the settings.

        Channels: displacement (x, y) to the mean match, and the root of its mass.
        """
        points = self.positions.flatten(0, 1)  # (n², 2)
        found = []
        for temperature in self.settings.soft_matches:
            probability = mutual_probability(correlation, temperature).flatten(2)
            mass = probability.sum(1, keepdim=True)
            mean = points.mT @ probability / mass.clamp_min(1e-12)
            match = torch.cat((mean - points.mT, mass.sqrt()), 1)
            found.append(match.unflatten(2, correlation.shape[2:]))
        return found


def cells_per_side(settings: NetworkSettings, features: FeatureExtractor) -> int:
    """Return the positions per side of the feature maps that a network of `settings` correlates."""
    return settings.match_px // features.stride(settings.layer)


@torch.no_grad()
def square_features(image: Tensor, features: FeatureExtractor, settings: NetworkSettings) -> Tensor:
    """Return features (B, C, n, n) of `image` (B, 3, H, W), squeezed into the network's square."""
    square = resize(image.to(features.mean.device), (settings.match_px, settings.match_px))
    return features(square.clamp(0, 1), [settings.layer])[settings.layer].float()


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network with the name and the weights' hash of the features it reads."""

    network: GeometryNetwork
    features: str
    features_hash: str


def save_geometry_network(
    path: Path, tensors: dict[str, Tensor], settings: NetworkSettings, **more: Any
) -> None:
    """Write a network's `tensors` and settings; `more` (JSON types) is added to the config."""
    save_checkpoint(path, tensors, {"network": to_dict(settings), **more}, KIND)


def load_geometry_network(path: Path) -> LoadedNetwork:
    """Read a trained network strictly; cached while the file stays the same.

    Raises: InputError where the file is missing, damaged or of another kind.
    """
    path = Path(path)
    return _load(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(4)
@own_world
def _load(path: Path, changed_ns: int) -> LoadedNetwork:
    tensors, stored = load_checkpoint(path, KIND, name="geonet")
    with expecting(f"geonet: expected a network in {str(path)!r}"):
        with own_draws():
            network = GeometryNetwork(NetworkSettings(**stored["network"]), stored["cells"])
        network.load_state_dict(tensors, strict=True)
        features = stored["features"]
        name, weights_hash = str(features["name"]), str(features["hash"])
    return LoadedNetwork(network.eval().requires_grad_(False), name, weights_hash)


def load_networks(paths: Sequence[Path], features: FeatureExtractor) -> list[LoadedNetwork]:
    """Read the regression networks in `paths`, or the bundled ones, for given features.

    Raises: InputError where there is none, or where one reads the features of another network or
        of the same network with other weights.
    """
    paths = list(paths) or bundled(features)
    if not paths:
        raise InputError(
            f"geonet: expected --geonet FILE for these weights of {features.name} "
            f"({features.weights_hash}), for which no network is bundled; geostyle train-geo "
            "trains one"
        )
    networks = [load_geometry_network(path) for path in paths]
    for path, network in zip(paths, networks, strict=True):
        if network.features != features.name:
            raise InputError(
                f"geonet: expected a network that reads {features.name}, got {str(path)!r}, which "
                f"reads {network.features}; choose it with --features {network.features}"
            )
        if network.features_hash != features.weights_hash:
            raise InputError(
                f"geonet: expected a network trained on these weights of {features.name}, "
                f"{features.weights_hash}, got {str(path)!r}, trained on {network.features_hash}"
            )
    return networks


def bundled(features: FeatureExtractor) -> list[Path]:
    """Return the files of the bundled cascade for exactly these features; empty without one."""
    stages = (ASSETS / f"geonet-{features.name}{k}.safetensors" for k in ("", "-second"))
    return [
        path
        for path in stages
        if path.is_file() and load_geometry_network(path).features_hash == features.weights_hash
    ]
