"""Synthesis of textures of any size from noise, after the Gram matrices of one or more exemplars.

Each depth of the network holds structure of another scale: relu1_1 alone holds colors and grain,
relu5_1 whole leaves and bricks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geostyle.coords import Size, check_size, resize
from geostyle.device import check_seed, own_world
from geostyle.errors import InputError, brief, check_functions
from geostyle.features.extractor import FeatureExtractor
from geostyle.features.settings import PADDINGS
from geostyle.io.images import as_painted
from geostyle.texture.descent import descend
from geostyle.texture.descent_settings import SynthesisSettings
from geostyle.texture.losses import gram
from geostyle.texture.memory import check_descent_fits
from geostyle.texture.objective import LossSettings, TextureObjective, normalized_weights
from geostyle.texture.optimizer import Objective
from geostyle.texture.pyramid import Level, Progress, TextureResult, white_noise
from geostyle.texture.schedule import MIN_SIDE_PX, level_sizes
from geostyle.texture.score import check_network
from geostyle.texture.settings import STYLE_LAYERS


@dataclass(frozen=True)
class Seam:
    """Differences across the edges of a repeated picture, per axis (down, across).

    Attributes:
        wrap: mean absolute difference of the first and the last row (column), in [0, 1].
        typical, worst: mean and largest of the same between neighboring rows (columns).
    """

    wrap: tuple[float, float]
    typical: tuple[float, float]
    worst: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The larger of wrap / typical of both axes: about 1 without a seam."""
        return max(w / max(t, 1e-8) for w, t in zip(self.wrap, self.typical, strict=True))

    @property
    def visible(self) -> bool:
        """True where the wrap is a larger step than any other in the picture."""
        return any(w > m for w, m in zip(self.wrap, self.worst, strict=True))


@own_world
def synthesize(
    exemplars: Any,
    network: FeatureExtractor,
    settings: SynthesisSettings | None = None,
    *,
    size: Size | None = None,
    tex_weights: Sequence[float] | None = None,
    seed: int = 0,
    start: Any = None,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Synthesize a texture from noise, coarse to fine.

    Args:
        exemplars: one texture (1, 3, h, w), sRGB in [0, 1], or a picture of another kind, as for
            `as_tensor`; or a list of several to mix, each at the scale its texture shall have.
        network: gives the features; its padding is set by `settings`.
        size: (H, W) of the result; default the first exemplar's.
        tex_weights: one non-negative weight for each exemplar, default equal; Gram matrices are
            averaged with them.
        seed: of the noise.
        start: picture (1, 3, H, W) of any size to start from instead of noise.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far, at full size.

    Source: Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks",
        section 3.
    Differs: Gram matrices are averaged over positions, so that the size is free; losses are
        relative; coarser levels come first, which find structure wider than the network sees. One
        level (``iterations=(n,)``), average pooling and the paper's layers give its own recipe.
    """
    settings = settings or SynthesisSettings()
    if not isinstance(settings, SynthesisSettings):
        raise InputError(f"settings: expected SynthesisSettings, got {brief(settings)}")
    check_network(network)
    check_seed(seed)
    check_functions(callback=callback)
    pictures = _pictures(exemplars)
    weights = normalized_weights(tex_weights, len(pictures))
    full = check_size(size or (pictures[0].shape[-2], pictures[0].shape[-1]))
    painter = with_padding(network, "circular" if settings.tile else settings.padding)
    # A tile has no border; its exemplar has one, and is continued by reflection.
    reader = with_padding(network, "reflect" if settings.tile else settings.padding)
    smallest = max(MIN_SIDE_PX, *(network.stride(layer) for layer in settings.layers))
    if "reflect" in (painter.padding, reader.padding):
        smallest *= 2  # a map of one position cannot be reflected
    if min(full) < smallest or min(min(picture.shape[-2:]) for picture in pictures) < smallest:
        raise InputError(
            f"size: expected sides of at least {smallest} px, of the exemplars and of the result, "
            f"for {settings.layers[-1]}, got {[(*picture.shape[-2:],) for picture in pictures]} "
            f"and {full}"
        )
    check_descent_fits(network, full, settings.descent)
    iterations = settings.descent.iterations

    def level(number: int, canvas: Size) -> Level:
        factor = 2.0 ** -(len(iterations) - 1 - number)

        def objective() -> Objective:
            scaled = [resize(picture, _scaled(picture, factor, smallest)) for picture in pictures]
            losses = LossSettings(style_layers=settings.layers)
            return TextureObjective(
                painter, scaled, None, losses, tex_weights=weights, reader=reader
            )

        return Level(canvas, iterations[number], objective)

    levels = [level(i, size) for i, size in enumerate(level_sizes(full, len(iterations)))]
    # Levels too small to have features at the deepest layer are left out.
    while min(levels[0].size) < smallest:
        levels.pop(0)
    if start is None:
        start = _noise(pictures, weights, settings.init, levels[0].size, seed)
    start = as_painted(start, "start")
    return descend(start, levels, settings.descent, tile=settings.tile, callback=callback)


def fade_weights(n_styles: int, n_pictures: int) -> list[tuple[float, ...]]:
    """Return weights that fade evenly from the first style through all others to the last.

    Returns: `n_pictures` tuples of `n_styles` weights that sum to 1, at most two of them not 0.
    """
    if n_styles < 2 or n_pictures < 2:
        raise InputError(
            f"fade: expected at least 2 styles and 2 pictures, got {n_styles} and {n_pictures}"
        )
    positions = [i * (n_styles - 1) / (n_pictures - 1) for i in range(n_pictures)]
    return [tuple(max(0.0, 1 - abs(p - style)) for style in range(n_styles)) for p in positions]


@own_world
@torch.no_grad()
def gram_errors(
    image: Any,
    exemplars: Any,
    network: FeatureExtractor,
    layers: Sequence[str] = STYLE_LAYERS,
    tex_weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Return ‖G − A‖ / ‖A‖ at each layer, Frobenius norms of Gram matrices; 0.01 is one per cent.

    Args:
        image: (1, 3, H, W), whose G it is; clamped to [0, 1], as a saved picture would be.
        exemplars, tex_weights: as for `synthesize`; A is their weighted mean.
        network: gives the features, under its own padding.
    """
    check_network(network)
    pictures, image = _pictures(exemplars), as_painted(image, "image")
    layers = [layers] if isinstance(layers, str) else layers
    goal: dict[str, Tensor] = {}
    for weight, picture in zip(
        normalized_weights(tex_weights, len(pictures)), pictures, strict=True
    ):
        for layer, found in network(picture, layers).items():
            goal[layer] = goal.get(layer, 0) + weight * gram(found)
    own = network(image.clamp(0, 1), layers)
    return {k: float((gram(own[k]) - goal[k]).norm() / goal[k].norm()) for k in layers}


def seam(image: Tensor) -> Seam:
    """Measure the seam of `image` (1, 3, H, W) when it is repeated."""
    axes = []
    for axis in (-2, -1):
        steps = (image - image.roll(1, axis)).abs().mean(dim=(0, 1, -3 - axis))
        axes.append((float(steps[0]), float(steps[1:].mean()), float(steps[1:].max())))
    (w0, t0, m0), (w1, t1, m1) = axes
    return Seam((w0, w1), (t0, t1), (m0, m1))


def with_padding(network: FeatureExtractor, padding: str) -> FeatureExtractor:
    """Return the same network, weights shared, with another padding."""
    if padding not in PADDINGS:
        raise InputError(f"padding: expected one of {list(PADDINGS)}, got {padding!r}")
    twin = copy.copy(network)
    twin.padding = padding
    return twin


def _pictures(exemplars: Any) -> list[Tensor]:
    """One picture, or a list of them, as tensors."""
    several = exemplars if isinstance(exemplars, list | tuple) else [exemplars]
    if not several:
        raise InputError("exemplars: expected at least one, got none")
    return [as_painted(one, "exemplars") for one in several]


def _scaled(picture: Tensor, factor: float, smallest: int) -> Size:
    height, width = picture.shape[-2:]
    return max(smallest, round(height * factor)), max(smallest, round(width * factor))


def _noise(
    pictures: Sequence[Tensor], weights: Sequence[float], init: str, size: Size, seed: int
) -> Tensor:
    """Return white noise (1, 3, *size): uniform, or random pixels of the pictures by `weights`."""
    if init == "noise":
        return white_noise(size, seed, pictures[0])
    generator = torch.Generator().manual_seed(seed)
    n_pixels = size[0] * size[1]
    # A pixel's draws depend on the seed alone, so that the pictures of a fade differ little.
    which = torch.rand(n_pixels, generator=generator)
    where = torch.rand(n_pixels, generator=generator)
    palette = torch.zeros(3, n_pixels)
    floor = 0.0
    for picture, weight in zip(pictures, weights, strict=True):
        colors = picture[0].flatten(1).cpu()
        chosen = (which >= floor) & (which < floor + weight)
        drawn = colors[:, (where * colors.shape[1]).long().clamp_max(colors.shape[1] - 1)]
        palette = torch.where(chosen, drawn, palette)
        floor += weight
    return palette.view(1, 3, *size).to(pictures[0])
