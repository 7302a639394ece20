"""Textures from noise: a picture of any size with the Gram matrices of an exemplar, or a mixture.

Each depth of the network keeps another scale of structure: relu1_1 alone keeps colors and grain,
relu5_1 whole leaves and bricks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geostyle.config import check, setting
from geostyle.coords import Size, check_size, resize
from geostyle.errors import InputError
from geostyle.features.extractor import PADDINGS, FeatureExtractor
from geostyle.texture.descent import DescentSettings, Level, descend, white_noise
from geostyle.texture.losses import gram
from geostyle.texture.objective import LossSettings, TextureObjective, normalized_weights
from geostyle.texture.optimizer import Objective
from geostyle.texture.pyramid import Progress, TextureResult
from geostyle.texture.schedule import MIN_SIDE_PX, level_sizes
from geostyle.texture.score import STYLE_LAYERS


@dataclass(frozen=True)
class SynthesisSettings:
    """How a texture is synthesized; the defaults are the ones the benchmark measures."""

    layers: tuple[str, ...] = setting(
        STYLE_LAYERS, help="layers whose Gram matrices are matched, equally"
    )
    init: str = setting(
        "pixels",
        choices=("pixels", "noise"),
        help="white noise to start from: of the exemplar's own pixels in random order, or uniform",
    )
    tile: bool = setting(False, help="make a picture that repeats without a seam")
    padding: str = setting(
        "zeros", choices=PADDINGS[:3], help="what convolutions see beyond the border of a picture"
    )
    descent: DescentSettings = setting(DescentSettings(iterations=(100, 100, 150, 300)))

    def __post_init__(self) -> None:
        check(self)
        if not self.layers:
            raise InputError("layers: expected at least one layer, got none")


@dataclass(frozen=True)
class Seam:
    """How a picture fits its own opposite edge, per axis (down, across).

    Attributes:
        wrap: mean absolute difference of the first and the last row (column), in [0, 1].
        typical, worst: mean and largest of the same between neighboring rows (columns).
    """

    wrap: tuple[float, float]
    typical: tuple[float, float]
    worst: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The worse axis's wrap over its typical step: about 1 without a seam."""
        return max(w / max(t, 1e-8) for w, t in zip(self.wrap, self.typical, strict=True))

    @property
    def visible(self) -> bool:
        """Whether the wrap stands out: a larger step than any other in the picture."""
        return any(w > m for w, m in zip(self.wrap, self.worst, strict=True))


def synthesize(
    exemplars: Tensor | Sequence[Tensor],
    extractor: FeatureExtractor,
    settings: SynthesisSettings | None = None,
    *,
    size: Size | None = None,
    mixture: Sequence[float] | None = None,
    seed: int = 0,
    start: Tensor | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> TextureResult:
    """Synthesize a texture from noise, coarse to fine.

    Args:
        exemplars: one texture (1, 3, h, w) or several to be mixed, sRGB in [0, 1], each at the
            scale its texture is wanted in.
        extractor: the network whose features are matched; its padding is set by `settings`.
        size: (H, W) of the result, independent of the exemplars'; default the first one's.
        mixture: one non-negative weight an exemplar, default equal; Gram matrices are averaged.
        seed: of the noise.
        start: picture to begin from instead of noise, any size.
        callback: called after every step; raising KeyboardInterrupt in it ends the run with the
            best picture so far, at full size.

    Source: Gatys, Ecker, Bethge, "Texture Synthesis Using Convolutional Neural Networks",
        section 3.
    Differs: Gram matrices averaged over positions, so that the size is free; relative losses; from
        1/8 of the size upwards, which finds structure wider than the network sees; one level
        (``iterations=(n,)``), average pooling and the paper's layers give its own recipe.
    """
    settings = settings or SynthesisSettings()
    pictures = [exemplars] if isinstance(exemplars, Tensor) else list(exemplars)
    shares = normalized_weights(mixture, len(pictures))
    full = check_size(size or (pictures[0].shape[-2], pictures[0].shape[-1]))
    painter = with_padding(extractor, "circular" if settings.tile else settings.padding)
    # A tile has no border: its exemplar, which has, is continued by reflection.
    reader = with_padding(extractor, "reflect" if settings.tile else settings.padding)
    smallest = max(MIN_SIDE_PX, *(extractor.stride(layer) for layer in settings.layers))
    if "reflect" in (painter.padding, reader.padding):
        smallest *= 2  # a map of one position has nothing to reflect
    if min(full) < smallest or min(min(picture.shape[-2:]) for picture in pictures) < smallest:
        raise InputError(
            f"size: expected sides of at least {smallest} px, of the exemplars and of the result, "
            f"for {settings.layers[-1]}, got {[(*picture.shape[-2:],) for picture in pictures]} "
            f"and {full}"
        )
    iterations = settings.descent.iterations

    def level(number: int, canvas: Size) -> Level:
        factor = 2.0 ** -(len(iterations) - 1 - number)

        def objective() -> Objective:
            scaled = [resize(picture, _scaled(picture, factor, smallest)) for picture in pictures]
            losses = LossSettings(style_layers=settings.layers)
            return TextureObjective(
                painter, scaled, None, losses, tex_weights=shares, reader=reader
            )

        return Level(canvas, iterations[number], objective)

    levels = [level(i, size) for i, size in enumerate(level_sizes(full, len(iterations)))]
    # Too small to have features at the deepest layer, a level has nothing to say.
    while min(levels[0].size) < smallest:
        levels.pop(0)
    if start is None:
        start = _noise(pictures, shares, settings.init, levels[0].size, seed)
    return descend(start, levels, settings.descent, tile=settings.tile, callback=callback)


def synthesize_depths(
    exemplar: Tensor,
    extractor: FeatureExtractor,
    settings: SynthesisSettings | None = None,
    *,
    size: Size | None = None,
    seed: int = 0,
    callback: Callable[[Progress], None] | None = None,
) -> Iterator[tuple[str, TextureResult]]:
    """One texture for every depth: from the first layer alone to all of them.

    Args: as for `synthesize`.
    Yields: the deepest layer and the texture of each; an interrupted one is the last.
    Source: as for `synthesize`, figure 2.
    Differs: all in a single scale (with the steps of all levels), where a layer keeps no structure
        wider than it sees; coarse to fine, even relu1_1 keeps what the coarser levels found.
    """
    settings = settings or SynthesisSettings()
    descent = replace(settings.descent, iterations=(sum(settings.descent.iterations),))
    for depth, layer in enumerate(settings.layers, start=1):
        own = replace(settings, layers=settings.layers[:depth], descent=descent)
        done = synthesize(exemplar, extractor, own, size=size, seed=seed, callback=callback)
        yield layer, done
        if done.interrupted:
            break


def fade_weights(n_styles: int, n_pictures: int) -> list[tuple[float, ...]]:
    """Weights that fade from the first style through all others to the last, evenly.

    Returns: `n_pictures` tuples of `n_styles` weights that sum to 1, at most two of them not 0.
    """
    if n_styles < 2 or n_pictures < 2:
        raise InputError(
            f"fade: expected at least 2 styles and 2 pictures, got {n_styles} and {n_pictures}"
        )
    positions = [i * (n_styles - 1) / (n_pictures - 1) for i in range(n_pictures)]
    return [tuple(max(0.0, 1 - abs(p - style)) for style in range(n_styles)) for p in positions]


@torch.no_grad()
def gram_errors(
    image: Tensor,
    exemplars: Tensor | Sequence[Tensor],
    extractor: FeatureExtractor,
    layers: Sequence[str] = STYLE_LAYERS,
    mixture: Sequence[float] | None = None,
) -> dict[str, float]:
    """‖G − A‖ / ‖A‖ (Frobenius norms, not squared) of `image` at each layer; 0.01 is one per cent.

    Args:
        image: (1, 3, H, W); values outside [0, 1] are clamped, as a saved picture would be.
        exemplars, mixture: what A is averaged over, as for `synthesize`.
        extractor: what to measure under, with its own padding.
    """
    pictures = [exemplars] if isinstance(exemplars, Tensor) else list(exemplars)
    goal: dict[str, Tensor] = {}
    for share, picture in zip(normalized_weights(mixture, len(pictures)), pictures, strict=True):
        for layer, found in extractor(picture, layers).items():
            goal[layer] = goal.get(layer, 0) + share * gram(found)
    own = extractor(image.clamp(0, 1), layers)
    return {k: float((gram(own[k]) - goal[k]).norm() / goal[k].norm()) for k in layers}


def seam(image: Tensor) -> Seam:
    """Measure how `image` (1, 3, H, W) continues across its own edges when tiled."""
    axes = []
    for axis in (-2, -1):
        steps = (image - image.roll(1, axis)).abs().mean(dim=(0, 1, -3 - axis))
        axes.append((float(steps[0]), float(steps[1:].mean()), float(steps[1:].max())))
    (w0, t0, m0), (w1, t1, m1) = axes
    return Seam((w0, w1), (t0, t1), (m0, m1))


def with_padding(extractor: FeatureExtractor, padding: str) -> FeatureExtractor:
    """The same network, weights shared, with another padding."""
    if padding not in PADDINGS:
        raise InputError(f"padding: expected one of {list(PADDINGS)}, got {padding!r}")
    twin = copy.copy(extractor)
    twin.padding = padding
    return twin


def _scaled(picture: Tensor, factor: float, smallest: int) -> Size:
    height, width = picture.shape[-2:]
    return max(smallest, round(height * factor)), max(smallest, round(width * factor))


def _noise(
    pictures: Sequence[Tensor], shares: Sequence[float], init: str, size: Size, seed: int
) -> Tensor:
    """White noise (1, 3, *size): uniform, or of the pictures' pixels in the shares given."""
    if init == "noise":
        return white_noise(size, seed, pictures[0])
    generator = torch.Generator().manual_seed(seed)
    n_pixels = size[0] * size[1]
    # Every pixel's draws are fixed by the seed alone, so that fades move as little as they can.
    which = torch.rand(n_pixels, generator=generator)
    where = torch.rand(n_pixels, generator=generator)
    palette = torch.zeros(3, n_pixels)
    floor = 0.0
    for picture, share in zip(pictures, shares, strict=True):
        colors = picture[0].flatten(1).cpu()
        chosen = (which >= floor) & (which < floor + share)
        drawn = colors[:, (where * colors.shape[1]).long().clamp_max(colors.shape[1] - 1)]
        palette = torch.where(chosen, drawn, palette)
        floor += share
    return palette.view(1, 3, *size).to(pictures[0])
