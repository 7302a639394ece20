"""Whose features a benchmark compares: settings that several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geostyle.config import check, setting
from geostyle.device import resolve_device
from geostyle.features.extractor import FeatureExtractor, load_features


@dataclass(frozen=True)
class Network:
    """Whose features are compared, and where the figures go."""

    features: str = setting("lite", choices=("lite", "vgg19", "vgg16"), help="feature network")
    weights: Path | None = setting(None, help="local file with that network's weights")
    device: str = setting("auto", help="auto, cpu, cuda, cuda:N or mps")
    json: Path | None = setting(None, help="file the figures are written to")

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> FeatureExtractor:
        """The network itself."""
        device = resolve_device(self.device)
        return load_features(self.features, weights=self.weights, device=device)
