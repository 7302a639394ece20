"""The schedule of a transfer: sizes from coarse to fine, and which network paints at each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.borders import bordered_size
from geostyle.texture.settings import MIN_TEX_SCALE, STYLE_LAYERS, TextureSettings

# relu5_1 has a stride of 16: anything thinner has no features there.
MIN_SIDE_PX = 16
# A canvas is thin where its long side is more than this many times its short side.
THIN = 2.0
# Multiply-adds in the time of moving one value to memory and back: `lite` does 9.3 × fewer of them
# than VGG-19, and an evaluation is 5.5 × faster (bfloat16, x86-64, one thread).
VALUE_COST = 1000


@dataclass(frozen=True)
class Entry:
    """One level of a transfer.

    Attributes:
        size: (H, W) of the canvas at this level.
        painted: (H, W) of what is painted: with the border, or without where `bordered` is False.
        steps: evaluations at most.
        network: the network that paints.
        tex_scale: long side of the styles, relative to `style_span` of `painted`.
        bordered: False at the last size, where a rim of one pixel stays a rim of one pixel.
        coarse: whether finer levels follow.
    """

    size: Size
    painted: Size
    steps: int
    network: FeatureExtractor
    tex_scale: float
    bordered: bool
    coarse: bool


def level_sizes(size: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """Sizes (H, W) from coarse to fine: 1/2^(levels−1) … 1/2, 1 of `size`, no side under 16 px.

    Sizes that the factor does not divide are rounded; equal neighbors (tiny or thin pictures) are
    kept, so that each number of iterations keeps its level.
    """
    height, width = size
    return [
        (max(MIN_SIDE_PX, round(height / 2**k)), max(MIN_SIDE_PX, round(width / 2**k)))
        for k in reversed(range(levels))
    ]


def style_span(canvas: Size) -> float:
    """Long side of styles at scale 1 on a canvas (H, W): the canvas's own.

    On a thin canvas it is the long side of a canvas of the same area and aspect ratio `THIN`:
    strokes scaled to the length of a panorama would not fit into its height, nor the enlarged
    style into memory.
    """
    return min(max(canvas), math.sqrt(THIN * canvas[0] * canvas[1]))


def style_size(style: Tensor, canvas: Size, tex_scale: float) -> Size:
    """Size (H, W) of `style` on a canvas: its long side is `style_span` × `tex_scale`."""
    height, width = style.shape[-2:]
    factor = style_span(canvas) * tex_scale / max(height, width)
    return max(MIN_SIDE_PX, round(height * factor)), max(MIN_SIDE_PX, round(width * factor))


def schedule(
    size: Size,
    networks: Sequence[FeatureExtractor],
    settings: TextureSettings,
    border_px: int = 0,
    *,
    keep_border: bool = False,
) -> list[Entry]:
    """All levels of a transfer, coarse to fine.

    Args:
        size: (H, W) of the canvas.
        networks: one network; or two, of which the second takes the last steps of each size
            (`settings.finish`), as a level of their own.
        border_px: pixels painted around the canvas at the coarse sizes; see `borders`.
        keep_border: paint the border at the last size, too.

    Raises: InputError for another number of networks, or where `settings.stop_after` has another
        number of levels.
    """
    if len(networks) not in (1, 2):
        raise InputError(f"network: expected one network or two, got {len(networks)}")
    full, n_sizes = bordered_size(size, border_px), len(settings.iterations)
    shown, painted = level_sizes(size, n_sizes), level_sizes(full, n_sizes)
    # The texture's features keep the size that they have on the canvas, with a border or without.
    tex_scale = settings.tex_scale
    if full != size:
        tex_scale = max(MIN_TEX_SCALE, tex_scale * style_span(size) / style_span(full))
    cuts = min(size) >= MIN_SIDE_PX and painted[0] != full and not keep_border
    levels = []
    for number, last in enumerate(finishing_steps(settings, len(networks))):
        steps, coarse = settings.iterations[number], painted[number] != painted[-1]
        own, scale = painted[number], tex_scale
        if cuts and not coarse:
            own, scale = size, tex_scale * (style_span(full) / style_span(size))
        entry = Entry(shown[number], own, steps, networks[0], scale, coarse or not cuts, coarse)
        if steps > last or not last:
            levels.append(replace(entry, steps=steps - last))
        if last:
            levels.append(replace(entry, steps=last, network=networks[1]))
    return check_stops(levels, settings)


def check_stops(levels: list[Entry], settings: TextureSettings) -> list[Entry]:
    """Return `levels`.

    Raises: InputError where `settings.stop_after` has another number of levels.
    """
    if settings.stop_after and len(settings.stop_after) != len(levels):
        raise InputError(
            f"stop_after: expected one number for each level, {len(levels)}, "
            f"got {len(settings.stop_after)}"
        )
    return levels


def finishing_steps(settings: TextureSettings, n_networks: int) -> list[int]:
    """Steps of the second network at each size, at most all of that size."""
    n_sizes = len(settings.iterations)
    if n_networks == 1:
        return [0] * n_sizes
    aligned = [0] * n_sizes + list(settings.finish)
    return [
        min(last, steps)
        for last, steps in zip(aligned[-n_sizes:], settings.iterations, strict=True)
    ]


def pixel_cost(network: FeatureExtractor) -> float:
    """Cost of one pixel of an evaluation in multiply-adds; only ratios of networks mean much."""
    names = network.layer_names
    names = names[: names.index(STYLE_LAYERS[-1]) + 1]
    cost = 0.0
    for name in names:
        cost += VALUE_COST * network.channels(name) / network.stride(name) ** 2
        if name.startswith("relu"):
            weights = network.convs[name.replace("relu", "conv")].weight
            assert isinstance(weights, Tensor)
            cost += weights.numel() / network.stride(name) ** 2
    return cost
