"""The regression network: correlation → theta."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geostyle import config
from geostyle.config import check, setting
from geostyle.coords import base_grid, resize
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.io.checkpoint import load_checkpoint, save_checkpoint
from geostyle.matching.correlation import correlate, mutual_probability, normalize_correlation
from geostyle.matching.heads import GROUPS, Estimated, FitHead, LinearHead
from geostyle.warps import make_family

KIND = "geonet"


@dataclass(frozen=True)
class NetSettings:
    """What a network sees and answers; kept in its checkpoint."""

    geometry: str = setting(
        "affine+tps", choices=("affine", "tps", "affine+tps"), help="family the network answers in"
    )
    net_lattice: int = setting(4, min=2, max=16, help="control points of its spline per side")
    layer: str = setting("pool4", help="feature layer that is correlated")
    match_px: int = setting(
        240, min=32, max=1024, help="side of the squares both pictures are squeezed into"
    )
    head: str = setting(
        "fit",
        choices=("fit", "linear"),
        help="theta by a weighted fit to a match of every position, or by linear layers",
    )
    width: int = setting(96, min=8, max=1024, help="channels of the convolutions")
    blocks: int = setting(3, min=0, max=32, help="residual blocks of the fit head")
    reach: float = setting(
        1.1, min=0.05, max=2.0, help="displacements the fit head sees, ± in half sides"
    )
    soft_matches: tuple[float, ...] = setting(
        (0.1, 0.05, 0.02),
        min=1e-3,
        max=10.0,
        help="temperatures at which soft matches are read from the correlation",
    )
    center: bool = setting(True, help="subtract the mean feature direction before correlating")

    def __post_init__(self) -> None:
        check(self)
        if self.width % GROUPS:
            raise InputError(f"width: expected a multiple of {GROUPS}, got {self.width}")


class GeoNet(nn.Module):
    """Correlation and soft matches, and a head that answers with theta.

    Args:
        settings: see `NetSettings`.
        cells: side of the square feature maps that are correlated, n.

    Source: Liu et al., "Geometric Style Transfer", section 3.2; Rocco et al., "Convolutional neural
        network architecture for geometric matching", section 3.
    Differs: features are centered before they are correlated; soft matches beside the correlation
        (for each target position, the displacement to the mean of its mutual candidates, and how
        sure they are), from which few training pairs teach more; see the heads.
    """

    positions: Tensor

    def __init__(self, settings: NetSettings, cells: int) -> None:
        super().__init__()
        self.settings, self.cells = settings, cells
        self.family = make_family(settings.geometry, settings.net_lattice)
        count, width = len(settings.soft_matches), settings.width
        if settings.head == "linear":
            channels = cells**2 + 3 * count
            self.head: nn.Module = LinearHead(self.family, channels, 3 * count, cells, width)
        else:
            self.head = FitHead(self.family, count, cells, width, settings.blocks, settings.reach)
        self.register_buffer("positions", base_grid((cells, cells)), persistent=False)

    def forward(self, correlation: Tensor) -> Estimated:
        """Estimate theta, output (target) → content (source), in float32.

        correlation: (B, n², n, n), cosines as `correlate` gives them, n = `cells`.
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
        """Per temperature (B, 3, n, n): displacement (x, y) to the mean candidate, and its mass."""
        points = self.positions.flatten(0, 1)  # (n², 2)
        found = []
        for temperature in self.settings.soft_matches:
            probability = mutual_probability(correlation, temperature).flatten(2)
            mass = probability.sum(1, keepdim=True)
            mean = points.mT @ probability / mass.clamp_min(1e-12)
            shift = (mean - points.mT).unflatten(2, correlation.shape[2:])
            found.append(torch.cat((shift, mass.sqrt().unflatten(2, correlation.shape[2:])), 1))
        return found


@dataclass(frozen=True)
class Trained:
    """A trained network and the features it reads.

    features: name of the extractor; features_hash: of its weights.
    """

    net: GeoNet
    features: str
    features_hash: str


def cells_of(settings: NetSettings, extractor: FeatureExtractor) -> int:
    """Positions a side of the feature maps that `settings` correlate."""
    return settings.match_px // extractor.stride(settings.layer)


@torch.no_grad()
def describe_square(image: Tensor, extractor: FeatureExtractor, settings: NetSettings) -> Tensor:
    """Features of `image` (B, 3, H, W), squeezed into the network's square: (B, C, n, n)."""
    square = resize(image.to(extractor.mean.device), (settings.match_px, settings.match_px))
    return extractor(square.clamp(0, 1), [settings.layer])[settings.layer].float()


def correlate_squares(source: Tensor, target: Tensor, settings: NetSettings) -> Tensor:
    """The correlation (B, n², n, n) a network reads, from `describe_square` of I_a and I_b."""
    return correlate(source, target, center=settings.center)


def save_geonet(path: Path, tensors: dict[str, Tensor], settings: NetSettings, **more: Any) -> None:
    """Write a network's `tensors` with its settings; `more` (JSON types) goes into the config."""
    save_checkpoint(path, tensors, {"network": config.to_dict(settings), **more}, KIND)


def load_geonet(path: Path) -> Trained:
    """Read a trained network; strict in everything, and once only while the file stays the same.

    Raises: InputError where the file is missing, damaged or of another kind.
    """
    path = Path(path)
    return _load(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(4)
def _load(path: Path, changed_ns: int) -> Trained:
    tensors, stored = load_checkpoint(path, KIND, name="geonet")
    try:
        settings = NetSettings(**stored["network"])
        net = GeoNet(settings, stored["cells"])
        net.load_state_dict(tensors, strict=True)
        trained = Trained(net.eval().requires_grad_(False), *_features_of(stored))
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"geonet: expected a network in {str(path)!r}, got: {reason}") from error
    return trained


def _features_of(stored: dict[str, Any]) -> tuple[str, str]:
    return str(stored["features"]["name"]), str(stored["features"]["hash"])
