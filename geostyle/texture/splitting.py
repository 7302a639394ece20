"""The splitting stage: every layer is matched by itself, at random positions, at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.hypercolumns import LAYERS
from geostyle.texture.keeping import random_positions
from geostyle.texture.neighbors import largest
from geostyle.texture.tiles import Tiling, maps_of

# Positions compared in a layer at a step, of the picture and of the textures; and the pool of the
# textures' that those are drawn from.
N_FOUND, N_OFFERED, N_POOL = 1024, 2048, 16384
# Fewest positions offered of a texture, however small its part.
LEAST_OFFERED = 64
# Beyond any difference of cosines.
FORBIDDEN = 4.0


@dataclass(frozen=True)
class Exemplars:
    """Textures and their parts of a picture.

    Attributes:
        pictures: (1, 3, h, w) each, at the size of the level.
        parts: one per picture, of sum 1.
        masks: (n, 1, H, W), the weight of each in every pixel, or None for `parts` everywhere.
        shared: number of pictures, counted from the end, whose features may be used everywhere.
    """

    pictures: Sequence[Tensor]
    parts: Sequence[float]
    masks: Tensor | None = None
    shared: int = 0


class LayerPools:
    """Features of the textures to match a picture's with, layer by layer.

    Args:
        exemplars: the textures.
        network: a frozen feature network.
        chosen: (1, 1, h, w), number of the texture that each cell of the picture is painted after;
            features of the others are not used there.
        reading: how textures too large to be read whole are cut.
        generator: of the sampled positions.

    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.4.
    """

    def __init__(
        self,
        exemplars: Exemplars,
        network: FeatureExtractor,
        chosen: Tensor,
        reading: Tiling,
        generator: torch.Generator,
    ) -> None:
        self.chosen, self.generator = chosen, generator
        self.first_shared = len(exemplars.pictures) - exemplars.shared
        total = sum(exemplars.parts)
        self.parts = [part / total for part in exemplars.parts]
        # By layer, of every texture (N, C).
        self.pools: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}
        for picture, part in zip(exemplars.pictures, self.parts, strict=True):
            count = max(LEAST_OFFERED, round(N_POOL * part))
            whole = max(picture.shape[-2:]) <= reading.tile_px
            found = maps_of(picture, network, LAYERS, reading) if whole else {}
            for layer in LAYERS:
                # One layer at a time where those of a large picture do not fit together.
                maps = (
                    found.pop(layer)
                    if whole
                    else maps_of(picture, network, [layer], reading)[layer]
                )
                size = maps.shape[-2], maps.shape[-1]
                at = random_positions(size, count, generator).to(maps.device)
                self.pools[layer].append(maps[0].flatten(1)[:, at].T.contiguous())

    def positions(self, layer: str, size: Size) -> Tensor:
        """Numbers (N,) of the positions of a map of `size` (H, W) to compare at this step."""
        return random_positions(size, N_FOUND, self.generator).to(self.chosen.device)

    def loss(self, layer: str, size: Size, at: Tensor, found: Tensor) -> Tensor:
        """Mean distance of features to their nearest in the pool of a layer, a scalar.

        Args:
            size: (H, W) of the layer's map.
            at, found: (N,) positions of it and (N, C) their features.
        """
        offered, style = self._offered(layer)
        with torch.no_grad():
            a = F.normalize(found - found.mean(0), dim=1)
            b = F.normalize(offered - offered.mean(0), dim=1)
            similarity = a @ b.T
            if self.first_shared > 1:
                own = F.interpolate(self.chosen, size, mode="nearest").flatten()[at]
                other = (style != own[:, None]) & (style < self.first_shared)
                similarity = similarity - FORBIDDEN * other
            nearest = offered[largest(similarity)]
        energies = found.square().sum(1) + nearest.square().sum(1)
        return (1 - 2 * (found * nearest).sum(1) / energies.clamp_min(1e-6)).mean()

    def _offered(self, layer: str) -> tuple[Tensor, Tensor]:
        """Features (N, C) from the pool of a layer, and the numbers (N,) of their textures."""
        rows, styles = [], []
        for number, (pool, part) in enumerate(zip(self.pools[layer], self.parts, strict=True)):
            count = max(LEAST_OFFERED, round(N_OFFERED * part))
            drawn = torch.randint(len(pool), (count,), generator=self.generator).to(pool.device)
            rows.append(pool[drawn])
            styles.append(torch.full((count,), number, device=pool.device))
        return torch.cat(rows), torch.cat(styles)
