"""Hypercolumns: the features of several layers side by side, one column for every 4×4 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from geostyle.coords import Size
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.tiles import Sums, Tiling, Window, maps_of, sums_of

# Side of the square of pixels that one column describes: a cell.
CELL_PX = 4
LAYERS = (
    "relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1",
    "relu4_2",
)  # fmt: skip


def cell_size(size: Size) -> Size:
    """(H, W) in cells of a picture of `size` (H, W) in pixels; rows of pixels left over drop."""
    return max(1, size[0] // CELL_PX), max(1, size[1] // CELL_PX)


def to_cells(maps: Tensor, stride: int, size: Size, cell_px: int = CELL_PX) -> Tensor:
    """Feature maps on the grid of cells: averaged where finer, bilinear where coarser.

    Args:
        maps: (B, C, h, w), of a layer of `stride`.
        size: (H, W) in cells.
        cell_px: side of a cell in pixels.

    Returns: (B, C, H, W).
    """
    factor = cell_px // stride
    if factor > 1:
        return F.avg_pool2d(maps, factor)[..., : size[0], : size[1]]
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def features_in_cells(
    network: FeatureExtractor, layer: str, maps: Tensor, size: Size, cell_px: int = CELL_PX
) -> Tensor:
    """Features of `layer` on the grid of cells, as `to_cells`, of `maps` before their tap."""
    stride = network.stride(layer)
    if stride < cell_px:  # the tap where there are fewer positions
        return network.tap(layer, to_cells(maps.float(), stride, size, cell_px))
    return to_cells(network.tap(layer, maps).float(), stride, size, cell_px)


def mean_of_cells(image: Tensor, size: Size) -> Tensor:
    """The mean color (B, 3, H, W) of the pixels of every cell; `size` (H, W) in cells."""
    return F.avg_pool2d(image, CELL_PX)[..., : size[0], : size[1]]


def layer_scales(
    pictures: Sequence[Tensor],
    network: FeatureExtractor,
    layers: Sequence[str] = LAYERS,
    tiling: Tiling | None = None,
) -> dict[str, float]:
    """Factors by layer that give the features of `pictures` together a root mean square of 1.

    Args:
        pictures: (1, 3, H, W) each, sRGB in [0, 1].
        tiling: how to cut pictures too large to be read whole.
    """
    squares = dict.fromkeys(layers, 0.0)
    counts = dict.fromkeys(layers, 0)

    def measure(found: dict[str, Tensor], window: Window) -> Sums:
        tapped = ((layer, network.tap(layer, maps).float()) for layer, maps in found.items())
        return {layer: maps.square().sum() for layer, maps in tapped}

    for picture in pictures:
        sums = sums_of(picture, network, layers, measure, tiling)
        for layer in layers:
            stride = network.stride(layer)
            squares[layer] += float(sums[layer])
            height, width = (side // stride for side in picture.shape[-2:])
            counts[layer] += network.channels(layer) * height * width
    return {layer: (squares[layer] / max(1, counts[layer]) + 1e-12) ** -0.5 for layer in layers}


def hypercolumns(
    image: Tensor,
    network: FeatureExtractor,
    scales: dict[str, float],
    tiling: Tiling | None = None,
) -> Tensor:
    """Hypercolumns of a picture, without gradient.

    Args:
        image: (B, 3, H, W), sRGB in [0, 1], sides of at least 8 px.
        scales: a factor by layer, in the order of the network; see `layer_scales`.
        tiling: how to cut a picture too large to be read whole.

    Returns: (B, C, H // 4, W // 4) in float32, C the sum of the layers' channels.
    Source: Kolkin et al., "Neural Neighbor Style Transfer", section 3.2.
    Differs: layers are scaled to a root mean square of 1, not by their number of channels, so that
        networks with activations of any scale are served; finer layers are averaged over a cell,
        not sampled.
    """
    size = cell_size((image.shape[-2], image.shape[-1]))
    layers = list(scales)
    if tiling is None or max(image.shape[-2:]) <= tiling.tile_px:
        with torch.no_grad():
            found = network(image, layers, tapped=False)
            return torch.cat(
                [
                    features_in_cells(network, layer, found.pop(layer), size) * scales[layer]
                    for layer in layers
                ],
                1,
            )
    # One layer at a time: all maps of a large picture do not fit into memory together.
    columns = []
    for layer in layers:
        maps = maps_of(image, network, [layer], tiling)[layer]
        columns.append(to_cells(maps * scales[layer], network.stride(layer), size))
    return torch.cat(columns, 1)
