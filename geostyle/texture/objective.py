"""The loss that is minimized over the picture: style, content and smoothness under one network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geostyle.errors import InputError, is_number
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.losses import (
    GramLoss,
    MomentLoss,
    Statistics,
    WassersteinLoss,
    channel_mean,
    energy,
    gram,
    squared_distance,
    total_variation,
)
from geostyle.texture.settings import CONTENT_LAYER, STYLE_LAYERS
from geostyle.texture.tiles import Sums, Tiling, Window, loss_of, maps_of, sums_of

# Least energy of the content, relative to the texture's. The least of 120 photographs and paintings
# of many kinds has 0.17 of the most at relu4_2 of `lite`, a plain gray picture 0.01.
LEAST_ENERGY = 0.1
# Pictures that need no gradient are cut beyond this size, which costs little time.
READ_WHOLE_PX = 1024

LOSSES: dict[str, type[nn.Module]] = {
    "gram": GramLoss,
    "wasserstein": WassersteinLoss,
    "moment": MomentLoss,
}


@dataclass(frozen=True)
class LossSettings:
    """Terms of `TextureObjective`.

    Attributes:
        style_weight: weight of all texture losses together.
        gram_weight, wasserstein_weight, moment_weight: weights of the texture losses in their
            mean; one of weight 0 costs nothing.
        content_weight, tv_weight: weights of the content loss and of total variation.
        style_layers: layers whose statistics count, equally.
        content_layers: layers whose features are kept, which count equally.
    """

    style_weight: float = 1.0
    gram_weight: float = 1.0
    wasserstein_weight: float = 0.0
    moment_weight: float = 0.0
    content_weight: float = 0.1
    tv_weight: float = 0.0
    style_layers: Sequence[str] = STYLE_LAYERS
    content_layers: Sequence[str] = (CONTENT_LAYER,)

    def texture_weights(self) -> dict[str, float]:
        """Weights above 0 of the texture losses by kind, of sum 1."""
        weights = {kind: float(getattr(self, f"{kind}_weight")) for kind in LOSSES}
        total = sum(weights.values())
        return {kind: weight / total for kind, weight in weights.items() if weight}


@dataclass(frozen=True)
class Region:
    """The part of the picture that one texture covers, and its losses.

    Attributes:
        share: weight of the region's loss relative to the others'.
        losses: by layer, losses by kind.
        weights: by layer, (B or 1, 1, h, w) weights of its positions, of sum 1; empty for the whole
            picture.
    """

    share: float
    losses: dict[str, dict[str, nn.Module]]
    weights: dict[str, Tensor] = field(default_factory=dict)


class TextureObjective(nn.Module):
    """Style + content loss of a picture; the targets are computed once.

    Args:
        network: a frozen feature network.
        tex_styles: exemplars (B or 1, 3, h, w); their statistics are averaged with `tex_weights`.
        content: (B, 3, H, W) whose content layers are kept, or None (texture synthesis).
        settings: weights and layers of the terms.
        tex_weights: one non-negative weight per exemplar, default equal; normalized to sum 1.
        masks: one (B or 1, 1, H, W) non-negative map per exemplar, at the picture's size: where its
            texture goes. Each exemplar then has its own region and its own loss, which counts by
            the region's share of the picture and by `tex_weights`, instead of being averaged.
        reader: network that reads the exemplars, where it is not `network` (another padding).
        tiling: how to cut pictures that are too large for memory; None never cuts.

    Source: Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", equation 7; masks: Gatys
        et al., "Controlling Perceptual Factors in Neural Style Transfer", section 4.
    Differs: all terms relative (see `losses`); styles mix through the average of their statistics.
    """

    def __init__(
        self,
        network: FeatureExtractor,
        tex_styles: Sequence[Tensor],
        content: Tensor | None,
        settings: LossSettings | None = None,
        *,
        tex_weights: Sequence[float] | None = None,
        masks: Sequence[Tensor] | None = None,
        reader: FeatureExtractor | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        super().__init__()
        settings = settings or LossSettings()
        self.network, self.tiling, self.settings = network, tiling, settings
        whole_px = READ_WHOLE_PX if tiling is None else min(READ_WHOLE_PX, tiling.tile_px)
        self.reading = Tiling(whole_px, blocks=5)
        # Normalized, so that a second texture loss does not outweigh the content.
        self.texture_weights = settings.texture_weights()
        self.regions: list[Region] = []
        self.style_layers: list[str] = []
        self.style_energies: dict[int, float] = {}  # mean square of features, by stride
        if settings.style_weight and self.texture_weights:
            self.style_layers = list(settings.style_layers)
            weights = normalized_weights(tex_weights, len(tex_styles))
            targets = [self._statistics(style, reader or network) for style in tex_styles]
            for layer in self.style_layers:
                found = max(_mean_square(target[layer].gram) for target in targets)
                self.style_energies[network.stride(layer)] = found
            if masks is None:
                self.regions = [self._region(1.0, _average(weights, targets))]
            else:
                self.regions = self._masked_regions(weights, targets, masks)
        self.content_targets: dict[str, Tensor] = {}
        self.content_energies: dict[str, Tensor] = {}
        if content is not None:
            self.keep(content)

    def keep(self, content: Tensor) -> None:
        """Replace the content whose features are kept by `content` (B, 3, H, W)."""
        if self.settings.content_weight:
            layers = self.settings.content_layers
            targets = maps_of(content, self.network, layers, self.reading)
            self.content_targets = targets
            self.content_energies = {
                layer: energy(maps).clamp_min(self._least_energy(layer, maps))
                for layer, maps in targets.items()
            }

    def _least_energy(self, layer: str, maps: Tensor) -> float:
        """Lower bound of the energy that the content loss is divided by.

        A plain gray wall has almost no features; a loss relative to their own energy would keep it
        from taking on any texture.
        """
        usual = self.style_energies.get(self.network.stride(layer), 0.0)
        return LEAST_ENERGY * usual * maps[0].numel()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(total, style, content) of `image`, scalars; total carries the weights.

        Args: image, (B, 3, H, W); style and content are sums over its items.
        """
        layers = list(dict.fromkeys([*self.style_layers, *self.content_targets]))
        if layers:
            total, style, content = loss_of(
                image, self.network, layers, self._measure, self._loss, self.tiling
            )
        else:
            total = style = content = image.new_zeros(())
        if self.settings.tv_weight:
            total = total + self.settings.tv_weight * total_variation(image)
        return total, style, content

    def _measure(self, found: dict[str, Tensor], window: Window) -> Sums:
        """The part of every sum that comes from `found`, the features of a window."""
        sums: Sums = {}
        for layer, maps in found.items():
            stride = self.network.stride(layer)
            if layer in self.content_targets:
                target = window.of(self.content_targets[layer], stride)
                own = self.network.tap(layer, maps).to(target.dtype)
                sums[f"content {layer}"] = squared_distance(own, target)
            if layer not in self.style_layers:
                continue
            for number, region in enumerate(self.regions):
                weights, total = None, _n_positions(window.size, stride)
                if region.weights:
                    weights, total = window.of(region.weights[layer], stride), 1.0
                sums[f"gram {number} {layer}"] = _gram(self.network, layer, maps, weights, total)
                if self.texture_weights.keys() != {"gram"}:
                    means = channel_mean(maps, weights, total=total)
                    sums[f"mean {number} {layer}"] = self.network.tap_rows(layer, means)
        return sums

    def _loss(self, sums: Sums) -> tuple[Tensor, Tensor, Tensor]:
        """(total without the terms on pixels, style, content) from the whole picture's sums."""
        style = content = next(iter(sums.values())).new_zeros(())
        for number, region in enumerate(self.regions):
            for layer, losses in region.losses.items():
                own = sums[f"gram {number} {layer}"]
                found = Statistics(own, sums.get(f"mean {number} {layer}", own))
                for kind, loss in losses.items():
                    weight = self.texture_weights[kind] * region.share / len(region.losses)
                    style = style + weight * loss(found)
        for layer, scale in self.content_energies.items():
            relative = (sums[f"content {layer}"] / scale).sum()
            content = content + relative / len(self.content_energies)
        weights = self.settings
        total = weights.style_weight * style + weights.content_weight * content
        return total, style, content

    def _statistics(self, style: Tensor, reader: FeatureExtractor) -> dict[str, Statistics]:
        """Statistics of an exemplar at each style layer."""

        def measure(found: dict[str, Tensor], window: Window) -> Sums:
            sums: Sums = {}
            for layer, maps in found.items():
                total = _n_positions(window.size, reader.stride(layer))
                sums[f"gram {layer}"] = _gram(reader, layer, maps, None, total)
                means = channel_mean(maps, total=total)
                sums[f"mean {layer}"] = reader.tap_rows(layer, means)
            return sums

        sums = sums_of(style, reader, self.style_layers, measure, self.reading)
        return {k: Statistics(sums[f"gram {k}"], sums[f"mean {k}"]) for k in self.style_layers}

    def _region(
        self, share: float, targets: dict[str, Statistics], weights: dict[str, Tensor] | None = None
    ) -> Region:
        losses = {
            layer: {kind: LOSSES[kind](target) for kind in self.texture_weights}
            for layer, target in targets.items()
        }
        return Region(share, losses, weights or {})

    def _masked_regions(
        self,
        tex_weights: list[float],
        targets: list[dict[str, Statistics]],
        masks: Sequence[Tensor],
    ) -> list[Region]:
        if len(masks) != len(targets):
            raise InputError(f"masks: expected {len(targets)}, one per style, got {len(masks)}")
        areas = [w * float(mask.mean()) for w, mask in zip(tex_weights, masks, strict=True)]
        if not sum(areas):
            raise InputError("masks: expected one that is not empty, got none")
        regions = []
        for area, target, mask in zip(areas, targets, masks, strict=True):
            if not area:
                continue
            height, width = mask.shape[-2:]
            weights = {}
            for layer in self.style_layers:
                stride = self.network.stride(layer)
                own = F.interpolate(mask, (height // stride, width // stride), mode="area")
                weights[layer] = own / own.sum((2, 3), keepdim=True).clamp_min(1e-8)
            regions.append(self._region(area / sum(areas), target, weights))
        return regions


def normalized_weights(tex_weights: Sequence[float] | None, n_styles: int) -> list[float]:
    """Weights of `n_styles` mixed textures, normalized to sum 1; None means equal ones.

    Raises: InputError for a wrong number of weights, negative ones, or none above 0.
    """
    weights = [1.0] * n_styles if tex_weights is None else _plain_list(tex_weights)
    sound = all(is_number(w) and w >= 0 for w in weights)
    usable = sound and len(weights) == n_styles and 0 < sum(weights) < math.inf
    if not usable:
        raise InputError(
            f"tex_weights: expected {n_styles} non-negative weights, one for each texture style, "
            f"got {weights}"
        )
    return [weight / sum(weights) for weight in weights]


def _plain_list(weights: Any) -> list[Any]:
    """Weights given as any sequence, array or tensor; a single number stands for one."""
    plain = weights.tolist() if hasattr(weights, "tolist") else weights
    several = isinstance(plain, Iterable) and not isinstance(plain, Mapping)
    return list(plain) if several else [plain]


def _average(weights: list[float], parts: list[dict[str, Statistics]]) -> dict[str, Statistics]:
    """Weighted average of statistics by layer."""

    def mean(tensors: list[Tensor]) -> Tensor:
        return torch.stack([w * x for w, x in zip(weights, tensors, strict=True)]).sum(0)

    return {
        layer: Statistics(
            mean([part[layer].gram for part in parts]), mean([part[layer].mean for part in parts])
        )
        for layer in parts[0]
    }


def _gram(
    network: FeatureExtractor, layer: str, maps: Tensor, weights: Tensor | None, total: float
) -> Tensor:
    """`gram` after the tap of `layer`, which is applied to whichever is smaller."""
    if network.taps and maps[0, 0].numel() < 2 * maps.shape[1]:
        return gram(network.tap(layer, maps), weights, total=total)
    return network.tap_gram(layer, gram(maps, weights, total=total))


def _mean_square(gram_matrix: Tensor) -> float:
    """Mean square of the features of a Gram matrix (B, C, C), the largest over B."""
    return float(gram_matrix.diagonal(dim1=1, dim2=2).mean(1).max())


def _n_positions(size: tuple[int, int], stride: int) -> float:
    return float((size[0] // stride) * (size[1] // stride))
