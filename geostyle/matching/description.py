"""Features of a picture for matching, and soft matches between the features of two pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size, inside_mask, resize, size_of
from geostyle.features.extractor import FeatureExtractor
from geostyle.matching.correlation import correlate, masked_probability
from geostyle.matching.faces import Face, find_faces
from geostyle.matching.frame import Frame, cell_centers
from geostyle.matching.network import LoadedNetwork, square_features
from geostyle.matching.settings import GeometrySettings
from geostyle.warps import warp_image

FLAT = 2 / 255  # standard deviation up to which a picture shows nothing
KEPT_PX = 640  # long side at which a picture is kept for later comparisons

Map = Callable[[Tensor], Tensor]  # points (N, 2) → (N, 2), in float64


@dataclass(frozen=True)
class Description:
    """Features of a picture on one grid of cells, and the picture itself.

    Attributes:
        size: (H, W) of the picture.
        maps: (1, C, h, w) per layer and matching size, unit vectors: first those of the picture,
            then those of its mirror image, mirrored back, unless left out.
        picture: (1, 3, ...), reduced to a long side of `KEPT_PX`.
        network: the feature network.
        mask: (1, 1, ...) in [0, 1], 1 on the subject; None where the whole picture counts.
        flat: True for a picture of one color, of which only the borders could be matched.
    """

    size: Size
    maps: tuple[Tensor, ...]
    picture: Tensor
    network: FeatureExtractor
    mask: Tensor | None = None
    flat: bool = False
    # Features that regression networks read, by layer and size; `replace` starts an empty cache.
    _squares: dict[tuple[str, int], Tensor] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    @property
    def grid(self) -> Size:
        """Size (h, w) of the feature maps."""
        return size_of(self.maps[0])

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """Upright human faces seen from the front, found once."""
        return find_faces(self.picture)

    def cells(self) -> Tensor:
        """Return the positions (h·w, 2) of the features, normalized in the picture, in float64."""
        return cell_centers(*self.grid)

    def squares(self, loaded: LoadedNetwork) -> Tensor:
        """Return the features (1, C, n, n) that a regression network reads, computed once."""
        settings = loaded.network.settings
        key = (settings.layer, settings.match_px)
        if key not in self._squares:
            self._squares[key] = square_features(self.picture, self.network, settings)
        return self._squares[key]

    def weights(self, grid: Size) -> Tensor:
        """Return the share of the subject in each cell of a `grid` (h, w): (h·w,) in [0, 1]."""
        if self.mask is None:
            return torch.ones(grid[0] * grid[1])
        return resize(self.mask, grid, "bilinear").flatten().cpu()

    def mirrored(self) -> Description:
        """Return the description of the picture mirrored left for right."""
        own, mirrored = self.maps[: len(self.maps) // 2], self.maps[len(self.maps) // 2 :]
        maps = tuple(features.flip(-1) for features in (*mirrored, *own))
        mask = None if self.mask is None else self.mask.flip(-1)
        return replace(self, maps=maps, picture=self.picture.flip(-1), mask=mask)

    def warped(self, mapping: Map, size: Size, *, hide: bool = True) -> Description:
        """Return the picture and its mask warped to `size` (H, W), without features.

        Args:
            mapping: from the new picture's frame to this one's.
            hide: whether the mask also excludes what lies beyond this picture.
        """
        grid = mapping(cell_centers(*size)).reshape(1, *size, 2).float()
        picture = warp_image(self.picture.cpu(), grid, extend="mirror").clamp(0, 1)
        mask = inside_mask(grid)[:, None].float() if hide else None
        if self.mask is not None:
            own = warp_image(self.mask.cpu(), grid, extend="border").clamp(0, 1)
            mask = own if mask is None else mask * own
        return replace(self, size=size, maps=(), picture=picture, mask=mask)


@torch.inference_mode()
def describe(
    image: Tensor,
    network: FeatureExtractor,
    settings: GeometrySettings,
    mask: Tensor | None = None,
    *,
    mirrored: bool = True,
) -> Description:
    """Compute the features of a picture for matching, at every layer and size of the settings.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        network: the feature network.
        settings: see `GeometrySettings`.
        mask: (1, 1, h, w) of the picture's shape, 1 on the subject, the only part to be matched.
        mirrored: also describe the mirror image, which a network sees differently: the mean
            correlation of both is less noisy.
    """
    image_size, device = size_of(image), network.mean.device
    maps: list[Tensor] = []
    sizes_px = () if settings.estimator == "regression" else settings.match_sizes_px
    pictures = []
    for size_px in sorted(sizes_px, reverse=True):
        # Sides are multiples of 16 px, the size of a cell, so that cells tile the picture.
        factor = size_px / max(image_size) / 16
        height, width = (max(1, round(side * factor)) * 16 for side in image_size)
        pictures.append(resize(image.to(device), (height, width)))
    # All features lie on the cells of the largest picture.
    height, width = size_of(pictures[0]) if pictures else image_size
    grid = (height // 16, width // 16)
    for flip in (False, True) if mirrored else (False,):
        for picture in pictures:
            seen = picture.flip(-1) if flip else picture
            for features in network(seen, settings.match_layers).values():
                features = features.float().flip(-1) if flip else features.float()
                if size_of(features) != grid:
                    features = F.interpolate(features, grid, mode="bilinear", align_corners=False)
                maps.append(F.normalize(features, dim=1))
    flat = float(image.std()) < FLAT
    factor = KEPT_PX / max(image_size)
    kept = image.to(device)
    if factor < 1:
        height, width = (max(16, round(side * factor)) for side in image_size)
        kept = resize(kept, (height, width))
    return Description(image_size, tuple(maps), kept, network, mask, flat)


class Pair(NamedTuple):
    """Descriptions of the content and the geometry style, and the frame of the warp between."""

    content: Description
    geo_style: Description
    frame: Frame


@dataclass(frozen=True)
class Matches:
    """Match probabilities of all content positions with all positions of the geometry style.

    Attributes:
        source: (Ns, 2), content points.
        target: (Nt, 2), output points.
        probability: (Ns, Nt), that the two choose each other.
    """

    source: Tensor
    target: Tensor
    probability: Tensor


def match(pair: Pair) -> Matches:
    """Compare all positions of two pictures; positions hidden by a mask match nothing."""
    content, geo_style, frame = pair
    weights = [d.weights(d.grid) for d in (content, geo_style)]
    probability = masked_probability(mean_correlation(pair), *weights)
    return Matches(content.cells(), geo_style.cells() * frame.to_output, probability)


def mean_correlation(pair: Pair) -> Tensor:
    """Return the mean correlation (1, Ns, Ht, Wt) over layers and sizes, on the CPU."""
    maps = zip(pair.content.maps, pair.geo_style.maps, strict=True)
    return torch.stack([correlate(a, b, center=True) for a, b in maps]).mean(0).cpu()
