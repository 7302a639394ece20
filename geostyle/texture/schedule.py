"""The order of a transfer: sizes from coarse to fine, and which network paints at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from geostyle.coords import Size
from geostyle.errors import InputError
from geostyle.features.extractor import FeatureExtractor
from geostyle.texture.score import STYLE_LAYERS
from geostyle.texture.settings import TextureSettings

# relu5_1 has a stride of 16: anything thinner has no features there.
MIN_SIDE_PX = 16
# Moving one value to memory and back takes as long as so many multiply-adds: `lite` does 9.3 ×
# fewer of those than VGG-19, and an evaluation is 5.5 × faster (bfloat16, x86-64, one thread).
VALUE_COST = 1000


@dataclass(frozen=True)
class Level:
    """One stretch of a transfer: its (H, W), its steps at most, and the network that paints."""

    size: Size
    steps: int
    extractor: FeatureExtractor

    @property
    def work(self) -> float:
        """What its steps cost, beside those of other levels."""
        return self.size[0] * self.size[1] * self.steps * pixel_cost(self.extractor)


def level_sizes(size: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """Sizes (H, W) from coarse to fine: 1/2^(levels−1) … 1/2, 1 of `size`, no side under 16 px.

    Sizes that the factor does not divide are rounded; equal neighbors (tiny or thin pictures) are
    kept, so that the iteration budgets keep their places.
    """
    return [
        (
            max(MIN_SIDE_PX, round(size[0] / 2**k)),
            max(MIN_SIDE_PX, round(size[1] / 2**k)),
        )
        for k in reversed(range(levels))
    ]


def style_size(style: Tensor, canvas: tuple[int, int], tex_scale: float) -> tuple[int, int]:
    """Size (H, W) of `style` on a canvas: its long side is the canvas's × `tex_scale`."""
    height, width = style.shape[-2:]
    factor = max(canvas) * tex_scale / max(height, width)
    return max(MIN_SIDE_PX, round(height * factor)), max(MIN_SIDE_PX, round(width * factor))


def schedule(
    size: Size, extractors: Sequence[FeatureExtractor], settings: TextureSettings
) -> list[Level]:
    """All levels of a transfer, coarse to fine.

    Args:
        size: (H, W) of the result.
        extractors: one network; or two, of which the second takes the last steps of each size
            (`settings.finish`), as a level of their own.

    Raises: InputError for another number of networks, or where `settings.stop_after` has another
        number of levels.
    """
    if len(extractors) not in (1, 2):
        raise InputError(f"extractor: expected one network or two, got {len(extractors)}")
    levels = []
    sizes = level_sizes(size, len(settings.iterations))
    for steps, last, at in zip(
        settings.iterations, finishing_steps(settings, len(extractors)), sizes, strict=True
    ):
        if steps > last or not last:
            levels.append(Level(at, steps - last, extractors[0]))
        if last:
            levels.append(Level(at, last, extractors[1]))
    if settings.stop_after and len(settings.stop_after) != len(levels):
        raise InputError(
            f"stop_after: expected one number for each level, {len(levels)}, "
            f"got {len(settings.stop_after)}"
        )
    return levels


def finishing_steps(settings: TextureSettings, n_networks: int) -> list[int]:
    """How many of the steps at each size the second network takes: at most all of them."""
    n_sizes = len(settings.iterations)
    if n_networks == 1:
        return [0] * n_sizes
    aligned = [0] * n_sizes + list(settings.finish)
    return [
        min(last, steps)
        for last, steps in zip(aligned[-n_sizes:], settings.iterations, strict=True)
    ]


def pixel_cost(extractor: FeatureExtractor) -> float:
    """What one pixel of an evaluation costs, in multiply-adds; good for ratios of networks."""
    names = extractor.layer_names
    names = names[: names.index(STYLE_LAYERS[-1]) + 1]
    cost = 0.0
    for name in names:
        cost += VALUE_COST * extractor.channels(name) / extractor.stride(name) ** 2
        if name.startswith("relu"):
            weights = extractor.convs[name.replace("relu", "conv")].weight
            assert isinstance(weights, Tensor)
            cost += weights.numel() / extractor.stride(name) ** 2
    return cost
