"""The loss of matched painting at one level: distance to the matched features of a texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.cells import rows_of
from geostyle.texture.hypercolumns import cell_size, features_in_cells, mean_of_cells, to_cells
from geostyle.texture.keeping import (
    FLAT_RADIUS,
    random_positions,
    self_similarity_error,
    sharpness,
    sums_around,
)
from geostyle.texture.objective import READ_WHOLE_PX, LossSettings, TextureObjective
from geostyle.texture.settings import CONTENT_LAYER
from geostyle.texture.splitting import Exemplars, LayerPools
from geostyle.texture.tiles import Sums, Tiling, Window, loss_of, maps_of

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
SHAPE_LAYERS = ("relu3_1", "relu3_2", "relu3_3", "relu4_1", "relu4_2")
# Side of the cells whose self-similarity is kept, and how many of them are compared at a step.
SHAPE_CELL_PX = 8
N_SHAPE = 512


@dataclass(frozen=True)
class Targets:
    """Targets of a level, cell by cell.

    Attributes:
        content: (1, 3, H, W), the picture whose shapes are kept.
        columns: (1, C, h, w), hypercolumns of the matched cells.
        colors: (1, 3, h, w), their mean colors.
        style: (1, 1, h, w), number of the texture that they are from.
        inside: (1, 1, h, w), 1 where there is content, 0 beyond it.
        holding: (1, 1, h, w), how much the content is held, of mean about 1.
    """

    content: Tensor
    columns: Tensor
    colors: Tensor
    style: Tensor
    inside: Tensor
    holding: Tensor


@dataclass(frozen=True)
class Weights:
    """Weights of the terms, each relative to its own scale.

    Attributes:
        style: of the distance to the matched hypercolumns, 1 − cosine.
        color: of the mean squared error of the cells' colors.
        gram: of the relative errors of Gram matrices.
        shape: of the content's self-similarity.
        content: of the relative error of its own features at relu4_2.
    """

    style: float = 1.0
    color: float = 1.0
    gram: float = 0.2
    shape: float = 0.5
    content: float = 0.05


class MatchedObjective(nn.Module):
    """Matched style, color, statistics and content of a picture; targets computed once.

    Args:
        network: a frozen feature network.
        scales: of its layers in the hypercolumns; see `layer_scales`.
        targets: of the level.
        exemplars: the textures, for statistics and for `splitting`.
        weights: of the terms.
        splitting: match every layer by itself, at random positions, anew at every step, instead of
            holding to the targets' hypercolumns.
        seed: of everything random.
        tiling: how to cut pictures that are too large for memory, in at least two blocks.

    Source: Kolkin et al., "Neural Neighbor Style Transfer", sections 3.2 and 3.4; Kolkin et al.,
        "Style Transfer by Relaxed Optimal Transport and Self-Similarity", section 3.
    Differs: terms on colors, statistics and content beside the matched features.
    """

    def __init__(
        self,
        network: FeatureExtractor,
        scales: dict[str, float],
        targets: Targets,
        exemplars: Exemplars,
        weights: Weights,
        *,
        splitting: bool = False,
        seed: int = 0,
        tiling: Tiling | None = None,
    ) -> None:
        super().__init__()
        self.network, self.scales, self.weights = network, scales, weights
        self.targets, self.splitting, self.tiling = targets, splitting, tiling
        self.generator = torch.Generator().manual_seed(seed)
        content, masks = targets.content, exemplars.masks
        size = content.shape[-2], content.shape[-1]
        self.cells = cell_size(size)
        self.energies = targets.columns.square().sum(1)
        self.shape_cells = max(1, size[0] // SHAPE_CELL_PX), max(1, size[1] // SHAPE_CELL_PX)
        whole_px = READ_WHOLE_PX if tiling is None else min(READ_WHOLE_PX, tiling.tile_px)
        reading = Tiling(whole_px, blocks=5)
        self.statistics: _Statistics | None = None
        if weights.gram:
            self.statistics = _Statistics(
                network, exemplars.pictures, None,
                LossSettings(content_weight=0.0, style_layers=GRAM_LAYERS),
                tex_weights=exemplars.parts if masks is None else None,
                masks=None if masks is None else list(masks.split(1)), tiling=tiling,
            )  # fmt: skip
        self.content_target: Tensor | None = None
        self.content_energy = 1.0
        if weights.content:
            maps = maps_of(content, network, [CONTENT_LAYER], reading)[CONTENT_LAYER]
            self.content_target = maps.to(memory_format=network.memory_format)
            self.holding = _on_map(targets.holding * targets.inside, maps)
            self.content_energy = float((maps.square() * self.holding.clamp_max(1)).sum())
            self.content_energy = max(self.content_energy, 0.1 * scales_energy(scales, maps))
        self.shape_target: Tensor | None = None
        if weights.shape:
            found = maps_of(content, network, SHAPE_LAYERS, reading)
            cells = [self._shape_cells(k, maps, self.shape_cells) for k, maps in found.items()]
            scaled = [part * scales[k] for k, part in zip(found, cells, strict=True)]
            columns = torch.cat(scaled, 1)
            own = slice(FLAT_RADIUS, -FLAT_RADIUS)
            around = sums_around(columns)[..., own, own]
            counts = sums_around(torch.ones_like(columns[:, :1]))[..., own, own]
            self.sharp = sharpness(columns, around / counts)
            self.around = (1 - self.sharp) / counts  # weight of the sum around a cell
            self.shape_target = rows_of(self.sharp * columns + self.around * around)
            holding = F.interpolate(
                targets.holding * targets.inside, self.shape_cells, mode="bilinear"
            )
            self.shape_holding = holding.flatten()
        self.pools: LayerPools | None = None
        if splitting:
            self.pools = LayerPools(exemplars, network, targets.style, reading, self.generator)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(total, style, content) of `image` (1, 3, H, W), scalars; total carries the weights."""
        positions = {}
        if self.pools is not None:
            positions = {v: self.pools.positions(v, self._size_of(v)) for v in self.scales}
        shape_at = None
        if self.shape_target is not None:
            shape_at = random_positions(self.shape_cells, N_SHAPE, self.generator).to(image.device)

        def measure(found: dict[str, Tensor], window: Window) -> Sums:
            return self._measure(found, window, positions, shape_at)

        def loss(sums: Sums) -> tuple[Tensor, Tensor, Tensor]:
            return self._loss(sums, positions, shape_at)

        layers = list(dict.fromkeys([*self.scales, *GRAM_LAYERS, CONTENT_LAYER]))
        total, style, content = loss_of(image, self.network, layers, measure, loss, self.tiling)
        if self.weights.color:
            error = (mean_of_cells(image, self.cells) - self.targets.colors).square()
            total = total + self.weights.color * (error * self.targets.inside).mean()
        return total, style, content

    def _measure(
        self,
        found: dict[str, Tensor],
        window: Window,
        positions: dict[str, Tensor],
        shape_at: Tensor | None,
    ) -> Sums:
        """The part of every sum that `found`, the features of a window of the picture, gives."""
        sums: Sums = {} if self.statistics is None else self.statistics.measure(found, window)
        if not self.splitting:
            sums |= self._compare(found, window)
        for layer, at in positions.items():
            if layer not in found:
                continue
            rows = _rows_at(
                found[layer], at, self._size_of(layer), window, self.network.stride(layer)
            )
            sums[f"split {layer}"] = self.network.tap_rows(layer, rows.float())
        if shape_at is not None:
            for layer in (k for k in found if k in SHAPE_LAYERS):
                sums[f"shape {layer}"] = self._shape_at(layer, found[layer], window, shape_at)
        if self.content_target is not None and CONTENT_LAYER in found:
            stride = self.network.stride(CONTENT_LAYER)
            target = window.of(self.content_target, stride)
            own = self.network.tap(CONTENT_LAYER, found[CONTENT_LAYER]).float()
            error = (own - target).square()
            sums["content"] = (error * window.of(self.holding, stride)).sum()
        return sums

    def _compare(self, found: dict[str, Tensor], window: Window) -> Sums:
        """Maps of φ·t and |φ|² of the cells of a window, zero beyond it, summed over layers."""
        size = cell_size((window.bottom - window.top, window.right - window.left))
        target = window.of(self.targets.columns, 4)
        dot: Tensor | None = None
        energy: Tensor | None = None
        start = 0
        for layer, scale in self.scales.items():
            end = start + self.network.channels(layer)
            if layer in found:
                own = features_in_cells(self.network, layer, found[layer], size)
                part, square = _Products.apply(own, target[:, start:end])
                dot = part * scale if dot is None else dot + part * scale
                energy = square * scale**2 if energy is None else energy + square * scale**2
            start = end
        if dot is None or energy is None:
            return {}
        padding = (
            window.left // 4,
            self.cells[1] - window.left // 4 - size[1],
            window.top // 4,
            self.cells[0] - window.top // 4 - size[0],
        )
        return {"dot": F.pad(dot, padding), "energy": F.pad(energy, padding)}

    def _loss(
        self, sums: Sums, positions: dict[str, Tensor], shape_at: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        zero = next(iter(sums.values())).new_zeros(())
        total, style, content = zero, zero, zero
        if "dot" in sums:
            energies = sums["energy"] + self.energies
            style = (1 - 2 * sums["dot"] / energies.clamp_min(1e-6)).mean()
        elif self.pools is not None:
            losses = [
                self.pools.loss(layer, self._size_of(layer), at, sums[f"split {layer}"])
                for layer, at in positions.items()
            ]
            style = torch.stack(losses).mean()
        total = total + self.weights.style * style
        if self.statistics is not None:
            total = total + self.weights.gram * self.statistics.terms(sums)
        if shape_at is not None and self.shape_target is not None:
            columns = torch.cat([sums[f"shape {layer}"] for layer in SHAPE_LAYERS], 1)
            shape = self_similarity_error(
                columns, self.shape_target[shape_at], self.shape_holding[shape_at]
            )
            content = content + shape
            total = total + self.weights.shape * shape
        if "content" in sums:
            error = sums["content"] / self.content_energy
            content = content + error
            total = total + self.weights.content * error
        return total, style, content

    def _shape_at(self, layer: str, maps: Tensor, window: Window, at: Tensor) -> Tensor:
        """(N, C) features of a window at positions of the coarse grid, zero beyond the window.

        In flat areas, the part of the mean around a position that the window gives.
        """
        step = SHAPE_CELL_PX
        size = (window.bottom - window.top) // step, (window.right - window.left) // step
        cells = self._shape_cells(layer, maps, size)
        own = _rows_at(cells, at, self.shape_cells, window, step)
        around = _rows_at(sums_around(cells), at, self.shape_cells, window, step, FLAT_RADIUS)
        rows = rows_of(self.sharp)[at] * own + rows_of(self.around)[at] * around
        return self.network.tap_rows(layer, rows) * self.scales[layer]

    def _shape_cells(self, layer: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """`maps` of a layer on the coarse grid, `size` (H, W)."""
        return to_cells(maps.float(), self.network.stride(layer), size, SHAPE_CELL_PX)

    def _size_of(self, layer: str) -> tuple[int, int]:
        height, width = self.cells[0] * 4, self.cells[1] * 4
        stride = self.network.stride(layer)
        return height // stride, width // stride


class _Statistics(TextureObjective):
    """The Gram term of `TextureObjective`, on features that are already computed."""

    def measure(self, found: dict[str, Tensor], window: Window) -> Sums:
        return self._measure({k: v for k, v in found.items() if k in GRAM_LAYERS}, window)

    def terms(self, sums: Sums) -> Tensor:
        return self._loss(sums)[1]


class _Products(torch.autograd.Function):
    """x·t and |x|² (B, H, W) over the channels of x and a constant t (B, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, target)
        return (x * target).sum(1), x.square().sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        x, target = ctx.saved_tensors
        of_dot, of_square = (grad[:, None] for grad in grads)
        return (target * of_dot).addcmul_(x, 2 * of_square), None


def scales_energy(scales: dict[str, float], maps: Tensor) -> float:
    """Energy that a map of the content layer would have in the texture, from its scale."""
    return maps[0].numel() / scales[CONTENT_LAYER] ** 2


def _on_map(weights: Tensor, maps: Tensor) -> Tensor:
    size = maps.shape[-2], maps.shape[-1]
    return F.interpolate(weights, size, mode="bilinear", align_corners=False, antialias=True)


def _rows_at(
    maps: Tensor, at: Tensor, size: tuple[int, int], window: Window, stride: int, margin: int = 0
) -> Tensor:
    """(N, C) columns of a window's `maps` (1, C, h, w) at positions of the whole map.

    Args:
        at: (N,), numbers of positions of a map of `size` (H, W); zeros where outside the window.
        margin: positions that `maps` has beyond every side of the window.
    """
    row = at // size[1] - window.top // stride + margin
    column = at % size[1] - window.left // stride + margin
    height, width = maps.shape[-2:]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    # Without indexing the batch: its gradient would be one more map of zeros, filled and copied.
    rows = maps.squeeze(0).permute(1, 2, 0)
    if rows.is_contiguous():  # channels last: keep the layout of the network's gradient
        return rows.flatten(0, 1)[flat] * inside[:, None]
    return rows.permute(2, 0, 1).flatten(1)[:, flat].T * inside[:, None]
