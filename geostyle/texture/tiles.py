"""Features of pictures too large for memory: shallow blocks in tiles, deeper ones whole.

The first blocks of a network take most of its memory and see only a few pixels around each
position, so they run tile by tile, without gradient and then again with it; deeper blocks run on
the whole map between the two passes. A loss of sums over positions has one gradient with respect
to those sums, the same for all tiles, so the picture's gradient is exact, not blended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import Size
from geostyle.features.extractor import FeatureExtractor

Sums = dict[str, Tensor]
Terms = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Window:
    """Rows top … bottom and columns left … right of a picture of `size` (H, W); ends excluded."""

    top: int
    bottom: int
    left: int
    right: int
    size: Size

    def of(self, maps: Tensor, stride: int) -> Tensor:
        """The part (B, C, h, w) of the picture's `maps` (B, C, H, W) under the window.

        A position belongs to the window that holds its first pixel: tops and lefts are multiples
        of `stride`, and windows that cover the picture cover its maps.
        """
        return maps[
            ...,
            self.top // stride : self.bottom // stride,
            self.left // stride : self.right // stride,
        ]

    def within(self, outer: Window) -> Window:
        """This window in the coordinates of `outer`, which contains it."""
        y, x = outer.top, outer.left
        size = (outer.bottom - y, outer.right - x)
        return Window(self.top - y, self.bottom - y, self.left - x, self.right - x, size)

    def grown(self, margin: int) -> Window:
        """The window with a margin in pixels on every side, within the picture."""
        height, width = self.size
        return Window(
            max(0, self.top - margin),
            min(height, self.bottom + margin),
            max(0, self.left - margin),
            min(width, self.right + margin),
            self.size,
        )


# Features (B, C, h, w) by layer, before their taps, and their window of the picture → its part of
# every sum.
Measure = Callable[[dict[str, Tensor], Window], Sums]
# The sums over the whole picture → (total, style, content).
Loss = Callable[[Sums], Terms]


@dataclass(frozen=True)
class Tiling:
    """The cut of large pictures into tiles.

    Attributes:
        tile_px: longest side of a tile; pictures no longer than this are not cut.
        blocks: number of the network's five blocks that run in tiles, 1 to 5.
    """

    tile_px: int
    blocks: int = 2


def sums_of(
    image: Tensor,
    network: FeatureExtractor,
    layers: Sequence[str],
    measure: Measure,
    tiling: Tiling | None = None,
) -> Sums:
    """Sums over the positions of a picture, without gradient.

    Args:
        image: (B, 3, H, W), sRGB in [0, 1].
        layers: layers whose features are measured.
        measure: returns the part of every sum that comes from a part of the picture.
        tiling: None for the whole picture in one piece.
    """
    with torch.no_grad():
        if _cuts(image, network, tiling):
            return _Tiles(image, network, layers, measure, tiling).sums()
        return measure(network(image, layers, tapped=False), _whole(image))


def maps_of(
    image: Tensor, network: FeatureExtractor, layers: Sequence[str], tiling: Tiling | None = None
) -> dict[str, Tensor]:
    """Whole feature maps of a picture in float32 at least, without gradient; as for `sums_of`."""
    maps: dict[str, Tensor] = {}
    height, width = image.shape[-2:]

    def keep(found: dict[str, Tensor], window: Window) -> Sums:
        for layer, untapped in found.items():
            part, stride = network.tap(layer, untapped), network.stride(layer)
            if layer not in maps:
                shape = (*part.shape[:2], height // stride, width // stride)
                dtype = torch.promote_types(part.dtype, torch.float32)
                maps[layer] = torch.empty(shape, dtype=dtype, device=part.device)
            window.of(maps[layer], stride).copy_(part)
        return {}

    sums_of(image, network, layers, keep, tiling)
    return maps


def loss_of(
    image: Tensor,
    network: FeatureExtractor,
    layers: Sequence[str],
    measure: Measure,
    loss: Loss,
    tiling: Tiling | None = None,
) -> Terms:
    """(total, style, content) of a picture; the total has a gradient with respect to it.

    Args: as for `sums_of`; `loss` takes the sums over the whole picture.
    """
    if not _cuts(image, network, tiling):
        return loss(measure(network(image, layers, tapped=False), _whole(image)))
    tiles = _Tiles(image.detach(), network, layers, measure, tiling)
    (total, style, content), gradient = tiles.loss_and_gradient(loss)
    return _KnownGradient.apply(image, total, gradient), style, content


class _Tiles:
    """One evaluation of a picture that is cut into tiles."""

    def __init__(
        self,
        image: Tensor,
        network: FeatureExtractor,
        layers: Sequence[str],
        measure: Measure,
        tiling: Tiling | None,
    ) -> None:
        assert tiling is not None
        self.image, self.network, self.measure = image, network, measure
        self.size = (image.shape[-2], image.shape[-1])
        names = network.layer_names
        deepest = max(layers, key=names.index)
        pool = f"pool{tiling.blocks}"
        # The layer whose map is assembled from the tiles; None where all layers run in tiles.
        self.split = pool if pool in names and names.index(pool) < names.index(deepest) else None
        last = self.split or deepest
        self.shallow = [k for k in layers if names.index(k) <= names.index(last)]
        self.deep = [k for k in layers if k not in self.shallow]
        self.stride = network.stride(last)
        margin = -(-network.reach_px(last) // self.stride) * self.stride
        rows, columns = (_cut_side(side, tiling.tile_px, self.stride) for side in self.size)
        self.windows = [Window(*r, *c, self.size) for r, c in product(rows, columns)]
        self.outer = [window.grown(margin) for window in self.windows]

    def sums(self) -> Sums:
        sums, middle = self._shallow_sums()
        if middle is not None:
            _add(sums, self._deep_sums(middle))
        return sums

    def loss_and_gradient(self, loss: Loss) -> tuple[Terms, Tensor]:
        """The loss, detached, and the gradient of its total, (B, 3, H, W)."""
        with torch.no_grad():
            known, middle = self._shallow_sums()
        ends = [value.requires_grad_() for value in known.values()]
        with torch.enable_grad():
            together = dict(known)
            if middle is not None:
                ends.append(middle.requires_grad_())
                _add(together, self._deep_sums(middle))
            total, style, content = loss(together)
            slopes = torch.autograd.grad(total, ends, materialize_grads=True)
        del together, ends  # frees the features of the deep blocks
        by_key = dict(zip(known, slopes, strict=False))
        gradient = torch.zeros_like(self.image)
        for window, outer in zip(self.windows, self.outer, strict=True):
            with torch.enable_grad():
                tile = outer.of(self.image, 1).clone().requires_grad_()
                found, end = self._features(tile, window.within(outer))
                part = self.measure(found, window)
            targets, weights = list(part.values()), [by_key[key] for key in part]
            if end is not None:
                targets.append(end)
                weights.append(window.of(slopes[-1], self.stride))
            (own,) = torch.autograd.grad(targets, tile, weights)
            outer.of(gradient, 1).add_(own)
            del found, end, part, targets, own  # before the next tile's are computed
        return (total.detach(), style.detach(), content.detach()), gradient

    def _features(self, tile: Tensor, core: Window) -> tuple[dict[str, Tensor], Tensor | None]:
        """A tile's features at the shallow layers, and its map at the split, without margins."""
        network = self.network
        found, end = network.section(network.prepare(tile), self.shallow, to=self.split)
        found = {layer: core.of(maps, network.stride(layer)) for layer, maps in found.items()}
        return found, None if self.split is None else core.of(end, self.stride)

    def _shallow_sums(self) -> tuple[Sums, Tensor | None]:
        """Sums at the shallow layers, and the whole map at the split."""
        sums: Sums = {}
        middle: Tensor | None = None
        for window, outer in zip(self.windows, self.outer, strict=True):
            found, end = self._features(outer.of(self.image, 1), window.within(outer))
            _add(sums, self.measure(found, window))
            if end is None:
                continue
            if middle is None:
                shape = (*end.shape[:2], *(side // self.stride for side in self.size))
                middle = end.new_empty(shape).to(memory_format=self.network.memory_format)
            window.of(middle, self.stride).copy_(end)
        return sums, middle

    def _deep_sums(self, middle: Tensor) -> Sums:
        found, _ = self.network.section(middle, self.deep, after=self.split)
        return self.measure(found, _whole(self.image))


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient is known already, so that autograd can add other terms."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return grads[0] * gradient, None, None


def _cuts(image: Tensor, network: FeatureExtractor, tiling: Tiling | None) -> bool:
    # Under circular padding, features at one edge depend on the opposite one: not cut.
    return (
        tiling is not None
        and max(image.shape[-2:]) > tiling.tile_px
        and network.padding != "circular"
    )


def _whole(image: Tensor) -> Window:
    height, width = image.shape[-2:]
    return Window(0, height, 0, width, (height, width))


def _cut_side(side: int, tile_px: int, step: int) -> list[tuple[int, int]]:
    """Even parts of a side that begin at multiples of `step`, of about `tile_px`."""
    steps = max(1, side // step)
    count = min(steps, -(-side // max(step, tile_px)))
    starts = [step * (i * steps // count) for i in range(count)]
    return list(zip(starts, [*starts[1:], side], strict=True))


def _add(sums: Sums, more: Sums) -> None:
    for key, value in more.items():
        sums[key] = sums[key] + value if key in sums else value
