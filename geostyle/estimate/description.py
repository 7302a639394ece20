"""A picture → what matching knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize
from geostyle.errors import InputError
from geostyle.estimate.frames import size_of
from geostyle.estimate.settings import GeometrySettings
from geostyle.features import FeatureExtractor
from geostyle.geonet import Trained, describe_square, load_geonet

FLAT = 2 / 255  # standard deviation of the values in a picture that shows nothing


@dataclass(frozen=True)
class Description:
    """What matching knows of a picture: its size (H, W), and features on one common grid.

    maps: one (1, C, h, w) per layer and matching size, unit vectors.
    square: (1, C, n, n), what the regression network reads, where one is asked for.
    network: that network.
    flat: whether it shows nothing, so that only its borders could be matched.
    """

    size: Size
    maps: tuple[Tensor, ...]
    square: Tensor | None = None
    network: Trained | None = None
    flat: bool = False


@torch.inference_mode()
def describe(image: Tensor, extractor: FeatureExtractor, settings: GeometrySettings) -> Description:
    """Features of `image` (1, 3, H, W) for matching, at every layer and size of the settings.

    With ``estimator="regression"`` they are the network's alone; with another estimator and a
    `geonet`, they serve both.
    """
    device = extractor.mean.device
    maps: list[Tensor] = []
    sizes_px = () if settings.estimator == "regression" else settings.match_sizes_px
    for size_px in sorted(sizes_px, reverse=True):
        # Sides in whole cells: features then tile the picture, edge to edge.
        factor = size_px / max(size_of(image)) / 16
        height, width = (max(1, round(side * factor)) * 16 for side in size_of(image))
        small = resize(image.to(device), (height, width))
        for features in extractor(small, settings.match_layers).values():
            grid = maps[0].shape[-2:] if maps else (height // 16, width // 16)
            features = features.float()
            if features.shape[-2:] != grid:
                features = F.interpolate(features, grid, mode="bilinear", align_corners=False)
            maps.append(F.normalize(features, dim=1))
    flat = float(image.std()) < FLAT
    if settings.geonet is None and settings.estimator != "regression":
        return Description(size_of(image), tuple(maps), flat=flat)
    network = _network(settings, extractor)
    square = describe_square(image, extractor, network.net.settings)
    return Description(size_of(image), tuple(maps), square, network, flat)


def _network(settings: GeometrySettings, extractor: FeatureExtractor) -> Trained:
    """The regression network for these features.

    Raises: InputError where there is none, or where it reads the features of another network.
    """
    path = settings.geonet
    if path is None:
        name = f"geonet-{extractor.name}.safetensors"
        path = Path(str(resources.files("geostyle") / "assets" / name))
        if not path.is_file():
            raise InputError(
                f"geonet: expected --geonet FILE for {extractor.name}, for which no network is "
                "bundled; python train_geo.py trains one"
            )
    network = load_geonet(path)
    if network.features != extractor.name:
        raise InputError(
            f"geonet: expected a network that reads {extractor.name}, got {str(path)!r}, which "
            f"reads {network.features}; choose it with --features {network.features}"
        )
    return network
