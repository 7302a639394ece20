"""A picture → what matching knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, resize, size_of
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching.network import Trained, describe_square, load_geonet
from geostyle.matching.settings import GeometrySettings

FLAT = 2 / 255  # standard deviation of the values in a picture that shows nothing
KEPT_PX = 640  # long side at which a picture is kept to be looked at again


@dataclass(frozen=True)
class Description:
    """What matching knows of a picture, on one common grid of cells.

    Attributes:
        size: (H, W) of the picture.
        maps: one (1, C, h, w) per layer and matching size, unit vectors.
        picture: (1, 3, ...), the picture itself, at most `KEPT_PX` long, to be looked at again.
        extractor: whose features these are.
        mask: (1, 1, ...) in [0, 1], 1 on the subject; None where all of the picture counts.
        flat: whether it shows nothing, so that only its borders could be matched.
    """

    size: Size
    maps: tuple[Tensor, ...]
    picture: Tensor
    extractor: FeatureExtractor
    mask: Tensor | None = None
    flat: bool = False
    # What networks have read of this very picture; `replace` starts anew.
    _squares: dict[tuple[str, int], Tensor] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    def squares(self, network: Trained) -> Tensor:
        """The features (1, C, n, n) of the picture that a regression network reads, found once."""
        settings = network.net.settings
        key = (settings.layer, settings.match_px)
        if key not in self._squares:
            self._squares[key] = describe_square(self.picture, self.extractor, settings)
        return self._squares[key]

    def weights(self, grid: Size) -> Tensor:
        """How much each cell of a `grid` (h, w) belongs to the subject: (h·w,) in [0, 1]."""
        if self.mask is None:
            return torch.ones(grid[0] * grid[1])
        return resize(self.mask, grid, "bilinear").flatten().cpu()

    def mirrored(self, settings: GeometrySettings) -> Description:
        """The description of the same picture, seen in a mirror."""
        mask = None if self.mask is None else self.mask.flip(-1)
        again = describe(self.picture.flip(-1), self.extractor, settings, mask)
        return replace(again, size=self.size)


@torch.inference_mode()
def describe(
    image: Tensor,
    extractor: FeatureExtractor,
    settings: GeometrySettings,
    mask: Tensor | None = None,
) -> Description:
    """Features of `image` (1, 3, H, W) for matching, at every layer and size of the settings.

    mask: (1, 1, h, w) of the picture's shape, 1 on the subject, which alone is matched.
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
    kept, flat = _kept(image.to(device)), float(image.std()) < FLAT
    return Description(size_of(image), tuple(maps), kept, extractor, mask, flat)


def _kept(image: Tensor) -> Tensor:
    factor = KEPT_PX / max(size_of(image))
    if factor >= 1:
        return image
    height, width = (max(16, round(side * factor)) for side in size_of(image))
    return resize(image, (height, width))


def networks_of(settings: GeometrySettings, extractor: FeatureExtractor) -> list[Trained]:
    """The regression networks for these features, in the order they are asked.

    Raises: InputError where there is none, or where one reads the features of another network, or
        of one with other weights.
    """
    paths = list(settings.geonet) or bundled(extractor)
    if not paths:
        raise InputError(
            f"geonet: expected --geonet FILE for these weights of {extractor.name} "
            f"({extractor.weights_hash}), for which no network is bundled; python train_geo.py "
            "trains one"
        )
    networks = [load_geonet(path) for path in paths]
    for path, network in zip(paths, networks, strict=True):
        if network.features != extractor.name:
            raise InputError(
                f"geonet: expected a network that reads {extractor.name}, got {str(path)!r}, which "
                f"reads {network.features}; choose it with --features {network.features}"
            )
        if network.features_hash != extractor.weights_hash:
            raise InputError(
                f"geonet: expected a network trained on these weights of {extractor.name}, "
                f"{extractor.weights_hash}, got {str(path)!r}, trained on {network.features_hash}"
            )
    return networks


def bundled(extractor: FeatureExtractor) -> list[Path]:
    """The files of the bundled cascade for these very features; empty where there is none."""
    folder = Path(str(resources.files("geostyle") / "assets"))
    stages = (folder / f"geonet-{extractor.name}{k}.safetensors" for k in ("", "-second"))
    return [
        path
        for path in stages
        if path.is_file() and load_geonet(path).features_hash == extractor.weights_hash
    ]
